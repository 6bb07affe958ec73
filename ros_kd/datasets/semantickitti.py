# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""SemanticKITTI (Behley et al., ICCV 2019) over KITTI odometry: sequences/NN/{velodyne,labels,image_2,calib.txt}.

Scans are motion-compensated to the moment of their image, so both share one stamp (times.txt; 10 Hz by number without).
Labels are the raw class ids (taxonomy "semantickitti"). What a sequence lacks (images, labels, poses) its frames lack.
A folder with velodyne/ (and labels/) itself is read as one sequence.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from ros_kd import extrinsics
from ros_kd.cameras import Camera
from ros_kd.datasets import DatasetError, Options
from ros_kd.datasets.files import TENTH_OF_A_SECOND, FrameList, image_size, numbered, read_labels, read_points, thin
from ros_kd.datasets.kitti_calibration import camera_numbers, homogeneous, read_calibration, split_projection
from ros_kd.extrinsics import Trajectory
from ros_kd.frames import CameraView, PairedFrame, Scan
from ros_kd.images import ImageFile
from ros_kd.label_sets import get_taxonomy

KNOWN = 'sequences=00,01 (default: all), cameras=2[,3], every=N (each Nth frame), frames=N (at most N per sequence)'
# Stamps start anew in every sequence: hours between them keep frames of several sequences apart and in order.
SECONDS_BETWEEN_SEQUENCES = 10_000


@dataclass(frozen=True, eq=False)
class _Sequence:
    folder: Path
    cameras: dict[int, tuple[np.ndarray, np.ndarray]]
    trajectory: Trajectory | None
    times: np.ndarray | None

    def stamp(self, number: int) -> int:
        """Return a stamp in ns; times.txt counts from the sequence's start, and 0 is no stamp in ROS."""
        name = self.folder.name
        start = (1 + SECONDS_BETWEEN_SEQUENCES * (int(name) if name.isdigit() else 0)) * 1_000_000_000
        if self.times is None:
            return start + number * TENTH_OF_A_SECOND
        if number >= len(self.times):
            raise DatasetError(f'{self.folder / "times.txt"} has {len(self.times)} times, none for frame {number:06}')
        return start + round(self.times[number] * 1e9)


def recognises(path: Path) -> bool:
    """Tell whether `path` holds sequences or is one."""
    return _sequences_folder(path) is not None or _is_sequence(path)


def open(path: Path, options: Options) -> FrameList:
    """Open some or all sequences below `path`. Raises DatasetError saying what is missing."""
    asked = 'cameras' in options.values
    wanted, cameras = options.names('sequences'), camera_numbers(options.names('cameras', ('2',)))
    every, frames = options.number('every', 1), options.number('frames', 0)
    options.finish('semantickitti', KNOWN)
    folders = _folders(path, wanted)
    lacking = [folder / f'image_{n}' for folder in folders for n in cameras if not (folder / f'image_{n}').is_dir()]
    if asked and lacking:
        raise DatasetError(f'option cameras: no images in {lacking[0]}')
    sequences = [_sequence(folder, cameras) for folder in folders]
    readers = [partial(_read, file, sequence) for sequence in sequences
               for file in thin(numbered(sequence.folder / 'velodyne', '.bin'), every, frames)]
    # Each sequence has a fixed frame of its own: one trajectory cannot hold several.
    trajectory = sequences[0].trajectory if len(sequences) == 1 else None
    return FrameList('-'.join(sequence.folder.name for sequence in sequences), readers, trajectory)


def _is_sequence(path: Path) -> bool:
    return (path / 'velodyne').is_dir() and ((path / 'labels').is_dir() or (path / 'calib.txt').exists())


def _sequences_folder(path: Path) -> Path | None:
    return next((folder for folder in (path / 'sequences', path / 'dataset' / 'sequences') if folder.is_dir()), None)


