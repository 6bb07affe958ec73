# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""PandaSet (Xiao et al., ITSC 2021), repacked: a folder per sequence with NN.npz and CAMERA/NN.jpg.

NN.npz: xyz float32 [N, 3] (m; x right, y forward, z up), intensity uint8, label uint8, sensor uint8 (0 the spinning
Pandar64, 1 the forward PandarGT), lidar_to_world [4, 4], timestamp (s), and of each camera K_, T_ (LiDAR at `timestamp`
to camera at `t_`, ego-motion included) and t_. The stamp is the end of the sweep, the cameras fired within the 0.1 s
before it; points are motion-compensated to the stamp.

Options: region=ahead, behind, left or right keeps the points of one half of the street, as seen from the first scan:
the same things are in all frames, so that frames of one half to train on and of another to score are a fair split, and
a split by time is none. axes=kitti turns the cloud into KITTI's axes and height (x forward, y left, z up, road near
-1.73 m), so that networks cross datasets; axes=sensor leaves it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from ros_kd import extrinsics
from ros_kd.cameras import Camera
from ros_kd.datasets import DatasetError, Options
from ros_kd.datasets.files import FrameList, image_size, numbered, thin
from ros_kd.extrinsics import Trajectory
from ros_kd.frames import CameraView, PairedFrame, Scan
from ros_kd.images import ImageFile
from ros_kd.label_sets import get_taxonomy

KNOWN = 'cameras=front_camera (default: all), sensor=0 (spinning, the default), 1 (forward) or both, axes=kitti (the ' \
    'default) or sensor, region=ahead, behind, left or right (default: all), every=N (each Nth frame), frames=N (at ' \
    'most N)'
# T_kitti_sensor: the Pandar64 is mounted 0.32 m above the frame's road, KITTI's HDL-64E 1.73 m.
TO_KITTI_AXES = np.array([[0.0, 1, 0, 0], [-1, 0, 0, 0], [0, 0, 1, -1.41], [0, 0, 0, 1]])
SENSORS = {'0': 0, '1': 1, 'both': None}
AXES = {'kitti': TO_KITTI_AXES, 'sensor': np.eye(4)}
# The direction of each half in the sensor's axes.
REGIONS = {'': None, 'ahead': (0, 1, 0), 'behind': (0, -1, 0), 'left': (-1, 0, 0), 'right': (1, 0, 0)}


@dataclass(frozen=True, eq=False)
class _Choice:
    """What the options chose; sizes: (width, height) by camera. region: float64 [4], a plane in the world whose
    positive side is kept, or None."""

    sizes: dict[str, tuple[int, int]]
    sensor: int | None
    axes: np.ndarray
    region: np.ndarray | None


def recognises(path: Path) -> bool:
    """Tell whether `path` is the folder of a sequence."""
    return path.is_dir() and any(path.glob('[0-9]*.npz')) and any(path.glob('*_camera'))


def open(path: Path, options: Options) -> FrameList:
    """Open a sequence. Raises DatasetError saying what is missing."""
    cameras, sensor, axes = options.names('cameras'), options.text('sensor', '0'), options.text('axes', 'kitti')
    every, frames = options.number('every', 1), options.number('frames', 0)
    region = options.text('region', '')
    options.finish('pandaset', KNOWN)
    if sensor not in SENSORS or axes not in AXES or region not in REGIONS:
        raise DatasetError(f'options sensor={sensor}, axes={axes}, region={region}: expected {KNOWN}')
    if not path.is_dir():
        raise DatasetError(f'no PandaSet sequence at {path}: expected a folder with NN.npz')
    files = numbered(path, '.npz')
    with _load(files[0]) as data:
        there = tuple(key[2:] for key in data.files if key.startswith('K_'))
        first_pose = _array(data, files[0], 'lidar_to_world')
    unknown = sorted(set(cameras) - set(there))
    if unknown:
        raise DatasetError(f'{files[0]} has no camera {", ".join(unknown)}; it has {", ".join(there)}')
    sizes = {name: image_size(path / name / f'{files[0].stem}.jpg') for name in cameras or there}
    choice = _Choice(sizes, SENSORS[sensor], AXES[axes], _half(first_pose, REGIONS[region]))
    readers = [partial(_read, file, choice) for file in thin(files, every, frames)]
    return FrameList(path.name, readers, _trajectory(files, choice))


