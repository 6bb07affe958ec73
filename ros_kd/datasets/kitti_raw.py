# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""KITTI raw drives (Geiger et al., IJRR 2013), official layout: DATE/DATE_drive_NNNN_sync beside DATE/calib_*.txt.

The scanner turns at 10 Hz; a contact triggers the cameras while it faces forward. The scan's stamp is that moment
(velodyne_points/timestamps.txt), the middle of the sweep: the points that a forward camera sees were measured within
15 ms of it, while start and end of the sweep are 50 ms off. Points are not motion-compensated.
Images are the rectified ones; GPS/IMU poses (oxts, own stamps) carry the vehicle from scan to image.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from ros_kd import extrinsics
from ros_kd.cameras import Camera
from ros_kd.datasets import DatasetError, Options
from ros_kd.datasets.files import FrameList, numbered, read_points, thin
from ros_kd.datasets.kitti_calibration import camera_numbers, homogeneous, read_calibration, split_projection
from ros_kd.extrinsics import Trajectory
from ros_kd.frames import CameraView, PairedFrame, Scan
from ros_kd.images import ImageFile

EARTH_RADIUS = 6378137.0
KNOWN = 'cameras=02[,03], every=N (each Nth frame), frames=N (at most N)'


@dataclass(frozen=True, eq=False)
class _RectifiedCamera:
    name: str
    folder: Path
    camera: Camera
    T_camera_lidar: np.ndarray
    stamps: np.ndarray


def recognises(path: Path) -> bool:
    """Tell whether `path` is the folder of a drive."""
    return (path / 'velodyne_points').is_dir()


def open(path: Path, options: Options) -> FrameList:
    """Open a drive; a frame for each velodyne file that is there. Raises DatasetError saying what is missing."""
    numbers = camera_numbers(options.names('cameras', ('02',)))
    every, frames = options.number('every', 1), options.number('frames', 0)
    options.finish('kitti_raw', KNOWN)
    if not recognises(path):
        raise DatasetError(f'{path} is no KITTI drive: no folder {path / "velodyne_points"}; expected the folder of one '
                           'drive, such as 2011_09_26/2011_09_26_drive_0013_sync')
    calibration = path if (path / 'calib_velo_to_cam.txt').exists() else path.parent
    cameras = [_camera(path, calibration, number) for number in numbers]
    stamps = _stamps(path / 'velodyne_points' / 'timestamps.txt')
    trajectory = _trajectory(path, calibration) if (path / 'oxts').is_dir() else None
    scans = thin(numbered(path / 'velodyne_points' / 'data', '.bin'), every, frames)
    return FrameList(path.name, [partial(_read, scan, stamps, cameras, trajectory) for scan in scans], trajectory)


def _read(file: Path, stamps: np.ndarray, cameras: list[_RectifiedCamera],
          trajectory: Trajectory | None) -> PairedFrame:
    stamp = _stamp_of(file, stamps)
    data = read_points(file, 4)
    scan = Scan(stamp, data[:, :3], data[:, 3], frame_id='velodyne')
    pose = None if trajectory is None else trajectory.at(stamp)
    return PairedFrame(scan, tuple(_view(file.stem, camera, stamp, trajectory) for camera in cameras), file.stem, pose)


def _view(key: str, source: _RectifiedCamera, scan_stamp: int, trajectory: Trajectory | None) -> CameraView:
    image = source.folder / 'data' / f'{key}.png'
    if not image.exists():
        raise DatasetError(f'image {image} is missing: was the drive unpacked completely?')
    stamp = _stamp_of(image, source.stamps)
    transform = source.T_camera_lidar
    poses = trajectory and (trajectory.at(stamp), trajectory.at(scan_stamp))
    if poses and poses[0] is not None and poses[1] is not None:
        transform = extrinsics.lidar_to_camera(transform, *poses, np.eye(4))
    return CameraView(source.name, stamp, source.camera, transform, ImageFile(image), f'{source.name}_optical')