def _folders(path: Path, wanted: tuple[str, ...]) -> list[Path]:
    root = _sequences_folder(path) or (path if path.name == 'sequences' else None)
    if root is None:
        if not (path / 'velodyne').is_dir() or wanted:
            raise DatasetError(f'{path} has neither a folder sequences nor, as one sequence, a folder velodyne'
                               + (f'; sequences={",".join(wanted)} were asked for' if wanted else ''))
        return [path]
    there = sorted(folder.parent for folder in root.glob('*/velodyne'))
    missing = sorted(set(wanted) - {folder.name for folder in there})
    if missing or not there:
        raise DatasetError(f'no scans of sequences {", ".join(missing) or "at all"} (NN/velodyne) in {root}; there are '
                           f'{[folder.name for folder in there]}')
    return [folder for folder in there if not wanted or folder.name in wanted]


def _sequence(folder: Path, numbers: list[int]) -> _Sequence:
    numbers = [number for number in numbers if (folder / f'image_{number}').is_dir()]
    calibration, times_file = folder / 'calib.txt', folder / 'times.txt'
    times = _table(times_file, 1)[:, 0] if times_file.exists() else None
    pose_file = next((file for file in (folder / 'poses.txt', folder.parents[1] / 'poses' / f'{folder.name}.txt')
                      if file.exists()), None)
    if pose_file is None and not numbers:
        return _Sequence(folder, {}, None, times)
    shapes = {f'P{number}': (3, 4) for number in numbers}
    entries = read_calibration(calibration, Tr=(3, 4), **shapes)
    T_camera0_lidar = homogeneous(entries['Tr'])
    cameras = {}
    for number in numbers:
        intrinsics, shift = split_projection(entries[f'P{number}'])
        cameras[number] = intrinsics, shift @ T_camera0_lidar
    sequence = _Sequence(folder, cameras, None, times)
    if pose_file is None:
        return sequence
    poses = _lidar_poses(_table(pose_file, 12), T_camera0_lidar)
    stamps = np.array([sequence.stamp(number) for number in range(len(poses))])
    return _Sequence(folder, cameras, Trajectory(stamps, poses), times)


def _table(path: Path, columns: int) -> np.ndarray:
    try:
        table = np.array([line.split() for line in path.read_text().splitlines() if line.strip()], np.float64)
        return table.reshape(-1, columns)
    except ValueError:
        raise DatasetError(f'{path}: expected {columns} numbers on every line') from None


def _lidar_poses(rows: np.ndarray, T_camera0_lidar: np.ndarray) -> np.ndarray:
    """Turn poses of camera 0 [K, 12] into poses of the LiDAR [K, 4, 4]; the fixed frame is the first scan's."""
    poses = np.tile(np.eye(4), (len(rows), 1, 1))
    poses[:, :3] = rows.reshape(-1, 3, 4)
    return extrinsics.invert(T_camera0_lidar) @ poses @ T_camera0_lidar


def _read(file: Path, sequence: _Sequence) -> PairedFrame:
    stamp = sequence.stamp(int(file.stem))
    data = read_points(file, 4)
    label = taxonomy = None
    if (sequence.folder / 'labels').is_dir():
        ids = read_labels(sequence.folder / 'labels' / f'{file.stem}.label', np.uint32, len(data))
        label, taxonomy = (ids & 0xFFFF).astype(np.uint16), get_taxonomy('semantickitti')
    scan = Scan(stamp, data[:, :3], data[:, 3], label=label, taxonomy=taxonomy, frame_id='velodyne')
    views = tuple(_view(file.stem, number, sequence, stamp) for number in sequence.cameras)
    pose = None if sequence.trajectory is None else sequence.trajectory.at(stamp)
    return PairedFrame(scan, views, f'{sequence.folder.name}/{file.stem}', pose)


def _view(key: str, number: int, sequence: _Sequence, stamp: int) -> CameraView:
    intrinsics, transform = sequence.cameras[number]
    image = sequence.folder / f'image_{number}' / f'{key}.png'
    name = f'camera_{number}'
    return CameraView(name, stamp, Camera(*image_size(image), intrinsics), transform, ImageFile(image),
                      f'{name}_optical')
