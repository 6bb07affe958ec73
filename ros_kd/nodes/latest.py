# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Work off the executor's thread on the newest message only."""

from __future__ import annotations

from threading import Condition, Lock, Thread
from typing import Callable, Generic, TypeVar

T = TypeVar('T')


class LatestOnly(Generic[T]):
    """A thread that handles the newest item put in; an item that a newer one overtakes is never handled.

    at_rest: whoever holds it knows that no item is in work.
    """

    def __init__(self, handle: Callable[[T], None], name: str) -> None:
        self._handle = handle
        self._changed = Condition()
        self.at_rest = Lock()
        self._item: T | None = None
        self._running = True
        self._thread = Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def put(self, item: T) -> bool:
        """Leave an item for the thread and return at once. Return False if this replaced one that was still waiting."""
        with self._changed:
            free = self._item is None
            self._item = item
            self._changed.notify()
        return free

    def stop(self) -> None:
        """Return when the item in work is done; a waiting one is dropped."""
        with self._changed:
            self._running = False
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._item is not None or not self._running)
                if not self._running:
                    return
                item, self._item = self._item, None
            with self.at_rest:
                self._handle(item)
