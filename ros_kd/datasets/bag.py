# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Bags: `bag:PATH`, a rosbag2 folder, an .mcap or .db3 file, or a .bag of ROS 1.

A bag of pairs, as record.launch.py writes it, is read as it is. Any other is paired here (see ros_kd/bags/raw).
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ros_kd.bags import BagError, layout
from ros_kd.bags.deskewing import deskewed
from ros_kd.bags.raw.bag import RawBag
from ros_kd.bags.raw.inputs import RawSettings
from ros_kd.bags.reader import PairedBag
from ros_kd.bags.store import is_bag, open_store
from ros_kd.datasets import Dataset, DatasetError, Options
from ros_kd.frames import PairedFrame

KNOWN = 'deskew=yes|no (the default: points stay where they were measured)'
KNOWN_RAW = (f'points=TOPIC, cameras=NAME[,NAME], fixed_frame=FRAME (odom, or else map), slop=SECONDS (0.1), {KNOWN}, '
             'every=N (each Nth pair), frames=N (at most N)')


class RecordedBag(PairedBag):
    """A bag of pairs as a dataset. move_points: to the scan's stamp, by their times and the bag's poses."""

    def __init__(self, path: Path, move_points: bool = False) -> None:
        super().__init__(path)
        self.name = f'bag {path.name}'
        self.trajectory = self.read_trajectory()
        self._move_points = move_points
        if move_points and self.trajectory is None:
            raise BagError(f'{path}: points cannot be deskewed, as the bag has no poses: record it with a fixed_frame '
                           'that odometry publishes')
        if move_points and len(self) and super().__getitem__(0).scan.time is None:
            raise BagError(f'{path}: points cannot be deskewed: the clouds on {self.rig.points} have no time of each '
                           'point')

    def __getitem__(self, index: int) -> PairedFrame:
        frame = super().__getitem__(index)
        if not self._move_points:
            return frame
        return replace(frame, scan=deskewed(frame.scan, lambda first, last: self.trajectory))

    def __reduce__(self) -> tuple:
        return RecordedBag, (self.path, self._move_points)


def recognises(path: Path) -> bool:
    """Tell whether `path` is a bag."""
    return is_bag(path)


def open(path: Path, options: Options) -> Dataset:
    """Open a bag; what was wrong with it or left out is warned of. Raises DatasetError saying why it cannot be read."""
    try:
        store = open_store(path)
        paired = layout.RIG in store.types
        store.close()
        if not paired:
            return RawBag(path, raw_settings(options))
        move_points = options.switch('deskew', False)
        options.finish('bag', f'{KNOWN}; others only where a raw bag is paired')
        return RecordedBag(path, move_points)
    except BagError as error:
        raise DatasetError(str(error)) from None


def raw_settings(options: Options) -> RawSettings:
    """Return what the options of a specification say about pairing a raw bag. Raises DatasetError for a wrong one."""
    settings = RawSettings(
        options.text('points', ''), options.names('cameras'), options.values.pop('fixed_frame', None),
        _seconds(options, 'slop', RawSettings.slop), options.switch('deskew', False), options.number('every', 1),
        options.number('frames', 0))
    options.finish('bag', KNOWN_RAW)
    return settings


def _seconds(options: Options, name: str, default: float) -> float:
    value = options.text(name, str(default))
    try:
        return float(value)
    except ValueError:
        raise DatasetError(f'option {name}={value}: expected seconds') from None
