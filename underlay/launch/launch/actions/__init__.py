# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""What a launch file can do; here the actions that yield other actions, now, later or on an event."""

import asyncio
import os
from collections.abc import Callable, Iterable
from typing import Any, Optional, Union

from .. import logging
from ..base import Action, ensure_argument_type, Event, EventHandler, LaunchDescriptionEntity
from ..base import normalize_to_list_of_substitutions, perform_substitutions, SomeSubstitutionsType_types_tuple, Text
from ..events import OnShutdown, ProcessExited, Shutdown as ShutdownEvent, TimerEvent
from ..launch_description import AnyLaunchDescriptionSource, LaunchDescriptionSource
from ..substitutions import is_true, text_of_bool
from .configuration import (  # noqa: F401
    DeclareLaunchArgument, GroupAction, PopEnvironment, PopLaunchConfigurations, PushEnvironment,
    PushLaunchConfigurations, ResetEnvironment, ResetLaunchConfigurations, SetEnvironmentVariable,
    SetLaunchConfiguration, UnsetEnvironmentVariable)
from .processes import ExecuteProcess  # noqa: F401


class LogInfo(Action):
    """Logs a message."""

    def __init__(self, *, msg: Text, **kwargs) -> None:
        super().__init__(**kwargs)
        self.msg = normalize_to_list_of_substitutions(msg)

    def execute(self, context) -> None:
        logging.get_logger('launch.user').info(perform_substitutions(context, self.msg))


class OpaqueFunction(Action):
    """Calls function(context, *args, **kwargs), which may return entities to visit."""

    def __init__(self, *, function: Callable, args: Optional[Iterable[Any]] = None,
                 kwargs: Optional[dict[str, Any]] = None, **left_over_kwargs) -> None:
        super().__init__(**left_over_kwargs)
        if not callable(function):
            raise TypeError(f"OpaqueFunction expected a callable for 'function', got '{type(function)}'")
        self._function, self._args, self._kwargs = function, args or [], kwargs or {}

    def execute(self, context) -> Optional[list[LaunchDescriptionEntity]]:
        return self._function(context, *self._args, **self._kwargs)


class IncludeLaunchDescription(Action):
    """Visits another launch description, its launch arguments set before."""

    def __init__(self, launch_description_source: Union[LaunchDescriptionSource, Text], *,
                 launch_arguments: Optional[Iterable[tuple[Text, Text]]] = None, **kwargs) -> None:
        super().__init__(**kwargs)
        if not isinstance(launch_description_source, LaunchDescriptionSource):
            launch_description_source = AnyLaunchDescriptionSource(launch_description_source)
        self.launch_description_source = launch_description_source
        self.launch_arguments = tuple(launch_arguments or ())

    def get_sub_entities(self) -> list[LaunchDescriptionEntity]:
        description = self.launch_description_source.try_get_launch_description_without_context()
        return [] if description is None else [description]

    def execute(self, context) -> list[LaunchDescriptionEntity]:
        description = self.launch_description_source.get_launch_description(context)
        for argument, includes in description.get_launch_arguments_with_include_launch_description_actions():
            names = [perform_substitutions(context, normalize_to_list_of_substitutions(name))
                     for include in (self, *includes) for name, _ in include.launch_arguments]
            if not (argument._conditionally_included or argument.default_value is not None or argument.name in names):
                raise RuntimeError(
                    f"Included launch description missing required argument '{argument.name}' "
                    f"(description: '{argument.description}'), given: [{', '.join(names)}]")
        return [*[SetLaunchConfiguration(name, value) for name, value in self.launch_arguments], description,
                self._enter(context)]

    def _enter(self, context) -> OpaqueFunction:
        """Make the launch file's location known; return the action that brings the includer's back."""
        location = self.launch_description_source.location
        path = os.path.abspath(location)
        own = {'current_launch_file_path': path,
               'current_launch_file_directory': os.path.dirname(path) if os.path.exists(path) else location}
        outer = {name: value for name, value in context.get_locals_as_dict().items() if name in own}
        context.extend_locals(own)

        def leave(context) -> None:
            for name in own:
                context._locals.pop(name, None)
            context.extend_locals(outer)
        return OpaqueFunction(function=leave)


class EmitEvent(Action):
    """Emits an event."""

    def __init__(self, *, event: Event, **kwargs) -> None:
        super().__init__(**kwargs)
        ensure_argument_type(event, Event, 'event', 'EmitEvent')
        self.event = event

    def execute(self, context) -> None:
        context.emit_event_sync(self.event)


class Shutdown(EmitEvent):
    """Shuts the launched system down."""

    def __init__(self, *, reason: str = 'reason not given', **kwargs) -> None:
        super().__init__(event=ShutdownEvent(reason=reason), **kwargs)

    def execute(self, context) -> None:
        event = context.get_locals_as_dict().get('event')
        if isinstance(event, ProcessExited):
            logging.get_logger('launch').info(
                f'process[{event.process_name}] was required: shutting down launched system')
        super().execute(context)


class RegisterEventHandler(Action):
    """Registers an event handler."""

    def __init__(self, event_handler: EventHandler, **kwargs) -> None:
        super().__init__(**kwargs)
        self.event_handler = event_handler

    def execute(self, context) -> None:
        context.register_event_handler(self.event_handler)


class TimerAction(Action):
    """Visits actions once the period (s) has passed, unless cancelled, as a shutdown does by default."""

    def __init__(self, *, period: Union[float, Text], actions: Iterable[LaunchDescriptionEntity],
                 cancel_on_shutdown: Union[bool, Text] = True, **kwargs) -> None:
        super().__init__(**kwargs)
        ensure_argument_type(period, (*SomeSubstitutionsType_types_tuple, float), 'period', 'TimerAction')
        self.period = period if isinstance(period, float) else normalize_to_list_of_substitutions(period)
        self.actions = actions
        self._cancel_on_shutdown = normalize_to_list_of_substitutions(text_of_bool(cancel_on_shutdown))
        self._cancelled = asyncio.Event()
        self._task: Optional[asyncio.Task] = None

    def describe_conditional_sub_entities(self) -> list[tuple[str, Iterable[LaunchDescriptionEntity]]]:
        return [(f'{self.period} seconds pass without being canceled', self.actions)]

    def get_asyncio_future(self) -> Optional[asyncio.Future]:
        return self._task

    def cancel(self) -> None:
        """Cancel the timer; nothing if it has fired or is cancelled."""
        self._cancelled.set()

    async def _wait(self, context, period: float) -> None:
        try:
            await asyncio.wait_for(self._cancelled.wait(), period)
        except asyncio.TimeoutError:
            context.emit_event_sync(TimerEvent(timer_action=self))

    def execute(self, context) -> None:
        def fire(context) -> Iterable[LaunchDescriptionEntity]:
            context.extend_locals(outer)
            return self.actions
        outer = context.get_locals_as_dict()
        context.register_event_handler(EventHandler(
            matcher=lambda event: isinstance(event, TimerEvent) and event.timer_action is self,
            entities=OpaqueFunction(function=fire), handle_once=True))
        if is_true(perform_substitutions(context, self._cancel_on_shutdown)):
            context.register_event_handler(OnShutdown(on_shutdown=lambda event, context: self.cancel()))
        period = self.period if isinstance(self.period, float) else float(perform_substitutions(context, self.period))
        self._task = context.asyncio_loop.create_task(self._wait(context, period))
