# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Pairs between being found and being written: they wait here for transforms, calibration and label images."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

from rclpy.impl.rcutils_logger import RcutilsLogger

from ros_kd.bags import BagError, codec, layout
from ros_kd.bags.writer import PairedBagWriter, RawPair, RawView
from ros_kd.nodes.ego_motion import EgoMotion, NotYet
from ros_kd.nodes.record_inputs import CameraInputs
from ros_kd.nodes.tally import Tally


BACKLOG = 512 * 2**20  # bytes that may wait
STANDING = 1.0  # seconds that a pair waits for a fixed frame while nobody publishes moving transforms


@dataclass(frozen=True)
class Waits:
    """How long a pair waits, in seconds: for transforms and calibration (then it is dropped), for label images."""

    transforms: float = 5.0
    labels: float = 0.5


@dataclass(frozen=True)
class FoundPair:
    """A scan and the images paired with it, serialised; images by camera."""

    cloud: bytes
    images: dict[str, bytes]
    stamp: int
    found: float = field(default_factory=time.monotonic)

    @property
    def size(self) -> int:
        """Bytes of the messages."""
        return len(self.cloud) + sum(map(len, self.images.values()))


class Recent:
    """The newest messages of a topic by stamp."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._messages: dict[int, bytes] = {}

    def add(self, raw: bytes) -> None:
        """Keep a message. Raises BagError if it has no header."""
        self._messages[layout.header_stamp(raw)] = raw
        while len(self._messages) > self._size:
            del self._messages[next(iter(self._messages))]

    def at(self, stamp: int) -> bytes | None:
        """Return the message with exactly this stamp (ns)."""
        return self._messages.get(stamp)

    def last(self) -> bytes | None:
        """Return the newest message."""
        return next(reversed(self._messages.values()), None)


class PendingPairs:
    """Writes each pair as soon as all that belongs to it is there; `flush` never waits."""

    def __init__(self, path: Path, cameras: list[CameraInputs], points: str, label_info: str, motion: EgoMotion,
                 tally: Tally, waits: Waits, queue: int, log: RcutilsLogger) -> None:
        self._path, self._points, self._label_info = path, points, label_info
        self._cameras = {camera.name: camera for camera in cameras}
        self._motion, self._tally, self._waits, self._log = motion, tally, waits, log
        self.calibrations = {name: Recent(2 * queue) for name in self._cameras}
        self.labels = {name: Recent(2 * queue) for name, camera in self._cameras.items() if camera.labels}
        self._latched: list[tuple[str, bytes]] = []
        self._checked: dict[str, bytes] = {}
        self._waiting: deque[FoundPair] = deque()
        self._backlog = 0
        self._writer: PairedBagWriter | None = None
        self._last_stamp = -1

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, cloud: bytes, images: dict[str, bytes]) -> None:
        """Take in a pair that was found."""
        pair = FoundPair(cloud, images, layout.header_stamp(cloud))
        if pair.stamp <= max(self._last_stamp, self._waiting[-1].stamp if self._waiting else -1):
            self._drop('pairs older than the one before', f'pair at {pair.stamp * 1e-9:.3f} s is older than the one '
                       'before: did time jump back? Nothing is recorded until it has passed that stamp')
            return
        self._waiting.append(pair)
        self._backlog += pair.size

    def latch(self, topic: str, raw: bytes) -> None:
        """Take in a message of /tf_static or a label_info topic."""
        if self._writer is None:
            self._latched.append((topic, raw))
        else:
            self._writer.latch(topic, raw)

    def flush(self, last_try: bool = False, limit: int = 0) -> None:
        """Write the pairs that are complete, drop those that waited too long (with last_try: all that are incomplete).

        limit: stop at this many pairs in the bag, 0 = none. Raises BagError if the disk refuses.
        """
        while self._waiting and not (limit and self._tally.pairs >= limit):
            pair = self._waiting[0]
            age = time.monotonic() - pair.found
            give_up = last_try or age >= self._waits.transforms or self._backlog > BACKLOG
            try:
                raw = self._complete(pair, age, give_up)
                if raw is None:
                    return
                self._write(pair, raw)
            except (NotYet, LookupError) as missing:
                if not give_up:
                    return
                self._drop('pairs without transforms' if isinstance(missing, NotYet) else 'pairs without calibration',
                           f'gave up the pair at {pair.stamp * 1e-9:.3f} s after {age:.1f} s: {missing.args[0]}')
            except _Unusable as wrong:
                self._drop('pairs with a bad calibration or header', str(wrong))
            self._waiting.popleft()
            self._backlog -= pair.size

    def _complete(self, pair: FoundPair, age: float, last_try: bool) -> RawPair | None:
        if not last_try and age < self._waits.labels and any(
                recent.at(layout.header_stamp(pair.images[name])) is None for name, recent in self.labels.items()):
            return None
        lidar = _frame(self._points, pair.cloud)
        without_motion = last_try or age >= STANDING and self._motion.standing()
        views = tuple(self._view(name, image, lidar, pair.stamp, without_motion)
                      for name, image in pair.images.items())
        return RawPair(pair.cloud, views, self._motion.pose(lidar, pair.stamp))

    def _view(self, name: str, image: bytes, lidar: str, scan_stamp: int, without_motion: bool) -> RawView:
        stamp, frame = layout.header_stamp(image), _frame(self._cameras[name].image, image)
        info = self._calibration(name, stamp)
        matrix = self._motion.lidar_to_camera(frame, stamp, lidar, scan_stamp, without_motion)
        labels = self.labels[name].at(stamp) if name in self.labels else None
        return RawView(name, image, info, matrix, labels)

    def _calibration(self, name: str, stamp: int) -> bytes:
        info = self.calibrations[name].at(stamp) or self.calibrations[name].last()
        topic = self._cameras[name].camera_info
        if info is None:
            raise LookupError(f'no message on {topic}: camera "{name}" has no calibration')
        if self._checked.get(name) != info[12:]:
            try:
                codec.camera(info)
            except ValueError as error:
                raise _Unusable(f'{topic}: {error}') from None
            self._checked[name] = info[12:]
        return info

    def _write(self, pair: FoundPair, raw: RawPair) -> None:
        if self._writer is None:
            self._writer = PairedBagWriter(self._path, self._rig(pair))
            for topic, message in self._latched:
                self._writer.latch(topic, message)
            self._log.info(f'recording to {self._path}')
        self._writer.write(raw)
        self._last_stamp = pair.stamp
        self._tally.unlabelled += sum(view.labels is None and view.camera in self.labels for view in raw.views)
        self._tally.add_pair({name: (layout.header_stamp(image) - pair.stamp) * 1e-9
                              for name, image in pair.images.items()})

    def _rig(self, pair: FoundPair) -> layout.Rig:
        cameras = []
        for name, image in pair.images.items():
            inputs = self._cameras[name]
            topics = layout.CameraTopics.under(name, layout.header_frame(image), inputs.compressed, inputs.image,
                                               inputs.camera_info, inputs.labels, inputs.label_info)
            cameras.append(topics)
        return layout.Rig(tuple(cameras), self._points, layout.header_frame(pair.cloud), self._motion.fixed_frame,
                          pose=self._label_info.rsplit('/', 1)[0] + '/pose', label_info=self._label_info)

    def _drop(self, reason: str, text: str) -> None:
        if not self._tally.dropped[reason]:
            self._log.warning(f'{text} (said once; counted as "{reason}")')
        self._tally.dropped[reason] += 1

    def close(self) -> int:
        """Close the bag; return its size in bytes. Raises BagError."""
        writer, self._writer = self._writer, None
        if writer is None:
            return 0
        writer.close()
        return writer.size


class _Unusable(Exception):
    """A pair that no waiting will make good."""


def _frame(topic: str, raw: bytes) -> str:
    try:
        return layout.header_frame(raw)
    except BagError as error:
        raise _Unusable(f'{topic}: {error}') from None


def check_output(path: Path) -> Path:
    """Return `path` if a bag can be made there. Raises BagError saying why not."""
    if path.exists():
        raise BagError(f'output {path} exists already: choose another, or move it away')
    parent = next(folder for folder in path.absolute().parents if folder.exists())
    try:
        probe = parent / f'.{path.name}.probe'
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise BagError(f'output {path} cannot be made: {error}') from None
    return path
