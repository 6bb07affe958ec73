# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Header stamps and calibrations of a raw bag.

`read_in_order` hands the messages of several topics to a reader each, in the order of the file, so that a compressed
chunk is unpacked once.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Callable, Mapping

import numpy as np
from rosbags.serde import SerdeError

from ros_kd.bags import BagError, codec, layout
from ros_kd.bags.calibration import Calibration
from ros_kd.bags.store import MessageStore

JUMP = 1_000_000_000  # ns that a stamp may fall behind the newest before it belongs to another run of the clock
DAMAGED = (BagError, SerdeError, ValueError)


def read_in_order(store: MessageStore, readers: Mapping[str, Callable[[int], None]]) -> None:
    """Call the reader of each topic with the number of each of its messages, all in the order of log times."""
    if not readers:
        return
    topics = list(readers)
    stamps = [store.stamps(topic) for topic in topics]
    which = np.repeat(np.arange(len(topics)), [len(part) for part in stamps])
    numbers = np.concatenate([np.arange(len(part)) for part in stamps])
    for place in np.argsort(np.concatenate(stamps), kind='stable').tolist():
        readers[topics[which[place]]](int(numbers[place]))


@dataclass(frozen=True, eq=False)
class Headers:
    """The usable messages of a topic: stamps int64 [M], ns, rising; their numbers in the store, int64 [M].

    unusable: how many others there are, by what is wrong with them.
    """

    frame_id: str
    stamps: np.ndarray
    numbers: np.ndarray
    unusable: dict[str, int]


class HeaderReader:
    """Reads the header of each message of a topic, and nothing else of it."""

    def __init__(self, store: MessageStore, topic: str) -> None:
        self._store, self._topic = store, topic
        self._frames: Counter[str] = Counter()
        self._size = 16  # of the last header
        self._newest = 0
        self._found: list[tuple[int, int, str]] = []
        self._unusable: Counter[str] = Counter()

    def add(self, number: int) -> None:
        """Read a message's header."""
        try:
            stamp, frame = self._header(number)
        except BagError:
            self._unusable['damaged'] += 1
            return
        if stamp <= 0 or stamp < self._newest - JUMP:
            self._unusable['no stamp' if stamp <= 0 else 'the clock jumped back'] += 1
            return
        self._newest = max(self._newest, stamp)
        self._frames[frame] += 1
        self._found.append((stamp, number, frame))

    def _header(self, number: int) -> tuple[int, str]:
        raw = self._store.head(self._topic, number, self._size)
        stamp, size = layout.header_stamp(raw), 16 + int.from_bytes(raw[12:16], 'little')
        if size > len(raw):
            raw = self._store.head(self._topic, number, size)
        frame = layout.header_frame(raw)
        self._size = size
        return stamp, frame.lstrip('/')

    def finish(self) -> Headers:
        """Return what was read. A message of another frame than most has an unknown place: it is unusable."""
        usual = max(self._frames, key=self._frames.get, default='')
        found = np.array([(stamp, number) for stamp, number, frame in sorted(self._found) if frame == usual],
                         np.int64).reshape(-1, 2)
        fresh = np.append(True, np.diff(found[:, 0]) > 0)[:len(found)]
        self._unusable += Counter({'another frame_id': len(self._found) - len(found),
                                   'repeated stamp': int((~fresh).sum())})
        return Headers(usual, found[fresh, 0], found[fresh, 1], dict(self._unusable))


@dataclass(frozen=True, eq=False)
class Calibrations:
    """What a camera_info topic says: stamps int64 [M], ns, rising; which of the `different` ones each is, int64 [M].

    A text stands for a message that is no calibration. frame_id: of the first message.
    """

    frame_id: str
    stamps: np.ndarray
    which: np.ndarray
    different: tuple[Calibration | str, ...]

    def at(self, stamps: np.ndarray) -> np.ndarray:
        """Return which calibration holds at stamps int64 [N]: the last at or before each; -1 if there is none."""
        return np.append(-1, self.which)[np.searchsorted(self.stamps, stamps, 'right')]


class CalibrationReader:
    """Reads a camera_info topic; messages with the same content share one calibration.

    baseline: whether P's baseline is between the frame of rectified images and their camera.
    """

    def __init__(self, store: MessageStore, topic: str, rectified: bool, baseline: bool) -> None:
        self._store, self._topic, self._rectified, self._baseline = store, topic, rectified, baseline
        self._different: dict[bytes, tuple[int, Calibration | str]] = {}
        self._frame = ''
        self._found: list[tuple[int, int]] = []

    def add(self, number: int) -> None:
        """Read a message; one that is damaged is passed over."""
        try:
            raw = self._store.read(self._topic, number)
            stamp = layout.header_stamp(raw)
            self._frame = self._frame or layout.header_frame(raw)
        except BagError:
            return
        content = bytes(raw[layout.CONTENT:])
        if content not in self._different:
            self._different[content] = len(self._different), self._calibration(raw)
        self._found.append((stamp, self._different[content][0]))

    def _calibration(self, raw: bytes | memoryview) -> Calibration | str:
        try:
            return Calibration.of(codec.read(raw, layout.CAMERA_INFO), self._rectified, self._baseline)
        except DAMAGED as error:
            return str(error)

    def finish(self) -> Calibrations:
        """Return what was read."""
        found = np.array(sorted(self._found, key=lambda entry: entry[0]), np.int64).reshape(-1, 2)
        different = tuple(entry for _, entry in self._different.values())
        return Calibrations(self._frame, found[:, 0], found[:, 1], different)
