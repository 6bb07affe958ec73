# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""The state that a launch carries: configurations, environment, locals and the queue of events."""

import asyncio
import collections
import os
from collections.abc import Iterable, MutableMapping
from typing import Any, Optional

from . import logging
from .base import BaseEventHandler, Event, Substitution


class _Locals:
    """Read-only attribute access to the context's locals."""

    def __init__(self, members: dict[str, Any]) -> None:
        self.__dict__['_members'] = members

    def __getattr__(self, key: str) -> Any:
        members = self.__dict__['_members']
        if key not in members:
            raise AttributeError(
                f"context.locals does not contain attribute '{key}', it contains: [{', '.join(members)}]")
        return members[key]

    def __setattr__(self, key: str, value: Any) -> None:
        raise AttributeError(f"can't set attribute '{key}', locals are read-only")


class LaunchContext:
    """Runtime context of the entities that are visited or executed."""

    def __init__(self, *, argv: Optional[Iterable[str]] = None, noninteractive: bool = False) -> None:
        self.argv = argv if argv is not None else []
        self.noninteractive = noninteractive
        self.is_shutdown = False
        self.asyncio_loop: Optional[asyncio.AbstractEventLoop] = None
        self.launch_configurations: dict[str, str] = {}
        self._event_queue: asyncio.Queue = asyncio.Queue()
        self._event_handlers: collections.deque = collections.deque()
        self._completion_futures: list[asyncio.Future] = []
        self._globals: dict[str, Any] = {}
        self._locals: dict[str, Any] = {}
        self._stacks: dict[str, list[dict]] = collections.defaultdict(list)
        self._environment_reset = dict(os.environ)
        self._logger = logging.get_logger(__name__)

    def _set_is_shutdown(self, state: bool) -> None:
        self.is_shutdown = state

    def _set_asyncio_loop(self, loop: Optional[asyncio.AbstractEventLoop]) -> None:
        self.asyncio_loop = loop

    def add_completion_future(self, completion_future: asyncio.Future) -> None:
        self._completion_futures.append(completion_future)

    def _pop(self, stack: str) -> dict:
        if not self._stacks[stack]:
            raise RuntimeError(f'{stack} stack unexpectedly empty')
        return self._stacks[stack].pop()

    def _push_locals(self) -> None:
        self._stacks['locals'].append(dict(self._locals))

    def _pop_locals(self) -> None:
        self._locals = self._pop('locals')

    def extend_globals(self, extensions: dict[str, Any]) -> None:
        self._globals.update(extensions)

    def extend_locals(self, extensions: dict[str, Any]) -> None:
        self._locals.update(extensions)

    def get_locals_as_dict(self) -> dict[str, Any]:
        return {**self._globals, **self._locals}

    @property
    def locals(self) -> _Locals:
        return _Locals(self.get_locals_as_dict())

    def _push_launch_configurations(self) -> None:
        self._stacks['launch_configurations'].append(dict(self.launch_configurations))

    def _pop_launch_configurations(self) -> None:
        self.launch_configurations = self._pop('launch_configurations')

    @property
    def environment(self) -> MutableMapping[str, str]:
        """The environment of the launch's own process, which its children inherit."""
        return os.environ

    def _push_environment(self) -> None:
        self._stacks['environment'].append(dict(os.environ))

    def _replace_environment(self, environment: dict[str, str]) -> None:
        os.environ.clear()
        os.environ.update(environment)

    def _pop_environment(self) -> None:
        self._replace_environment(self._pop('environment'))

    def _reset_environment(self) -> None:
        self._replace_environment(self._environment_reset)

    def would_handle_event(self, event: Event) -> bool:
        return any(handler.matches(event) for handler in self._event_handlers)

    def register_event_handler(self, event_handler: BaseEventHandler, append: bool = False) -> None:
        """Put the handler before the others, or after them to run last."""
        (self._event_handlers.append if append else self._event_handlers.appendleft)(event_handler)

    def unregister_event_handler(self, event_handler: BaseEventHandler) -> None:
        self._event_handlers.remove(event_handler)

    def emit_event_sync(self, event: Event) -> None:
        self._logger.debug("emitting event synchronously: '%s'", event.name)
        self._event_queue.put_nowait(event)

    async def emit_event(self, event: Event) -> None:
        self._logger.debug("emitting event: '%s'", event.name)
        await self._event_queue.put(event)

    def perform_substitution(self, substitution: Substitution) -> str:
        return substitution.perform(self)
