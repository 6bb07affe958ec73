# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""What the readers of public datasets share: checked point files, image sizes and a list of frames read on demand."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Iterator, Sequence

import numpy as np

from ros_kd.datasets import DatasetError
from ros_kd.extrinsics import Trajectory
from ros_kd.frames import PairedFrame

TENTH_OF_A_SECOND = 100_000_000
# Markers of the JPEG segment that holds height and width (ITU T.81, B.1.1.3: SOF0..15 without DHT, JPG, DAC).
_JPEG_FRAMES = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


@dataclass(frozen=True)
class FrameList:
    """A dataset whose frames are read when they are asked for (ros_kd.datasets.Dataset).

    readers: one callable for each frame, in stamp order; picklable, so that loader processes can share the dataset.
    """

    name: str
    readers: Sequence[Callable[[], PairedFrame]]
    trajectory: Trajectory | None = None

    def __len__(self) -> int:
        return len(self.readers)

    def __getitem__(self, index: int) -> PairedFrame:
        return self.readers[index]()

    def __iter__(self) -> Iterator[PairedFrame]:
        return (read() for read in self.readers)


def read_points(path: Path, columns: int) -> np.ndarray:
    """Return the point file as float32 [N, columns].

    Raises DatasetError if the file is missing, empty or cut off within a point.
    """
    try:
        values = np.fromfile(path, np.float32)
        size = path.stat().st_size
    except FileNotFoundError:
        raise DatasetError(f'scan {path} is missing: was the dataset unpacked completely?') from None
    if size == 0 or size % (4 * columns):
        raise DatasetError(f'scan {path} has {size} bytes, expected a multiple of {4 * columns} ({columns} float32 for '
                           'each point): the file is cut off or of another kind')
    return values.reshape(-1, columns)


def read_labels(path: Path, dtype: type, points: int) -> np.ndarray:
    """Return one value for each of the scan's `points` [N]. Raises DatasetError if missing or of another number."""
    try:
        labels = np.fromfile(path, dtype)
    except FileNotFoundError:
        raise DatasetError(f'labels {path} are missing: was the dataset unpacked completely?') from None
    if len(labels) != points:
        raise DatasetError(f'{path} has {len(labels)} labels, but its scan has {points} points: they are not of the '
                           'same frame, or one of the files is cut off')
    return labels


def image_size(path: Path) -> tuple[int, int]:
    """Return (width, height) in pixels of a PNG or JPEG, from its header. Raises DatasetError if it is no image."""
    try:
        with path.open('rb') as file:
            data = file.read(1 << 18)
    except FileNotFoundError:
        raise DatasetError(f'image {path} is missing: was the dataset unpacked completely?') from None
    if data[:8] == b'\x89PNG\r\n\x1a\n' and len(data) >= 24:
        return int.from_bytes(data[16:20], 'big'), int.from_bytes(data[20:24], 'big')
    position = 2
    while data[:2] == b'\xff\xd8' and position + 9 <= len(data):
        if data[position + 1] in _JPEG_FRAMES:
            return (int.from_bytes(data[position + 7:position + 9], 'big'),
                    int.from_bytes(data[position + 5:position + 7], 'big'))
        position += 2 + int.from_bytes(data[position + 2:position + 4], 'big')
    raise DatasetError(f'image {path} ({path.stat().st_size} bytes) is neither a PNG nor a JPEG, or it is cut off')


def read_table(file: Path, hint: str) -> list[dict]:
    """Return the rows of a table in JSON. Raises DatasetError if it is missing, with the hint, or no JSON."""
    try:
        return json.loads(file.read_bytes())
    except FileNotFoundError:
        raise DatasetError(f'table {file} is missing: {hint}') from None
    except ValueError as error:
        raise DatasetError(f'table {file} is no JSON ({error}): is it cut off?') from None


def numbered(folder: Path, suffix: str) -> list[Path]:
    """Return the files of `folder` called NUMBER + suffix, by number. Raises DatasetError if there are none."""
    files = [path for path in folder.glob(f'*{suffix}') if path.name[:-len(suffix)].isdigit()]
    if not files:
        raise DatasetError(f'no files like {folder / ("000000" + suffix)}')
    return sorted(files, key=lambda path: (int(path.name[:-len(suffix)]), path.name))


def thin(items: list, every: int, frames: int) -> list:
    """Return each `every`-th item, at most `frames` of them (0: all). Raises DatasetError for senseless numbers."""
    if every < 1 or frames < 0:
        raise DatasetError(f'options every={every}, frames={frames}: expected every >= 1 and frames >= 0 (0 = all)')
    return items[::every][:frames or None]
