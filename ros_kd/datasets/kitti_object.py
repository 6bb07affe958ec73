# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""KITTI object detection (Geiger et al., CVPR 2012): {training,testing}/{velodyne,image_2,calib}.

Frames are single shots from many drives: without poses, so that points of a moving vehicle stay uncompensated (up to
15 ms of driving at the image's borders), and with stamps made up at 10 Hz from their numbers. A folder of bare
NUMBER.bin and NUMBER.png pairs is read too, given its vehicle's calibration file (option calibration=FILE).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from ros_kd.cameras import Camera
from ros_kd.datasets import DatasetError, Options
from ros_kd.datasets.files import TENTH_OF_A_SECOND, FrameList, image_size, numbered, read_points
from ros_kd.datasets.kitti_calibration import camera_numbers, homogeneous, read_calibration, split_projection
from ros_kd.frames import CameraView, PairedFrame, Scan
from ros_kd.images import ImageFile

KNOWN = 'split=training|testing, ids=000000,000001 (only these), skip=000003 (all but these), cameras=2[,3], ' \
    'calibration=FILE (for a folder of bare .bin and .png files)'


@dataclass(frozen=True)
class _Layout:
    """Where the parts of a frame are; `calibration`: a folder, or one file for all frames."""

    name: str
    scans: Path
    images: dict[int, Path]
    calibration: Path


def recognises(path: Path) -> bool:
    """Tell whether `path` holds splits, is a split, or is a folder of bare pairs."""
    if any(_is_split(folder) for folder in (path, path / 'training', path / 'testing')):
        return True
    return path.is_dir() and any(file.with_suffix('.png').exists() for file in path.glob('[0-9]*.bin'))


def open(path: Path, options: Options) -> FrameList:
    """Open a split. Raises DatasetError saying what is missing."""
    split, calibration = options.text('split', ''), options.text('calibration', '')
    wanted, skipped = options.names('ids'), options.names('skip')
    cameras = camera_numbers(options.names('cameras', ('2',)))
    options.finish('kitti_object', KNOWN)
    layout = _layout(path, split, calibration, cameras)
    scans = numbered(layout.scans, '.bin')
    names = {file.stem for file in scans}
    unknown = [name for name in (*wanted, *skipped) if name not in names]
    if unknown:
        raise DatasetError(f'{layout.scans} has no frames {", ".join(unknown)}; it has {len(names)}, '
                           f'from {scans[0].stem} to {scans[-1].stem}')
    chosen = [file for file in scans if (not wanted or file.stem in wanted) and file.stem not in skipped]
    return FrameList(layout.name, [partial(_read, file, layout) for file in chosen])


def _is_split(folder: Path) -> bool:
    return (folder / 'velodyne').is_dir() and (folder / 'calib').is_dir()


def _layout(path: Path, split: str, calibration: str, cameras: list[int]) -> _Layout:
    bare = not (path / 'velodyne').is_dir() and any(path.glob('[0-9]*.bin'))
    if bare:
        if not calibration:
            raise DatasetError(f'{path} has scans but no calibration: add ?calibration=FILE, a KITTI object '
                               'calibration (P2, R0_rect, Tr_velo_to_cam) of the same vehicle')
        return _Layout(path.name, path, {cameras[0]: path}, Path(calibration).expanduser())
    folder = path if _is_split(path) and split in ('', path.name) else path / (split or 'training')
    for part in ('velodyne', 'calib', *(f'image_{number}' for number in cameras)):
        if not (folder / part).is_dir() and not (part == 'calib' and calibration):
            raise DatasetError(f'no folder {folder / part}: expected velodyne, calib and image_2 below {folder}')
    return _Layout(folder.name, folder / 'velodyne', {number: folder / f'image_{number}' for number in cameras},
                   Path(calibration).expanduser() if calibration else folder / 'calib')


def _read(file: Path, layout: _Layout) -> PairedFrame:
    stamp = (int(file.stem) + 1) * TENTH_OF_A_SECOND
    data = read_points(file, 4)
    scan = Scan(stamp, data[:, :3], data[:, 3], frame_id='velodyne')
    calibration = layout.calibration / f'{file.stem}.txt' if layout.calibration.is_dir() else layout.calibration
    views = tuple(_view(number, folder / f'{file.stem}.png', calibration, stamp)
                  for number, folder in layout.images.items())
    return PairedFrame(scan, views, f'{layout.name}/{file.stem}')


def _view(number: int, image: Path, calibration: Path, stamp: int) -> CameraView:
    projection = f'P{number}'
    entries = read_calibration(calibration, **{projection: (3, 4), 'R0_rect': (3, 3), 'Tr_velo_to_cam': (3, 4)})
    intrinsics, shift = split_projection(entries[projection])
    transform: np.ndarray = shift @ homogeneous(entries['R0_rect']) @ homogeneous(entries['Tr_velo_to_cam'])
    name = f'camera_{number}'
    return CameraView(name, stamp, Camera(*image_size(image), intrinsics), transform, ImageFile(image),
                      f'{name}_optical')
