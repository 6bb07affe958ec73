# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""KITTI raw drives (Geiger et al., IJRR 2013), official layout: DATE/DATE_drive_NNNN_sync beside DATE/calib_*.txt.

The scanner turns clockwise at 10 Hz; a contact triggers the cameras while it faces forward. The scan's stamp is that
moment (velodyne_points/timestamps.txt), the middle of the sweep. The files' points are not motion-compensated: with
GPS/IMU poses (oxts) they are moved to the stamp here (deskew=no leaves them and gives their times instead).
Images are the rectified ones, their stamps corrected by CAMERA_DELAY; the poses carry the vehicle from scan to image.
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
# Images are logged 10.5 ms after the contact. At 12 m/s, depth edges meet image edges best 2.5 ms after it (drive 0013,
# 16 frames): the rest is the way to the log, ns.
CAMERA_DELAY = 8_000_000
KNOWN = 'cameras=02[,03], deskew=yes (the default)|no, every=N (each Nth frame), frames=N (at most N)'


@dataclass(frozen=True, eq=False)
class _RectifiedCamera:
    name: str
    folder: Path
    camera: Camera
    T_camera_lidar: np.ndarray
    stamps: np.ndarray


@dataclass(frozen=True, eq=False)
class _Drive:
    """Stamps int64 [K], ns, by frame number: of the contact, and of the sweep's start and end."""

    cameras: tuple[_RectifiedCamera, ...]
    stamps: np.ndarray
    starts: np.ndarray
    ends: np.ndarray
    trajectory: Trajectory | None
    deskew: bool


def recognises(path: Path) -> bool:
    """Tell whether `path` is the folder of a drive."""
    return (path / 'velodyne_points').is_dir()


def open(path: Path, options: Options) -> FrameList:
    """Open a drive; a frame for each velodyne file that is there. Raises DatasetError saying what is missing."""
    numbers = camera_numbers(options.names('cameras', ('02',)))
    deskew = options.switch('deskew', True)
    every, frames = options.number('every', 1), options.number('frames', 0)
    options.finish('kitti_raw', KNOWN)
    if not recognises(path):
        raise DatasetError(f'{path} is no KITTI drive: no folder {path / "velodyne_points"}; expected the folder of '
                           'one drive, such as 2011_09_26/2011_09_26_drive_0013_sync')
    calibration = path if (path / 'calib_velo_to_cam.txt').exists() else path.parent
    velodyne = path / 'velodyne_points'
    drive = _Drive(
        tuple(_camera(path, calibration, number) for number in numbers), _stamps(velodyne / 'timestamps.txt'),
        _stamps(velodyne / 'timestamps_start.txt'), _stamps(velodyne / 'timestamps_end.txt'),
        _trajectory(path, calibration) if (path / 'oxts').is_dir() else None, deskew)
    scans = thin(numbered(velodyne / 'data', '.bin'), every, frames)
    return FrameList(path.name, [partial(_read, scan, drive) for scan in scans], drive.trajectory)


def _read(file: Path, drive: _Drive) -> PairedFrame:
    stamp = _stamp_of(file, drive.stamps)
    start, end = _stamp_of(file, drive.starts), _stamp_of(file, drive.ends)
    data = read_points(file, 4)
    points, time = data[:, :3], _sweeps_after_contact(data) * np.float32((end - start) * 1e-9)
    pose = drive.trajectory.at(stamp) if drive.trajectory else None
    if drive.deskew and _knows_motion(drive.trajectory, stamp, end - start):
        points, time = extrinsics.deskew(points, time, drive.trajectory, stamp), None
    scan = Scan(stamp, points, data[:, 3], time, frame_id='velodyne')
    views = tuple(_view(file.stem, camera, stamp, drive.trajectory) for camera in drive.cameras)
    return PairedFrame(scan, views, file.stem, pose)


def _sweeps_after_contact(points: np.ndarray) -> np.ndarray:
    """Return float32 [N], -0.5 to 0.5: when each point was measured, from its direction; clockwise, 0 is forward."""
    return np.arctan2(points[:, 1], points[:, 0]) * np.float32(-0.5 / np.pi)


def _knows_motion(trajectory: Trajectory | None, stamp: int, sweep: int) -> bool:
    return trajectory is not None and len(trajectory.stamps) > 1 and trajectory.covers(np.array([stamp - sweep,
                                                                                                 stamp + sweep]))


def _view(key: str, source: _RectifiedCamera, scan_stamp: int, trajectory: Trajectory | None) -> CameraView:
    image = source.folder / 'data' / f'{key}.png'
    if not image.exists():
        raise DatasetError(f'image {image} is missing: was the drive unpacked completely?')
    stamp = _stamp_of(image, source.stamps) - CAMERA_DELAY
    transform = source.T_camera_lidar
    poses = (trajectory.at(stamp), trajectory.at(scan_stamp)) if trajectory else (None, None)
    if poses[0] is not None and poses[1] is not None:
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
    return Trajectory(np.array([_stamp_of(file, stamps) for file in files]), poses)


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
