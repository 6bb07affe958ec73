# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Pairs between being found and being passed on: they wait here for transforms, calibration and label images."""

from __future__ import annotations

import traceback
from collections import deque
from dataclasses import dataclass
from typing import Callable

from rclpy.node import Node

from ros_kd.bags import BagError, codec, layout
from ros_kd.bags.discovery import CameraInputs
from ros_kd.bags.writer import RawPair, RawView
from ros_kd.cameras import Camera
from ros_kd.nodes.clock import seconds
from ros_kd.nodes.ego_motion import EgoMotion, NotYet
from ros_kd.nodes.stream_parameters import StreamParameters
from ros_kd.nodes.tally import Tally

BACKLOG = 512 * 2**20  # bytes that may wait
STANDING = 1.0  # seconds that a pair waits for a fixed frame while nobody publishes moving transforms


@dataclass(frozen=True)
class FoundPair:
    """A scan and the images paired with it, serialised; images by camera. found: when, seconds of the node's clock."""

    cloud: bytes
    images: dict[str, bytes]
    stamp: int
    found: float

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
    """Passes each pair on to `deliver`, in order, as soon as all that belongs to it is there; `flush` never waits."""

    def __init__(self, node: Node, cameras: list[CameraInputs], motion: EgoMotion, tally: Tally,
                 parameters: StreamParameters, deliver: Callable[[RawPair], None]) -> None:
        self._node, self._log = node, node.get_logger()
        self._parameters, self._deliver = parameters, deliver
        self._cameras = {camera.name: camera for camera in cameras}
        self._motion, self._tally = motion, tally
        kept = 2 * parameters.queue
        self.calibrations = {name: Recent(kept) for name in self._cameras}
        self.labels = {name: Recent(kept) for name, camera in self._cameras.items() if camera.labels}
        self._checked: dict[str, bytes] = {}
        self._waiting: deque[FoundPair] = deque()
        self._backlog = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, cloud: bytes, images: dict[str, bytes]) -> None:
        """Take in a pair that was found."""
        pair = FoundPair(cloud, images, layout.header_stamp(cloud), seconds(self._node))
        self._waiting.append(pair)
        self._backlog += pair.size

    def flush(self, last_try: bool = False) -> None:
        """Deliver the pairs that are complete, drop those that waited too long (last_try: all that are incomplete)."""
        while self._waiting:
            pair = self._waiting[0]
            age = seconds(self._node) - pair.found
            give_up = last_try or age >= self._parameters.tf_timeout or self._backlog > BACKLOG
            raw = None
            try:
                raw = self._complete(pair, age, give_up)
            except (NotYet, _Uncalibrated) as missing:
                if not give_up:
                    return
                self._drop('pairs without transforms' if isinstance(missing, NotYet) else 'pairs without calibration',
                           f'gave up the pair at {pair.stamp * 1e-9:.3f} s after {age:.1f} s: {missing}')
            except _Unusable as wrong:
                self._drop('pairs with a bad calibration or header', str(wrong))
            except Exception as error:  # one message must not end the stream
                self._drop('pairs that raised an error', ''.join(traceback.format_exception(error)))
            else:
                if raw is None:
                    return
            self._waiting.popleft()
            self._backlog -= pair.size
            if raw is not None:
                self._count_faults(raw)
                self._deliver(raw)

    def _complete(self, pair: FoundPair, age: float, last_try: bool) -> RawPair | None:
        if not last_try and age < self._parameters.label_timeout and any(
                self.labels[name].at(layout.header_stamp(image)) is None
                for name, image in pair.images.items() if name in self.labels):
            return None
        lidar = _frame(self._parameters.points, pair.cloud)
        without_motion = last_try or age >= STANDING and self._motion.standing()
        views = tuple(self._view(name, image, lidar, pair.stamp, without_motion)
                      for name, image in pair.images.items())
        return RawPair(pair.cloud, views, self._motion.pose(lidar, pair.stamp))

    def _count_faults(self, pair: RawPair) -> None:
        faults = self._tally.faults
        if unlabelled := sum(view.labels is None and view.camera in self.labels for view in pair.views):
            faults['images without their label image'] += unlabelled
        if pair.world_from_lidar is None and self._parameters.fixed_frame:
            faults['pairs without the motion of the vehicle'] += 1

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
            raise _Uncalibrated(f'no message on {topic}: camera "{name}" has no calibration')
        if self._checked.get(name) != info[layout.CONTENT:]:
            try:
                Camera.from_info(codec.read(info, layout.CAMERA_INFO), self._cameras[name].rectified)
            except ValueError as error:
                raise _Unusable(f'{topic}: {error}') from None
            self._checked[name] = info[layout.CONTENT:]
        return info

    def _drop(self, reason: str, text: str) -> None:
        if not self._tally.lost[reason]:
            self._log.warning(f'{text} (said once; counted as "{reason}")')
        self._tally.lost[reason] += 1


class _Uncalibrated(Exception):
    """A camera has no calibration so far."""


class _Unusable(Exception):
    """A pair that no waiting will make good."""


def _frame(topic: str, raw: bytes) -> str:
    try:
        frame = layout.header_frame(raw).lstrip('/')  # as tf2 knows it
    except BagError as error:
        raise _Unusable(f'{topic}: {error}') from None
    if not frame:
        raise _Unusable(f'{topic}: the header has no frame_id, so where the sensor is mounted is unknown: set it in '
                        'the driver')
    return frame
