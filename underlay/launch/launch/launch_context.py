# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""The state that a launch carries: configurations, environment, locals and the queue of events."""

import asyncio
import collections
import dataclasses
import os
from collections.abc import Iterable, MutableMapping
from typing import Any, Optional

from .base import Event, EventHandler, Substitution


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
