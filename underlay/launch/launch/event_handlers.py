# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Handlers for the events that launch files react to."""

from collections.abc import Callable, Iterable
from typing import Any, Optional, Union

from . import base
from ._module_aliases import alias_modules
from .events import IncludeLaunchDescription, Shutdown
from .events.process import ProcessExited, ProcessStarted

Reaction = Union[base.SomeEntitiesType, Callable[[Any, Any], Optional[base.SomeEntitiesType]]]
Target = Optional[Union[Callable[[base.Action], bool], base.Action]]


class _Reacting(base.EventHandler):
    """Visits entities, or what a function of the event and the context returns."""

    def __init__(self, *, matcher: Callable[[base.Event], bool], reaction: Reaction, handle_once: bool = False) -> None:
        super().__init__(matcher=matcher, handle_once=handle_once)
        self._reaction = reaction

    def handle(self, event: base.Event, context) -> Optional[base.SomeEntitiesType]:
        super().handle(event, context)
        return self._reaction(event, context) if callable(self._reaction) else self._reaction


class OnActionEventBase(_Reacting):
    """Reacts to one class of event of one action, of those that a function accepts, or of all."""

    def __init__(self, *, action_matcher: Target, on_event: Reaction, target_event_cls: type[base.Event],
                 target_action_cls: type[base.Action], **kwargs) -> None:
        if not isinstance(action_matcher, (target_action_cls, type(None))) and not callable(action_matcher):
            raise TypeError(f"action_matcher must be an '{target_action_cls.__name__}' instance or a callable")
        if not callable(on_event):
            on_event = list(on_event) if isinstance(on_event, Iterable) else [on_event]
            for entity in on_event:
                if not isinstance(entity, base.LaunchDescriptionEntity):
                    raise TypeError("expected all items in 'on_event' iterable to be of type "
                                    f"'LaunchDescriptionEntity' but got '{type(entity)}'")

        def matches(event: base.Event) -> bool:
            if not isinstance(event, target_event_cls) or action_matcher is None:
                return isinstance(event, target_event_cls)
            if isinstance(action_matcher, target_action_cls):
                return event.action is action_matcher
            return action_matcher(event.action)
        super().__init__(matcher=matches, reaction=on_event, **kwargs)


class OnProcessStart(OnActionEventBase):
    """Reacts when a process starts."""

    def __init__(self, *, target_action: Target = None, on_start: Reaction, **kwargs) -> None:
        from .actions import ExecuteLocal
        super().__init__(action_matcher=target_action, on_event=on_start, target_event_cls=ProcessStarted,
                         target_action_cls=ExecuteLocal, **kwargs)


class OnProcessExit(OnActionEventBase):
    """Reacts when a process ends."""

    def __init__(self, *, target_action: Target = None, on_exit: Reaction, **kwargs) -> None:
        from .actions import ExecuteLocal
        super().__init__(action_matcher=target_action, on_event=on_exit, target_event_cls=ProcessExited,
                         target_action_cls=ExecuteLocal, **kwargs)


class OnShutdown(_Reacting):
    """Reacts when the launch shuts down."""

    def __init__(self, *, on_shutdown: Reaction, **kwargs) -> None:
        super().__init__(matcher=lambda event: isinstance(event, Shutdown), reaction=on_shutdown, **kwargs)


class OnIncludeLaunchDescription(_Reacting):
    """Visits the launch description of an IncludeLaunchDescription event."""

    def __init__(self, **kwargs) -> None:
        super().__init__(matcher=lambda event: isinstance(event, IncludeLaunchDescription),
                         reaction=lambda event, context: event.launch_description, **kwargs)


alias_modules(__name__)
