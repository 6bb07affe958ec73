# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""What launch descriptions are made of: entities, actions, substitutions, conditions, events and their handlers."""

import asyncio
import os
from collections.abc import Callable, Iterable
from typing import Any, Optional, Union


class Substitution:
    """Text that is only known when the launch runs."""

    def describe(self) -> str:
        return repr(self)

    def perform(self, context) -> str:
        raise NotImplementedError(f'{type(self).__name__} does not implement perform()')


SomeSubstitutionsType = Union[str, os.PathLike, Substitution, Iterable[Union[str, os.PathLike, Substitution]]]
SomeSubstitutionsType_types_tuple = (str, os.PathLike, Substitution, Iterable)


class Condition:
    """A predicate over the launch context."""

    def __init__(self, *, predicate: Callable[[Any], bool]) -> None:
        self._predicate = predicate

    def describe(self) -> str:
        return repr(self)

    def evaluate(self, context) -> bool:
        return self._predicate(context)


class Event:
    """Something that happened; its class says what."""

    name = 'launch.Event'


class LaunchDescriptionEntity:
    """Anything that a launch description can hold."""

    def describe(self) -> str:
        return repr(self)

    def describe_sub_entities(self) -> list['LaunchDescriptionEntity']:
        return []

    def describe_conditional_sub_entities(self) -> list[tuple[str, Iterable['LaunchDescriptionEntity']]]:
        return []

    def visit(self, context) -> Optional[list['LaunchDescriptionEntity']]:
        """Do the entity's work; return the entities to visit next."""
        return None

    def get_asyncio_future(self) -> Optional[asyncio.Future]:
        """Return the future that the launch waits for before it is idle, or None."""
        return None


SomeEntitiesType = Union[LaunchDescriptionEntity, Iterable[LaunchDescriptionEntity]]


class Action(LaunchDescriptionEntity):
    """An intention to do something, carried out when visited and its condition holds."""

    def __init__(self, *, condition: Optional[Condition] = None) -> None:
        self.condition = condition

    def get_sub_entities(self) -> list[LaunchDescriptionEntity]:
        return []

    def describe_sub_entities(self) -> list[LaunchDescriptionEntity]:
        return self.get_sub_entities() if self.condition is None else []

    def describe_conditional_sub_entities(self) -> list[tuple[str, Iterable[LaunchDescriptionEntity]]]:
        return [] if self.condition is None else [
            (f'Conditionally included by {self.describe()}', self.get_sub_entities())]

    def visit(self, context) -> Optional[list[LaunchDescriptionEntity]]:
        return self.execute(context) if self.condition is None or self.condition.evaluate(context) else None

    def execute(self, context) -> Optional[list[LaunchDescriptionEntity]]:
        """Carry out the action (nothing unless overridden)."""
        return None


SomeActionsType = Union[Action, Iterable[Action]]


class EventHandler:
    """Reacts to the events that its matcher accepts, by visiting entities."""

    def __init__(self, *, matcher: Callable[[Event], bool], entities: Optional[SomeEntitiesType] = None,
                 handle_once: bool = False) -> None:
        self._matcher, self.entities, self.handle_once = matcher, entities, handle_once

    def matches(self, event: Event) -> bool:
        return self._matcher(event)

    def handle(self, event: Event, context) -> Optional[SomeEntitiesType]:
        """Return the entities to visit; the context's local ``event`` is the event meanwhile."""
        context.extend_locals({'event': event})
        if self.handle_once:
            context.unregister_event_handler(self)
        return self.entities
