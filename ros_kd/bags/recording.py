# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""A recording: a bag that a thread of its own writes, with bounded memory and an eye on the disk."""

from __future__ import annotations

import shutil
import threading
import traceback
from collections import deque
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Callable

from ros_kd.bags import BagError, layout
from ros_kd.bags.writer import PairedBagWriter, Raw, RawPair, Storage

LOOK = 0.25  # seconds between looks at the free space; writing a few hundred MB/s must not outrun it
WORD = 2.0  # seconds of waiting for the disk after which there is word of it


@dataclass(frozen=True)
class Limits:
    """backlog: bytes of pairs that may wait to be written; a pair beyond is dropped, so that memory stays bounded.

    min_free: bytes of the disk that stay free; recording ends before. sync: seconds between forced writes to the disk,
    which bound what a power cut takes.
    """

    backlog: int = 512 * 2**20
    min_free: int = 2**30
    sync: float = 1.0


class Recording:
    """Writes pairs to a new bag. Of the methods only `close` waits.

    written: called in the writing thread with each pair once it is in the file. full: why no more is taken, '' while
    the disk has room. error: what the disk refused; whole pairs before it stay readable. lost: pairs left here that did
    not get into the bag. fault: what was wrong with one of these. free: bytes of the disk. Raises BagError if the bag
    cannot be made or the disk has less than `limits.min_free` bytes left.
    """

    def __init__(self, path: Path, rig: layout.Rig, storage: Storage = Storage(), limits: Limits = Limits(),
                 written: Callable[[RawPair], None] = lambda pair: None) -> None:
        self.path, self.full, self.fault, self.lost, self.free = path, '', '', 0, 0
        self.error: BagError | None = None
        self._limits, self._written = limits, written
        self._look()
        if self.full:
            raise BagError(self.full)
        self._writer = PairedBagWriter(path, rig, storage)
        self._tasks: deque[tuple[int, Callable[[], object]]] = deque()
        self._changed = threading.Condition()
        self._ending = threading.Event()
        self._backlog = 0
        self._threads = [threading.Thread(target=self._work, name='bag'),
                         threading.Thread(target=self._watch, name='disk')]
        for thread in self._threads:
            thread.start()

    @property
    def backlog(self) -> int:
        """Bytes that wait to be written."""
        return self._backlog

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return self._writer.size

    @property
    def files(self) -> list[Path]:
        """The bag's storage files so far."""
        return self._writer.files

    def put(self, pair: RawPair) -> bool:
        """Leave a pair to be written; return False if it is dropped: the backlog, the disk or the bag is at its end."""
        if self.full or self.error or self._backlog and self._backlog + pair.size > self._limits.backlog:
            return False
        self._leave(pair.size, partial(self._write, pair))
        return True

    def latch(self, topic: str, raw: Raw) -> None:
        """Leave a latched message (see PairedBagWriter.latch) to be written before the next pair."""
        self._leave(len(raw), partial(self._writer.latch, topic, raw))

    def split(self) -> None:
        """Begin a new file with the next pair."""
        self._leave(0, self._writer.split)

    def close(self, waiting: Callable[[int], None] = lambda size: None) -> int:
        """Write what waits, finish the bag and return its size in bytes. Raises BagError if the disk refused.

        waiting: called every few seconds with the bytes that still wait, if that takes so long.
        """
        with self._changed:
            self._ending.set()
            self._changed.notify()
        for thread in self._threads:
            thread.join(WORD)
            while thread.is_alive():
                waiting(self._backlog)
                thread.join(WORD)
        try:
            self._writer.close()
        except BagError as error:
            self.error = self.error or error
        if self.error is not None or self.fault:
            raise self.error or BagError(f'{self.lost} pairs are not in {self.path}, the first for this:\n{self.fault}')
        return self.size

    def _leave(self, size: int, task: Callable[[], object]) -> None:
        with self._changed:
            self._tasks.append((size, task))
            self._backlog += size
            self._changed.notify()

    def _write(self, pair: RawPair) -> None:
        if self.error is not None:
            self.lost += 1
            return
        try:
            self._writer.write(pair)
            self._written(pair)
        except BagError:
            self.lost += 1
            raise
        except Exception:  # of this pair: the next may be good
            self.lost += 1
            self.fault = self.fault or traceback.format_exc()

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._tasks or self._ending.is_set())
                if not self._tasks:
                    return
                size, task = self._tasks.popleft()
            self._note_errors(task)
            with self._changed:
                self._backlog -= size

    def _watch(self) -> None:
        since_sync = 0.0
        while not self._ending.wait(LOOK):
            self._look()
            since_sync += LOOK
            if since_sync >= self._limits.sync:
                since_sync = 0.0
                self._note_errors(self._sync)

    def _note_errors(self, task: Callable[[], object]) -> None:
        try:
            task()
        except BagError as error:
            self.error = self.error or error
        except OSError as error:
            self.error = self.error or BagError(f'the disk of {self.path} failed: {error}')

    def _sync(self) -> None:
        for path in self._writer.files[-1:]:
            if not path.exists():
                raise BagError(f'{path} was removed while it was recorded: its pairs are gone; record to a new bag')
        self._writer.sync()

    def _look(self) -> None:
        folder = next(folder for folder in (self.path, *self.path.absolute().parents) if folder.exists())
        try:
            self.free = shutil.disk_usage(folder).free
        except OSError:  # no news; the writer will tell if the disk is gone
            return
        if self.free < self._limits.min_free and not self.full:
            self.full = (f'only {self.free / 1e6:.0f} MB are free on the disk of {folder}, less than the '
                         f'{self._limits.min_free / 1e6:.0f} MB of min_free_space: free space there, choose another '
                         'output, or lower min_free_space')
