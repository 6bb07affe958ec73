# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""KITTI raw: calibration chain, poses, motion within the sweep and between scan and image."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from ros_kd import extrinsics
from ros_kd.datasets import DatasetError, Options, open_dataset
from ros_kd.datasets import kitti_raw
from ros_kd.pictures import sample
from ros_kd.projection import project

SPEED, SWEEP, FRAMES = 10.0, 0.1, 3
P2 = np.array([[700.0, 0, 600, 42], [0, 700, 180, 0], [0, 0, 1, 0.003]])
REAL = 'kitti_raw/2011_09_26/2011_09_26_drive_0013_sync'


def _numbers(values) -> str:
    return ' '.join(repr(float(value)) for value in np.ravel(values))


def _time(seconds: float) -> str:
    return f'2011-09-26 13:00:{10 + seconds:012.9f}'


def _write_times(file: Path, offset: float) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(''.join(_time(SWEEP * n + offset) + '\n' for n in range(FRAMES)))


def _seen_while_driving(landmark: np.ndarray) -> np.ndarray:
    """Where the scanner, turning clockwise, measures a fixed `landmark` given in its frame at the contact."""
    point = landmark
    for _ in range(20):
        after = -np.arctan2(point[1], point[0]) / (2 * np.pi) * SWEEP
        point = landmark - [SPEED * after, 0, 0]
    return point


LANDMARKS = np.array([[12.0, 5, 0], [12, -5, 0.5], [8, 6, -1], [20, 0, 0], [-6, 3, 0]])


@pytest.fixture
def drive(tmp_path: Path) -> Path:
    """A vehicle driving east at 10 m/s along the equator, past fixed landmarks."""
    date, folder = tmp_path / '2011_09_26', tmp_path / '2011_09_26' / 'drive_sync'
    velodyne = folder / 'velodyne_points'
    (velodyne / 'data').mkdir(parents=True)
    (folder / 'image_02' / 'data').mkdir(parents=True)
    (folder / 'oxts' / 'data').mkdir(parents=True)
    _write_times(velodyne / 'timestamps.txt', 0)
    _write_times(velodyne / 'timestamps_start.txt', -SWEEP / 2)
    _write_times(velodyne / 'timestamps_end.txt', SWEEP / 2)
    _write_times(folder / 'image_02' / 'timestamps.txt', 0.0105)
    _write_times(folder / 'oxts' / 'timestamps.txt', 0.003)
    scan = np.array([[*_seen_while_driving(landmark), 0.5] for landmark in LANDMARKS], np.float32)
    for number in range(FRAMES):
        scan.tofile(velodyne / 'data' / f'{number:010}.bin')
        cv2.imwrite(str(folder / 'image_02' / 'data' / f'{number:010}.png'), np.zeros((360, 1200, 3), np.uint8))
        east = SPEED * (SWEEP * number + 0.003)
        packet = [0, np.degrees(east / kitti_raw.EARTH_RADIUS), 100, 0, 0, 0, *[0] * 24]
        (folder / 'oxts' / 'data' / f'{number:010}.txt').write_text(_numbers(packet))
    (date / 'calib_velo_to_cam.txt').write_text(f'R: {_numbers([0, -1, 0, 0, 0, -1, 1, 0, 0])}\nT: 0 0 -0.3\n')
    (date / 'calib_imu_to_velo.txt').write_text(f'R: {_numbers(np.eye(3))}\nT: -0.8 0.3 -0.8\n')
    (date / 'calib_cam_to_cam.txt').write_text(
        f'calib_time: 09-Jan-2012\nS_rect_02: 1200 360\nR_rect_00: {_numbers(np.eye(3))}\nP_rect_02: {_numbers(P2)}\n')
    return folder


def _open(path: Path, options: str = ''):
    return open_dataset(f'kitti_raw:{path}?{options}')


def test_points_measured_on_the_move_are_seen_as_from_the_contact(drive: Path) -> None:
    frame = _open(drive)[1]
    np.testing.assert_allclose(frame.points, LANDMARKS, atol=2e-3)
    assert frame.scan.time is None


def test_without_deskew_points_stay_and_carry_their_times(drive: Path) -> None:
    frame = _open(drive, 'deskew=no')[1]
    expected = np.array([_seen_while_driving(landmark) for landmark in LANDMARKS])
    np.testing.assert_allclose(frame.points, expected, atol=1e-5)
    moved = frame.points + frame.scan.time[:, None] * np.array([SPEED, 0, 0])
    np.testing.assert_allclose(moved, LANDMARKS, atol=1e-4)


def test_camera_has_the_rectified_intrinsics_and_the_baseline_and_ego_motion_are_extrinsic(drive: Path) -> None:
    frame = _open(drive)[1]
    view = frame.view('camera_2')
    np.testing.assert_array_equal(view.camera.K, P2[:, :3])
    driven = SPEED * (view.stamp - frame.stamp) * 1e-9
    assert driven == pytest.approx(0.025)
    for landmark in LANDMARKS[:4]:
        at_image = landmark - [driven, 0, 0]
        expected = P2 @ [-at_image[1], -at_image[2], at_image[0] - 0.3, 1]
        seen = view.camera.K @ (view.lidar_to_camera @ [*landmark, 1])[:3]
        np.testing.assert_allclose(seen[:2] / seen[2], expected[:2] / expected[2], atol=1e-3)


def test_poses_are_of_the_lidar_in_the_first_imu_frame(drive: Path) -> None:
    dataset = _open(drive)
    expected = [SPEED * (SWEEP - 0.003) + 0.8, -0.3, 0.8]
    np.testing.assert_allclose(dataset[1].world_from_lidar[:3, 3], expected, atol=1e-6)
    assert len(dataset.trajectory.stamps) == FRAMES