def _camera(drive: Path, calibration: Path, number: int) -> _RectifiedCamera:
    folder = drive / f'image_{number:02}'
    if not folder.is_dir():
        raise DatasetError(f'drive {drive} has no folder image_{number:02} for cameras={number:02}')
    size, rotation, projection = f'S_rect_{number:02}', 'R_rect_00', f'P_rect_{number:02}'
    entries = read_calibration(calibration / 'calib_cam_to_cam.txt',
                               **{size: (2,), rotation: (3, 3), projection: (3, 4)})
    width, height = (int(value) for value in entries[size])
    intrinsics, shift = split_projection(entries[projection])
    transform = shift @ homogeneous(entries[rotation]) @ _rigid(calibration / 'calib_velo_to_cam.txt')
    return _RectifiedCamera(f'camera_{number}', folder, Camera(width, height, intrinsics), transform,
                            _stamps(folder / 'timestamps.txt'))


def _rigid(path: Path) -> np.ndarray:
    entries = read_calibration(path, R=(3, 3), T=(3,))
    return extrinsics.from_rotation(entries['R'], entries['T'])


def _stamps(path: Path) -> np.ndarray:
    """Return the stamps of a timestamps.txt in ns, int64 [N]."""
    try:
        lines = path.read_text().split('\n')
    except FileNotFoundError:
        raise DatasetError(f'{path} is missing: the drive has no stamps') from None
    try:
        return np.array([line.strip() or 'NaT' for line in lines], 'datetime64[ns]').astype(np.int64)
    except ValueError as error:
        raise DatasetError(f'{path} holds a line that is no time like 2011-09-26 13:10:51.158069617: {error}') from None


def _stamp_of(file: Path, stamps: np.ndarray) -> int:
    number = int(file.stem)
    if number >= len(stamps) or stamps[number] < 0:
        raise DatasetError(f'{file.parent.parent / "timestamps.txt"} has no stamp for frame {file.stem} '
                           f'(it has {int((stamps >= 0).sum())})')
    return int(stamps[number])


def _trajectory(drive: Path, calibration: Path) -> Trajectory:
    """Return T_world_lidar from GPS/IMU; the world is the IMU's first pose, as in the KITTI development kit."""
    files = numbered(drive / 'oxts' / 'data', '.txt')
    stamps = _stamps(drive / 'oxts' / 'timestamps.txt')
    poses = _mercator_poses(np.stack([_packet(file) for file in files]))
    T_imu_lidar = extrinsics.invert(_rigid(calibration / 'calib_imu_to_velo.txt'))
    poses = extrinsics.invert(poses[0]) @ poses @ T_imu_lidar
    stamps = np.array([_stamp_of(file, stamps) for file in files])
    # Some drives repeat or swap GPS packets; interpolation needs rising stamps.
    rising = np.append(True, stamps[1:] > np.maximum.accumulate(stamps)[:-1])
    return Trajectory(stamps[rising], poses[rising])


def _packet(file: Path) -> np.ndarray:
    """Return latitude, longitude (degrees), altitude (m), roll, pitch, yaw (rad) of one oxts file."""
    try:
        values = np.array(file.read_text().split()[:6], np.float64)
    except ValueError:
        values = np.empty(0)
    if len(values) != 6:
        raise DatasetError(f'{file} is no oxts packet: expected numbers, the first six latitude to yaw')
    return values


def _mercator_poses(packets: np.ndarray) -> np.ndarray:
    """Return T_world_imu [K, 4, 4] of packets [K, 6] in a Mercator projection scaled for the first latitude."""
    latitude, longitude, altitude, roll, pitch, yaw = packets.T
    scale = np.cos(np.radians(latitude[0]))
    poses = np.tile(np.eye(4), (len(packets), 1, 1))
    poses[:, 0, 3] = scale * EARTH_RADIUS * np.radians(longitude)
    poses[:, 1, 3] = scale * EARTH_RADIUS * np.log(np.tan(np.radians(90 + latitude) / 2))
    poses[:, 2, 3] = altitude
    poses[:, :3, :3] = _rotations(2, yaw) @ _rotations(1, pitch) @ _rotations(0, roll)
    return poses


def _rotations(axis: int, angles: np.ndarray) -> np.ndarray:
    """Return right-handed rotations [K, 3, 3] about x (0), y (1) or z (2)."""
    matrices = np.tile(np.eye(3), (len(angles), 1, 1))
    first, second = (axis + 1) % 3, (axis + 2) % 3
    matrices[:, first, first] = matrices[:, second, second] = np.cos(angles)
    matrices[:, second, first] = np.sin(angles)
    matrices[:, first, second] = -np.sin(angles)
    return matrices
