# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Bags of paired frames that record.launch.py wrote: `bag:PATH`, a rosbag2 folder or an .mcap file."""

from __future__ import annotations

from pathlib import Path

from ros_kd.bags import BagError
from ros_kd.bags.index import is_bag
from ros_kd.bags.reader import PairedBag
from ros_kd.datasets import DatasetError, Options


class RecordedBag(PairedBag):
    """A bag as a dataset."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.name = f'bag {path.name}'
        self.trajectory = self.read_trajectory()

    def __reduce__(self) -> tuple:
        return RecordedBag, (self.path,)


def recognises(path: Path) -> bool:
    """Tell whether `path` is a bag."""
    return is_bag(path)


def open(path: Path, options: Options) -> RecordedBag:
    """Open a bag of paired frames. Raises DatasetError saying what is wrong with it."""
    options.finish('bag', 'none')
    try:
        return RecordedBag(path)
    except BagError as error:
        raise DatasetError(str(error)) from None
