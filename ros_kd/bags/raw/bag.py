# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Raw bags, as `ros2 bag record` or ROS 1 made them, as paired frames: paired offline when they are opened."""

from __future__ import annotations

import warnings
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, Callable, Iterator, TypeVar

import numpy as np

from ros_kd import clouds
from ros_kd.bags import BagError, codec, layout
from ros_kd.bags.deskewing import deskewed
from ros_kd.bags.pixels import image_pixels, pixels_of
from ros_kd.bags.raw.contents import CameraSource, read_contents
from ros_kd.bags.raw.headers import DAMAGED
from ros_kd.bags.raw.inputs import RawSettings, find_inputs
from ros_kd.bags.raw.motion import RawMotion
from ros_kd.bags.raw.pairs import find_pairs
from ros_kd.bags.store import before, open_store
from ros_kd.extrinsics import Trajectory
from ros_kd.frames import CameraView, PairedFrame, Scan
from ros_kd.images import Pixels
from ros_kd.label_sets import read_taxonomy
from ros_kd.taxonomy import Taxonomy

Value = TypeVar('Value')
_LABEL_INFO = '/label_info'  # of the field gt_label of the clouds


class RawBag:
    """The pairs that a raw bag holds, by number; nothing but indices, calibrations and transforms stays in memory.

    report: what was left out and why; warned of once, when the bag is opened. Raises BagError where there is no bag,
    where LiDAR and cameras are not clear, and where not one pair can be made.
    """

    def __init__(self, path: Path | str, settings: RawSettings = RawSettings()) -> None:
        self.path, self.settings = Path(path), settings
        self.name = f'bag {self.path.name}'
        self._store = open_store(self.path)
        self._points, inputs = find_inputs(self._store, settings)
        contents = read_contents(self._store, self._points, inputs)
        self._scans, self._cameras = contents.scans, contents.cameras
        self._motion = RawMotion.find(contents.transforms, self._scans.frame_id, self._scans.stamps,
                                      settings.fixed_frame)
        pairs, report = find_pairs(self._scans, self._cameras, self._motion, settings.slop)
        notes = self._store.warnings
        if not self._motion.fixed and settings.fixed_frame != '':
            notes += (f'no transform from "{self._motion.lidar}" to odom or map: extrinsics leave out the motion of '
                      'the vehicle between scan and image',)
        self.report = replace(report, unreadable=contents.unreadable, notes=notes)
        if not len(pairs):
            raise BagError(f'{self.path} holds nothing that can be paired: {self.report.text()}')
        if self.report:
            warnings.warn(f'{self.path}: {self.report.text()}', stacklevel=2)
        self._pairs = pairs[::settings.every][:settings.frames or None]
        self.stamps = self._scans.stamps[self._pairs.places[:, 0]]
        if settings.deskew:
            self._check_deskew()

    def _check_deskew(self) -> None:
        if not self._motion.fixed:
            raise BagError(f'{self.path}: points cannot be deskewed, as there is no transform from '
                           f'"{self._motion.lidar}" to odom or map; name the frame with fixed_frame=FRAME')
        if self._scan(0, 1.0).time is None:
            raise BagError(f'{self.path}: points cannot be deskewed: the clouds on {self._points} have no field with '
                           'the time of each point, such as "time" or "t"')

    def __len__(self) -> int:
        return len(self.stamps)

    def __iter__(self) -> Iterator[PairedFrame]:
        return (self[index] for index in range(len(self)))

    def __getitem__(self, index: int) -> PairedFrame:
        if not -len(self) <= index < len(self):
            raise IndexError(f'pair {index} of {len(self)} in {self.path}')
        index %= len(self)
        stamp = int(self.stamps[index])
        views = tuple(self._view(index, camera) for camera in range(len(self._cameras)))
        scan = self._scan(index, self.intensity_scale)
        scan = deskewed(scan, self._motion.across) if self.settings.deskew else scan
        return PairedFrame(scan, views, str(stamp), self._motion.pose(stamp))

    @cached_property
    def trajectory(self) -> Trajectory | None:
        """The LiDAR's poses in the fixed frame at the scans' stamps, or None if the bag has none."""
        return self._motion.trajectory(self.stamps)

    @cached_property
    def intensity_scale(self) -> float:
        """The value of full intensity, estimated from three scans, so that all pairs agree."""
        largest = 1.0
        for index in sorted({0, len(self) // 2, len(self) - 1}):
            try:
                intensity = self._scan(index, 1.0).intensity
            except BagError:
                continue  # said when it is asked for
            if intensity is not None:
                largest = max(largest, clouds.guess_intensity_scale(intensity))
        return largest

    def _read(self, topic: str, number: int, convert: Callable[[Any], Value]) -> Value:
        """Return what `convert` makes of a message. Raises BagError naming the message."""
        try:
            return convert(codec.read(self._store.read(topic, number), self._store.types[topic]))
        except DAMAGED as error:
            raise BagError(f'message {number} on {topic} in {self.path} cannot be read: {error}') from None

    # ---- the scan

    def _scan(self, index: int, intensity_scale: float) -> Scan:
        number = int(self._scans.numbers[self._pairs.places[index, 0]])
        taxonomy = self._taxonomy(_LABEL_INFO, int(self._store.stamps(self._points)[number]))
        return self._read(self._points, number, lambda cloud: clouds.scan_from_records(
            clouds.records(cloud), int(self.stamps[index]), self._motion.lidar, intensity_scale, taxonomy))

    def _taxonomy(self, topic: str, logged: int) -> Taxonomy | None:
        """Return the taxonomy that holds at a log time: of the last message before, or else of the first."""
        if len(self._store.stamps(topic)) == 0 or self._store.types[topic] != layout.STRING:
            return None
        number = max(before(self._store, topic, logged), 0)
        return self._read(topic, number, lambda message: read_taxonomy(message.data))

    # ---- the views

    def _view(self, index: int, camera: int) -> CameraView:
        source = self._cameras[camera]
        place = self._pairs.places[index, camera + 1]
        stamp, topics = int(source.images.stamps[place]), source.inputs
        calibration = source.calibrations.different[self._pairs.calibrations[index, camera]]
        transform = self._motion.lidar_to_camera(source.frame_id, stamp, int(self.stamps[index]))
        labels = self._labels(source, stamp)
        number = int(source.images.numbers[place])
        taxonomy = None if labels is None else self._taxonomy(
            topics.label_info, int(self._store.stamps(topics.image)[number]))
        return CameraView(topics.name, stamp, calibration.camera, calibration.rectification @ transform,
                          self._pixels(source, number), source.frame_id, labels, taxonomy)

    def _pixels(self, source: CameraSource, number: int) -> Pixels:
        topic = source.inputs.image
        return self._read(topic, number, lambda image: pixels_of(
            image, source.inputs.compressed, f'{self.path}, message {number} on {topic}'))

    def _labels(self, source: CameraSource, stamp: int) -> Pixels | None:
        """Return the label image with exactly the image's stamp."""
        if source.labels is None:
            return None
        place = int(np.searchsorted(source.labels.stamps, stamp))
        if place == len(source.labels.stamps) or source.labels.stamps[place] != stamp:
            return None
        return self._read(source.inputs.labels, int(source.labels.numbers[place]), image_pixels)
