# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""What launch descriptions are made of, the helpers that these share and the context that they run in."""

import asyncio
import collections
import dataclasses
import os
from collections.abc import Callable, Iterable, MutableMapping
from typing import Any, Optional, Union


class Substitution:
    """Text that is only known when the launch runs."""

    def describe(self) -> str:
        return repr(self)

    def perform(self, context) -> str:
        raise NotImplementedError(f'{type(self).__name__} does not implement perform()')


Text = SomeSubstitutionsType = Union[str, os.PathLike, Substitution, Iterable[Union[str, os.PathLike, Substitution]]]
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


EntityFuturePairs = list[tuple[LaunchDescriptionEntity, asyncio.Future]]


def ensure_argument_type(argument: Any, types: Union[type, Iterable[type]], argument_name: str,
                         caller: Optional[str] = None) -> None:
    """Raise TypeError unless the argument is an instance of one of the types."""
    allowed = tuple(types) if isinstance(types, Iterable) else (types,)
    if not isinstance(argument, allowed):
        raise TypeError(f"{caller or ''} expected '{argument_name}' to be one of [{', '.join(map(str, allowed))}], "
                        f"but got '{argument}' of type '{type(argument)}'")


def normalize_to_list_of_substitutions(subst: Text) -> list[Substitution]:
    """Return the text, path, substitution or iterable of these as a list of substitutions; TypeError otherwise."""
    normalized = []
    for item in [subst] if isinstance(subst, (str, os.PathLike, Substitution)) else subst:
        if not isinstance(item, (str, os.PathLike, Substitution)):
            raise TypeError(f"Failed to normalize given item of type '{type(item)}', "
                            "when only 'str' or 'launch.Substitution' were expected.")
        normalized.append(item if isinstance(item, Substitution) else TextSubstitution(text=os.fspath(item)))
    return normalized


def perform_substitutions(context, subs: Iterable[Substitution]) -> str:
    return ''.join(context.perform_substitution(sub) for sub in subs)


def describe_substitutions(subs: Iterable[Substitution]) -> str:
    return ' + '.join(sub.describe() for sub in subs)


def visit_all_entities_and_collect_futures(entity: LaunchDescriptionEntity, context,
                                           futures: Optional[EntityFuturePairs] = None) -> EntityFuturePairs:
    """Visit the entity and what it yields, depth first; add to ``futures`` what the launch must wait for."""
    futures = [] if futures is None else futures
    sub_entities, future = entity.visit(context), entity.get_asyncio_future()
    if future is not None:
        futures.append((entity, future))
    for sub_entity in sub_entities or ():
        visit_all_entities_and_collect_futures(sub_entity, context, futures)
    return futures


class TextSubstitution(Substitution):
    """Text that stays as it is."""

    __module__ = 'launch.substitutions.text_substitution'  # shown in the location of what is not loaded yet

    def __init__(self, *, text: str) -> None:
        ensure_argument_type(text, str, 'text', 'TextSubstitution')
        self.text = text

    def describe(self) -> str:
        return f"'{self.text}'"

    def perform(self, context) -> str:
        return self.text


class LaunchContext:
    """Runtime context of the entities that are visited or executed."""

    def __init__(self, *, argv: Optional[Iterable[str]] = None, noninteractive: bool = False) -> None:
        self.argv, self.noninteractive = [] if argv is None else argv, noninteractive
        self.is_shutdown = False
        self.asyncio_loop: Optional[asyncio.AbstractEventLoop] = None
        self.launch_configurations: dict[str, str] = {}
        self._event_queue: asyncio.Queue = asyncio.Queue()
        self._event_handlers: collections.deque[EventHandler] = collections.deque()
        self._locals: dict[str, Any] = {}
        self._stacks: dict[str, list[dict]] = collections.defaultdict(list)
        self._environment_reset = dict(os.environ)

    def _set_is_shutdown(self, state: bool) -> None:
        self.is_shutdown = state

    def _set_asyncio_loop(self, loop: Optional[asyncio.AbstractEventLoop]) -> None:
        self.asyncio_loop = loop

    def extend_locals(self, extensions: dict[str, Any]) -> None:
        self._locals.update(extensions)

    def get_locals_as_dict(self) -> dict[str, Any]:
        return dict(self._locals)

    @property
    def locals(self) -> Any:
        """The locals as read-only attributes."""
        return dataclasses.make_dataclass('Locals', self._locals, frozen=True)(**self._locals)

    @property
    def environment(self) -> MutableMapping[str, str]:
        """The environment of the launch's own process, which its children inherit."""
        return os.environ

    def _pop(self, stack: str) -> dict:
        if not self._stacks[stack]:
            raise RuntimeError(f'{stack} stack unexpectedly empty')
        return self._stacks[stack].pop()

    def _push_locals(self) -> None:
        self._stacks['locals'].append(dict(self._locals))

    def _pop_locals(self) -> None:
        self._locals = self._pop('locals')

    def _push_launch_configurations(self) -> None:
        self._stacks['launch configurations'].append(dict(self.launch_configurations))

    def _pop_launch_configurations(self) -> None:
        self.launch_configurations = self._pop('launch configurations')

    def _push_environment(self) -> None:
        self._stacks['environment'].append(dict(os.environ))

    def _pop_environment(self) -> None:
        self._reset_environment(self._pop('environment'))

    def _reset_environment(self, environment: Optional[dict[str, str]] = None) -> None:
        os.environ.clear()
        os.environ.update(self._environment_reset if environment is None else environment)

    def register_event_handler(self, event_handler: EventHandler, append: bool = False) -> None:
        """Put the handler before the others, or after them to run last."""
        (self._event_handlers.append if append else self._event_handlers.appendleft)(event_handler)

    def unregister_event_handler(self, event_handler: EventHandler) -> None:
        self._event_handlers.remove(event_handler)

    def emit_event_sync(self, event: Event) -> None:
        self._event_queue.put_nowait(event)

    async def emit_event(self, event: Event) -> None:
        self.emit_event_sync(event)

    def perform_substitution(self, substitution: Substitution) -> str:
        return substitution.perform(self)
