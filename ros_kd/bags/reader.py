# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Reads bags of paired frames; see layout.py."""

from __future__ import annotations

import warnings
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Iterator

import numpy as np

from ros_kd import clouds
from ros_kd.bags import BagError, EmptyBagError, codec, layout
from ros_kd.bags.calibration import Calibration
from ros_kd.bags.pixels import image_pixels, pixels_of
from ros_kd.bags.store import MessageStore, at, before, open_store
from ros_kd.extrinsics import Trajectory
from ros_kd.frames import CameraView, PairedFrame, Scan
from ros_kd.images import Pixels
from ros_kd.label_sets import read_taxonomy
from ros_kd.taxonomy import Taxonomy


class PairedBag:
    """The pairs of a bag by number, of all its files as one; nothing but the index stays in memory.

    A bag that was not finished is read up to its last whole pair, with a warning (`warnings` has its text).
    Raises BagError where there is no bag, or where it holds no pairs.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._store = open_store(self.path)
        self.warnings = self._store.warnings
        for text in self.warnings:
            warnings.warn(text, stacklevel=2)
        self.rig = read_rig(self._store, self.path)
        self.stamps = self._store.stamps(self.rig.points)
        if len(self.stamps) == 0:
            raise EmptyBagError(f'{self.path} holds no whole pair: recording ended before the first was written')
        self._taxonomies = lru_cache(maxsize=64)(self._read_taxonomy)
        self._calibrations = lru_cache(maxsize=256)(self._read_calibration)

    def __len__(self) -> int:
        return len(self.stamps)

    def __iter__(self) -> Iterator[PairedFrame]:
        return (self[index] for index in range(len(self)))

    def __getitem__(self, index: int) -> PairedFrame:
        if not -len(self) <= index < len(self):
            raise IndexError(f'pair {index} of {len(self)} in {self.path}')
        stamp = int(self.stamps[index])
        views = tuple(view for camera in self.rig.cameras if (view := self._view(camera, stamp)) is not None)
        pose = self._message(self.rig.pose, stamp)
        return PairedFrame(self._scan(index % len(self), self.intensity_scale), views, str(stamp),
                           None if pose is None else codec.matrix_of(pose.pose.position, pose.pose.orientation))

    def read_trajectory(self) -> Trajectory | None:
        """Return the LiDAR's poses in the fixed frame, or None if the bag has none."""
        stamps = self._store.stamps(self.rig.pose)
        if len(stamps) == 0:
            return None
        poses = [codec.read(self._store.read(self.rig.pose, number), layout.POSE).pose for number in range(len(stamps))]
        return Trajectory(stamps, np.stack([codec.matrix_of(pose.position, pose.orientation) for pose in poses]))

    @cached_property
    def intensity_scale(self) -> float:
        """The value of full intensity: the rig's, or else estimated from three scans, so that all pairs agree."""
        if self.rig.intensity_scale:
            return self.rig.intensity_scale
        scans = [self._scan(number, 1.0) for number in sorted({0, len(self) // 2, len(self) - 1})]
        return max((clouds.guess_intensity_scale(scan.intensity) for scan in scans if scan.intensity is not None),
                   default=1.0)

    def _message(self, topic: str, stamp: int) -> Any:
        raw = at(self._store, topic, stamp)
        return None if raw is None else codec.read(raw, self._store.types[topic])

    def _read_taxonomy(self, topic: str, number: int) -> Taxonomy:
        return read_taxonomy(codec.read(self._store.read(topic, number), layout.STRING).data)

    def _read_calibration(self, topic: str, number: int, rectified: bool) -> Calibration:
        return Calibration.of(codec.read(self._store.read(topic, number), layout.CAMERA_INFO), rectified)

    def _taxonomy(self, topic: str, stamp: int) -> Taxonomy | None:
        number = before(self._store, topic, stamp)
        return None if number < 0 else self._taxonomies(topic, number)

    def _scan(self, index: int, intensity_scale: float) -> Scan:
        stamp = int(self.stamps[index])
        cloud = codec.read(self._store.read(self.rig.points, index), layout.CLOUD)
        return clouds.scan_from_records(clouds.records(cloud), stamp, cloud.header.frame_id, intensity_scale,
                                        self._taxonomy(self.rig.label_info, stamp))

    def _calibration(self, topics: layout.CameraTopics, stamp: int) -> Calibration:
        number = before(self._store, topics.camera_info, stamp)
        if number < 0:
            raise BagError(f'{self.path} has no message on {topics.camera_info} before {stamp} ns: the calibration of '
                           f'camera "{topics.name}" is missing; record the bag again with it')
        return self._calibrations(topics.camera_info, number, topics.rectified)

    def _view(self, topics: layout.CameraTopics, stamp: int) -> CameraView | None:
        image, extrinsics = self._message(topics.image, stamp), self._message(topics.extrinsics, stamp)
        if image is None or extrinsics is None:
            return None
        labels, calibration = self._message(topics.labels, stamp), self._calibration(topics, stamp)
        mounted = codec.matrix_of(extrinsics.transform.translation, extrinsics.transform.rotation)
        return CameraView(topics.name, codec.stamp_of(image.header), calibration.camera,
                          calibration.rectification @ mounted, self._pixels(topics, image),
                          image.header.frame_id or topics.frame_id, None if labels is None else image_pixels(labels),
                          None if labels is None else self._taxonomy(topics.label_info, stamp))

    def _pixels(self, topics: layout.CameraTopics, image: Any) -> Pixels:
        return pixels_of(image, topics.compressed, f'{self.path}, {topics.image} at {codec.stamp_of(image.header)} ns')

    def __reduce__(self) -> Any:
        return PairedBag, (self.path,)


def read_rig(store: MessageStore, path: Path) -> layout.Rig:
    """Return the rig of a bag of pairs. Raises BagError for another bag, saying what it holds."""
    if len(store.stamps(layout.RIG)) == 0:
        topics = ', '.join(f'{topic} ({kind})' for topic, kind in sorted(store.types.items())) or 'nothing'
        raise BagError(f'{path} is a bag without pairs; it holds {topics}. A raw bag of cameras and a LiDAR is paired '
                       'when it is opened as a dataset, bag:PATH')
    return layout.Rig.from_json(codec.read(store.read(layout.RIG, 0), layout.STRING).data)