def _half(pose: np.ndarray, direction: tuple[int, int, int] | None) -> np.ndarray | None:
    """The plane through the sensor at `pose`, across `direction` (sensor's axes), in the world."""
    if direction is None:
        return None
    normal = pose[:3, :3] @ np.array(direction, float)
    return np.append(normal, -normal @ pose[:3, 3])


def _load(file: Path) -> np.lib.npyio.NpzFile:
    try:
        return np.load(file, allow_pickle=False)
    except FileNotFoundError:
        raise DatasetError(f'scan {file} is missing') from None
    except (ValueError, OSError, EOFError, BadZipFile) as error:
        raise DatasetError(f'scan {file} is no npz ({error}): is it cut off?') from None


def _array(data: np.lib.npyio.NpzFile, file: Path, name: str) -> np.ndarray:
    try:
        return data[name]
    except KeyError:
        raise DatasetError(f'scan {file} has no array "{name}"; it has {sorted(data.files)}') from None
    except (ValueError, OSError, EOFError, BadZipFile) as error:
        raise DatasetError(f'scan {file}, array "{name}": {error}: is it cut off?') from None


def _nanoseconds(seconds: np.ndarray) -> int:
    return round(float(seconds) * 1e6) * 1000


def _trajectory(files: list[Path], choice: _Choice) -> Trajectory:
    stamps, poses = [], []
    for file in files:
        with _load(file) as data:
            stamps.append(_nanoseconds(_array(data, file, 'timestamp')))
            poses.append(_array(data, file, 'lidar_to_world'))
    return Trajectory(np.array(stamps, np.int64), np.stack(poses) @ extrinsics.invert(choice.axes))


def _read(file: Path, choice: _Choice) -> PairedFrame:
    with _load(file) as data:
        scan = _scan(data, file, choice)
        to_sensor = extrinsics.invert(choice.axes)
        views = tuple(_view(data, file, name, choice, to_sensor) for name in choice.sizes)
        pose = _array(data, file, 'lidar_to_world') @ to_sensor
    return PairedFrame(scan, views, f'{file.parent.name}/{file.stem}', pose)


def _scan(data: np.lib.npyio.NpzFile, file: Path, choice: _Choice) -> Scan:
    points, intensity, label = (_array(data, file, name) for name in ('xyz', 'intensity', 'label'))
    if not len(points) == len(intensity) == len(label):
        raise DatasetError(f'scan {file} has {len(points)} points, {len(intensity)} intensities and {len(label)} '
                           'labels; expected one of each per point')
    chosen = np.ones(len(points), bool)
    if choice.sensor is not None:
        chosen = _array(data, file, 'sensor') == choice.sensor
    if choice.region is not None:
        plane = choice.region @ _array(data, file, 'lidar_to_world')
        chosen = chosen & (points @ plane[:3] + plane[3] > 0)
    points, intensity, label = points[chosen], intensity[chosen], label[chosen]
    return Scan(_nanoseconds(_array(data, file, 'timestamp')), extrinsics.apply(choice.axes, points),
                intensity / np.float32(255), label=label.astype(np.uint16), taxonomy=get_taxonomy('pandaset'))


def _view(data: np.lib.npyio.NpzFile, file: Path, name: str, choice: _Choice, to_sensor: np.ndarray) -> CameraView:
    image = file.parent / name / f'{file.stem}.jpg'
    if not image.exists():
        raise DatasetError(f'image {image} is missing: was the sequence unpacked completely?')
    camera = Camera(*choice.sizes[name], _array(data, file, f'K_{name}'))
    return CameraView(name, _nanoseconds(_array(data, file, f't_{name}')), camera,
                      _array(data, file, f'T_{name}') @ to_sensor, ImageFile(image), f'{name}_optical')
