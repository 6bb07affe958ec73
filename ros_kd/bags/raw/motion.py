# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Transforms of a raw bag: the tree of /tf and /tf_static, and extrinsics with the motion between scan and image."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np

from ros_kd.bags import BagError, codec, layout
from ros_kd.bags.raw.headers import DAMAGED, JUMP
from ros_kd.bags.store import MessageStore
from ros_kd.extrinsics import Trajectory
from ros_kd.transforms import TransformError, TransformTree

_FIXED_FRAMES = ('odom', 'map')
_STEP = 10_000_000  # ns between the poses that a scan is deskewed with


class TransformReader:
    """Reads topics of TFMessage called tf or tf_static into a tree.

    refused: how many transforms are none, by the reason.
    """

    def __init__(self, store: MessageStore) -> None:
        self._store, self.tree, self.refused = store, TransformTree(), Counter()
        self._newest: dict[str, int] = {}

    def topics(self) -> list[str]:
        """Return the topics to read."""
        return [topic for topic, kind in self._store.types.items()
                if kind == layout.TF_MESSAGE and topic.rsplit('/', 1)[-1] in ('tf', 'tf_static')]

    def add(self, topic: str, number: int) -> None:
        """Read a message."""
        try:
            transforms = codec.read(self._store.read(topic, number), layout.TF_MESSAGE).transforms
        except DAMAGED as error:
            self.refused[f'damaged message on {topic}: {error}'] += 1
            return
        for transform in transforms:
            try:
                self._add(transform, topic.endswith('/tf_static'))
            except ValueError as error:
                self.refused[f'"{transform.child_frame_id}" in "{transform.header.frame_id}": {error}'] += 1

    def _add(self, message: Any, static: bool) -> None:
        stamp, child, value = codec.stamp_of(message.header), message.child_frame_id, message.transform
        if not static:
            newest = self._newest.get(child, stamp)
            if stamp < newest - JUMP:
                raise TransformError('the clock jumped back')
            self._newest[child] = max(newest, stamp)
        self.tree.add(message.header.frame_id, child, stamp, codec.matrix_of(value.translation, value.rotation), static)


@dataclass(frozen=True, eq=False)
class RawMotion:
    """Extrinsics of a LiDAR in a tree. fixed: the frame that the vehicle moves in, '' = its motion is left out."""

    tree: TransformTree
    lidar: str
    fixed: str

    @classmethod
    def find(cls, tree: TransformTree, lidar: str, stamps: np.ndarray, wanted: str | None) -> RawMotion:
        """Choose the fixed frame for scans at `stamps` [M]; `wanted` None: odom, or else map, or else none.

        Raises BagError if the frame that is wanted does not connect to the LiDAR at any scan.
        """
        names = _FIXED_FRAMES if wanted is None else (wanted,) if wanted else ()
        fixed = next((name for name in names if tree.covers(name, lidar, stamps).any()), '')
        if wanted and not fixed:
            raise BagError(f'no transform from "{lidar}" to the fixed frame "{wanted}" at any scan; the frames of the '
                           f'bag:\n{tree.as_text() or "none"}')
        return cls(tree, lidar, fixed)

    def covers(self, camera: str, image_stamps: np.ndarray, scan_stamps: np.ndarray) -> np.ndarray:
        """Tell for each pair, bool [M], whether `lidar_to_camera` knows it."""
        if not self.fixed:
            return self.tree.covers(camera, self.lidar, image_stamps)
        return self.tree.covers(camera, self.fixed, image_stamps) & self.tree.covers(self.fixed, self.lidar,
                                                                                     scan_stamps)

    def lidar_to_camera(self, camera: str, image_stamp: int, scan_stamp: int) -> np.ndarray:
        """Return T_camera_lidar float64 [4, 4] from the scan's stamp to the image's (2DPASS eq. 2).

        Raises TransformError.
        """
        if not self.fixed:
            return self.tree.lookup(camera, self.lidar, image_stamp)
        return self.tree.lookup_full(camera, image_stamp, self.lidar, scan_stamp, self.fixed)

    def pose(self, stamp: int) -> np.ndarray | None:
        """Return T_fixed_lidar float64 [4, 4] at a scan's stamp, or None without a fixed frame."""
        return self.tree.lookup(self.fixed, self.lidar, stamp) if self.fixed else None

    def trajectory(self, stamps: np.ndarray) -> Trajectory | None:
        """Return the LiDAR's poses at those of `stamps` [M] that are known, or None without a fixed frame."""
        if not self.fixed:
            return None
        stamps = stamps[self.tree.covers(self.fixed, self.lidar, stamps)]
        poses = [self.pose(stamp) for stamp in stamps.tolist()]
        return Trajectory(stamps, np.stack(poses) if poses else np.empty((0, 4, 4)))

    def across(self, first: int, last: int) -> Trajectory | None:
        """Return the LiDAR's way from `first` to `last` (ns) and a little more, for deskewing."""
        return self.trajectory(np.arange(first - _STEP, last + 2 * _STEP, _STEP))