def test_a_drive_without_gps_keeps_the_static_chain(drive: Path) -> None:
    shutil.rmtree(drive / 'oxts')
    dataset = _open(drive)
    assert dataset.trajectory is None and dataset[1].world_from_lidar is None
    np.testing.assert_allclose(dataset[1].view('camera_2').lidar_to_camera[2], [1, 0, 0, -0.297], atol=1e-9)


def test_frames_are_those_whose_scan_is_there_thinned_on_request(drive: Path) -> None:
    (drive / 'velodyne_points' / 'data' / '0000000001.bin').unlink()
    assert [frame.key for frame in _open(drive)] == ['0000000000', '0000000002']
    assert [frame.key for frame in _open(drive, 'every=2')] == ['0000000000']
    assert len(_open(drive, 'frames=1')) == 1


def _cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-3])


def _replace(old: str, new: str):
    return lambda file: file.write_text(file.read_text().replace(old, new))


@pytest.mark.parametrize('name, damage, words', [
    ('velodyne_points/data/0000000000.bin', _cut, 'multiple of 16'),
    ('image_02/data/0000000000.png', Path.unlink, 'image .* missing'),
    ('velodyne_points/timestamps.txt', Path.unlink, 'no stamps'),
    ('velodyne_points/timestamps.txt', lambda file: file.write_text(''), 'no stamp for frame'),
    ('velodyne_points/timestamps.txt', lambda file: file.write_text('yesterday\n'), 'no time like'),
    ('oxts/data/0000000001.txt', lambda file: file.write_text('1 2 three'), 'no oxts packet'),
    ('../calib_cam_to_cam.txt', Path.unlink, 'calibration .* missing'),
    ('../calib_cam_to_cam.txt', _replace('P_rect_02', 'P_rect_99'), 'has no P_rect_02'),
    ('../calib_cam_to_cam.txt', _replace('700.0', 'seven'), 'line "P_rect_02": .* not numbers'),
    ('../calib_velo_to_cam.txt', _replace('0 0 -0.3', '0 -0.3'), 'line "T": 2 numbers, expected 3'),
])
def test_a_damaged_drive_is_refused_naming_the_file(drive: Path, name: str, damage, words: str) -> None:
    damage(drive / name)
    with pytest.raises(DatasetError, match=words) as error:
        _open(drive)[0]
    assert Path(name).name in str(error.value)


@pytest.mark.parametrize('options, words', [
    ('cameras=left', 'KITTI cameras'), ('cameras=03', 'no folder image_03'), ('deskew=maybe', 'yes or no'),
    ('every=0', 'every >= 1'), ('speed=3', "no option .'speed'")])
def test_a_wrong_option_is_refused_saying_what_is_known(drive: Path, options: str, words: str) -> None:
    with pytest.raises(DatasetError, match=words):
        _open(drive, options)


def test_another_folder_is_not_taken_for_a_drive(tmp_path: Path) -> None:
    assert not kitti_raw.recognises(tmp_path)
    with pytest.raises(DatasetError, match='velodyne_points'):
        kitti_raw.open(tmp_path, Options())


def _edge_strength(dataset, static: bool = False) -> float:
    """Sum of the vertical image edges under depth edges nearer than 30 m (after Levinson and Thrun, RSS 2013)."""
    total = 0.0
    for frame in dataset:
        view = frame.views[0]
        if static:
            drive = dataset.readers[0].args[1]
            view = replace(view, lidar_to_camera=drive.cameras[0].T_camera_lidar)
        grey = cv2.GaussianBlur(cv2.cvtColor(view.image(), cv2.COLOR_RGB2GRAY).astype(np.float32), (0, 0), 1)
        edges = np.abs(cv2.Sobel(grey, cv2.CV_32F, 1, 0))
        edges = cv2.GaussianBlur(np.minimum(edges / np.percentile(edges, 99), 1), (0, 0), 1.5)
        distance = np.linalg.norm(frame.points[:, :2], axis=1)
        step = np.diff(distance)
        nearer = np.append(step > 0.7, False) | np.append(False, step < -0.7)
        chosen = nearer & (frame.points[:, 2] > -1.3) & (distance < 30)
        total += float(sample(edges, project(frame.points[chosen], view, None).uv).sum())
    return total


def test_depth_edges_of_a_real_drive_meet_image_edges_best_with_both_motions(real_data: Path, monkeypatch) -> None:
    path = real_data / REAL
    best = _edge_strength(_open(path, 'every=2'))
    assert best > 1.06 * _edge_strength(_open(path, 'every=2&deskew=no'))
    assert best > 1.06 * _edge_strength(_open(path, 'every=2&deskew=no'), static=True)
    monkeypatch.setattr(kitti_raw, 'CAMERA_DELAY', 0)
    assert best > 1.04 * _edge_strength(_open(path, 'every=2'))


def test_a_fixed_street_overlaps_itself_in_a_real_drive(real_data: Path) -> None:
    """Structures of two scans 5 m apart coincide in the fixed frame, and not without the poses."""
    dataset = _open(real_data / REAL, 'frames=2')
    cells = [_occupied(extrinsics.apply(frame.world_from_lidar, frame.points)) for frame in dataset]
    unmoved = [_occupied(frame.points) for frame in dataset]
    assert len(cells[0] & cells[1]) > 1.5 * len(unmoved[0] & unmoved[1])


def _occupied(points: np.ndarray) -> set[bytes]:
    upright = points[(points[:, 2] > 0.2) & (np.linalg.norm(points[:, :2], axis=1) < 25)]
    return {cell.tobytes() for cell in np.unique(np.floor(upright / 0.25).astype(np.int32), axis=0)}
