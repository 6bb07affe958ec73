# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Actions that yield other actions, now, later or on an event."""

import asyncio
import os
from collections.abc import Callable, Iterable
from typing import Any, Optional, Union

from .. import logging
from ..base import Action, Event, EventHandler, LaunchDescriptionEntity, SomeSubstitutionsType
from ..base import SomeSubstitutionsType_types_tuple
from ..events import Shutdown as ShutdownEvent, TimerEvent
from ..events.process import ProcessExited
from ..launch_description import AnyLaunchDescriptionSource, LaunchDescriptionSource
from ..utilities import ensure_argument_type, normalize_to_list_of_substitutions, perform_substitutions
from ..utilities.type_utils import normalize_typed_substitution, perform_typed_substitution
from .configuration import (
    PopEnvironment, PopLaunchConfigurations, PushEnvironment, PushLaunchConfigurations, ResetEnvironment,
    ResetLaunchConfigurations, SetLaunchConfiguration)

_LOCATION = ('current_launch_file_path', 'current_launch_file_directory')


class LogInfo(Action):
    """Logs a message."""

    def __init__(self, *, msg: SomeSubstitutionsType, **kwargs) -> None:
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
        ensure_argument_type(args, (Iterable, type(None)), 'args', 'OpaqueFunction')
        ensure_argument_type(kwargs, (dict, type(None)), 'kwargs', 'OpaqueFunction')
        self._function, self._args, self._kwargs = function, args or [], kwargs or {}

    def execute(self, context) -> Optional[list[LaunchDescriptionEntity]]:
        return self._function(context, *self._args, **self._kwargs)


class GroupAction(Action):
    """Actions whose configurations and environment end with the group (scoped) or begin anew (not forwarding)."""

    def __init__(self, actions: Iterable[Action], *, scoped: bool = True, forwarding: bool = True,
                 launch_configurations: Optional[dict[SomeSubstitutionsType, SomeSubstitutionsType]] = None,
                 **left_over_kwargs) -> None:
        super().__init__(**left_over_kwargs)
        configurations = launch_configurations or {}
        begin = [SetLaunchConfiguration(name, value) for name, value in configurations.items()]
        end: list[Action] = []
        if scoped:
            if not forwarding:
                begin = [ResetEnvironment(), ResetLaunchConfigurations(configurations)]
            begin = [PushLaunchConfigurations(), PushEnvironment(), *begin]
            end = [PopEnvironment(), PopLaunchConfigurations()]
        self._entities = [*begin, *actions, *end]

    def get_sub_entities(self) -> list[LaunchDescriptionEntity]:
        return self._entities

    def execute(self, context) -> list[LaunchDescriptionEntity]:
        return self._entities


class IncludeLaunchDescription(Action):
    """Visits another launch description, its launch arguments set before."""

    def __init__(self, launch_description_source: Union[LaunchDescriptionSource, SomeSubstitutionsType], *,
                 launch_arguments: Optional[Iterable[tuple[SomeSubstitutionsType, SomeSubstitutionsType]]] = None,
                 **kwargs) -> None:
        super().__init__(**kwargs)
        if not isinstance(launch_description_source, LaunchDescriptionSource):
            launch_description_source = AnyLaunchDescriptionSource(launch_description_source)
        self.launch_description_source = launch_description_source
        self.launch_arguments = tuple(launch_arguments or ())

    def get_sub_entities(self) -> list[LaunchDescriptionEntity]:
        description = self.launch_description_source.try_get_launch_description_without_context()
        return [] if description is None else [description]

    def _argument_names(self, context) -> list[str]:
        return [perform_substitutions(context, normalize_to_list_of_substitutions(name))
                for name, _ in self.launch_arguments]

    def execute(self, context) -> list[LaunchDescriptionEntity]:
        description = self.launch_description_source.get_launch_description(context)
        location = self.launch_description_source.location
        path = os.path.abspath(location)
        outer = {name: context.get_locals_as_dict().get(name) for name in _LOCATION}
        context.extend_locals(dict(zip(_LOCATION, (
            path, os.path.dirname(path) if os.path.exists(path) else location))))
        for argument, includes in description.get_launch_arguments_with_include_launch_description_actions():
            names = [name for include in (self, *includes) for name in include._argument_names(context)]
            if not (argument._conditionally_included or argument.default_value is not None or argument.name in names):
                raise RuntimeError(
                    f"Included launch description missing required argument '{argument.name}' "
                    f"(description: '{argument.description}'), given: [{', '.join(names)}]")
        return [*[SetLaunchConfiguration(name, value) for name, value in self.launch_arguments], description,
                OpaqueFunction(function=self._leave, args=[outer])]

    @staticmethod
    def _leave(context, outer: dict[str, Optional[str]]) -> None:
        for name, value in outer.items():
            context._locals.pop(name, None)
            if value is not None:
                context.extend_locals({name: value})


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

    def __init__(self, *, period: Union[float, SomeSubstitutionsType], actions: Iterable[LaunchDescriptionEntity],
                 cancel_on_shutdown: Union[bool, SomeSubstitutionsType] = True, **kwargs) -> None:
        super().__init__(**kwargs)
        ensure_argument_type(period, (*SomeSubstitutionsType_types_tuple, float), 'period', 'TimerAction')
        ensure_argument_type(actions, Iterable, 'actions', 'TimerAction')
        self.period = normalize_typed_substitution(float(period) if isinstance(period, str) else period, float)
        self.actions = actions
        self._cancel_on_shutdown = normalize_typed_substitution(cancel_on_shutdown, bool)
        self._locals: dict[str, Any] = {}
        self._is_cancelled = False
        self._completed: Optional[asyncio.Future] = None
        self._cancelled: Optional[asyncio.Future] = None

    def describe(self) -> str:
        return f'TimerAction(period={self.period}, actions=<actions>)'

    def describe_conditional_sub_entities(self) -> list[tuple[str, Iterable[LaunchDescriptionEntity]]]:
        return [(f'{self.period} seconds pass without being canceled', self.actions)]

    def get_asyncio_future(self) -> Optional[asyncio.Future]:
        return self._completed

    def handle(self, context) -> Iterable[LaunchDescriptionEntity]:
        """Return the actions, with the locals of when the timer started."""
        context.extend_locals(self._locals)
        return self.actions

    def cancel(self) -> None:
        """Cancel the timer; nothing if it has fired or is cancelled."""
        self._is_cancelled = True
        if self._cancelled is not None and not self._cancelled.done():
            self._cancelled.set_result(None)

    async def _wait(self, context, period: float) -> None:
        await asyncio.wait([self._cancelled], timeout=period)
        if not self._cancelled.done():
            await context.emit_event(TimerEvent(timer_action=self))
        self._completed.set_result(None)

    def execute(self, context) -> None:
        self._completed, self._cancelled = (context.asyncio_loop.create_future() for _ in range(2))
        if self._is_cancelled:
            self._completed.set_result(None)
            return
        context.register_event_handler(EventHandler(
            matcher=lambda event: isinstance(event, TimerEvent) and event.timer_action is self,
            entities=OpaqueFunction(function=self.handle), handle_once=True))
        self._locals = context.get_locals_as_dict()
        period = perform_typed_substitution(context, self.period, float)
        self._task = context.asyncio_loop.create_task(self._wait(context, period))
        if perform_typed_substitution(context, self._cancel_on_shutdown, bool):
            context.register_event_handler(EventHandler(
                matcher=lambda event: isinstance(event, ShutdownEvent),
                entities=OpaqueFunction(function=lambda context: self.cancel())))
