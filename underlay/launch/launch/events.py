# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""What happens during a launch, and reactions to it (also `launch.events.process` and `launch.event_handlers`)."""

from collections.abc import Callable, Iterable
from typing import Any, Optional, Union

from . import base


class IncludeLaunchDescription(base.Event):
    """A launch description shall be visited."""

    def __init__(self, launch_description: base.LaunchDescriptionEntity) -> None:
        self.launch_description = launch_description


class Shutdown(base.Event):
    """The launched system shall stop."""

    def __init__(self, *, reason: str = 'reason not given', due_to_sigint: bool = False) -> None:
        self.reason, self.due_to_sigint = reason, due_to_sigint


class TimerEvent(base.Event):
    """A TimerAction's time has passed."""

    def __init__(self, *, timer_action: base.Action) -> None:
        self.timer_action = timer_action


class RunningProcessEvent(base.Event):
    """An event of one running process."""

    def __init__(self, *, action: base.Action, name: str, cmd: list[str], cwd: Optional[str],
                 env: Optional[dict[str, str]], pid: int) -> None:
        self.action, self.process_name, self.cmd, self.cwd, self.env, self.pid = action, name, cmd, cwd, env, pid


class ProcessStarted(RunningProcessEvent):
    """The process runs."""


class ProcessExited(RunningProcessEvent):
    """The process ended; returncode is -N after signal N."""

    def __init__(self, *, returncode: int, **kwargs) -> None:
        super().__init__(**kwargs)
        self.returncode = returncode


Reaction = Union[base.SomeEntitiesType, Callable[[Any, Any], Optional[base.SomeEntitiesType]]]
Target = Optional[Union[Callable[[base.Action], bool], base.Action]]


class OnEvent(base.EventHandler):
    """Reacts to a class of event by visiting entities, or what a function of the event and the context returns."""

    def __init__(self, event_class: type[base.Event], reaction: Reaction, **kwargs) -> None:
        super().__init__(matcher=lambda event: isinstance(event, event_class), **kwargs)
        self._reaction = reaction

    def handle(self, event: base.Event, context) -> Optional[base.SomeEntitiesType]:
        super().handle(event, context)
        return self._reaction(event, context) if callable(self._reaction) else self._reaction


class OnShutdown(OnEvent):
    """Reacts when the launch shuts down."""

    def __init__(self, *, on_shutdown: Reaction, **kwargs) -> None:
        super().__init__(Shutdown, on_shutdown, **kwargs)


class _OnProcessEvent(OnEvent):
    """Reacts to events of one process, of those that a function accepts, or of all."""

    def __init__(self, event_class: type[base.Event], target: Target, reaction: Reaction, **kwargs) -> None:
        from .actions import ExecuteProcess
        if not isinstance(target, (ExecuteProcess, type(None))) and not callable(target):
            raise TypeError(f"target_action must be an 'ExecuteProcess' instance or a callable, got {target!r}")
        if not callable(reaction):
            reaction = list(reaction) if isinstance(reaction, Iterable) else [reaction]
            for entity in reaction:
                if not isinstance(entity, base.LaunchDescriptionEntity):
                    raise TypeError(f"expected reactions of type 'LaunchDescriptionEntity' but got '{type(entity)}'")
        super().__init__(event_class, reaction, **kwargs)
        self._accepts = (lambda action: action is target) if isinstance(target, ExecuteProcess) else target

    def matches(self, event: base.Event) -> bool:
        return super().matches(event) and (self._accepts is None or self._accepts(event.action))


class OnProcessStart(_OnProcessEvent):
    """Reacts when a process starts."""

    def __init__(self, *, target_action: Target = None, on_start: Reaction, **kwargs) -> None:
        super().__init__(ProcessStarted, target_action, on_start, **kwargs)


class OnProcessExit(_OnProcessEvent):
    """Reacts when a process ends."""

    def __init__(self, *, target_action: Target = None, on_exit: Reaction, **kwargs) -> None:
        super().__init__(ProcessExited, target_action, on_exit, **kwargs)
