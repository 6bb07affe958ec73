# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""PandaSet: sensors, axes, damaged files, and extrinsics against a real image network."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from agreement import agreement, turned

from ros_kd import extrinsics
from ros_kd.datasets import DatasetError, open_dataset, pandaset

K = np.array([[500.0, 0, 100], [0, 500, 50], [0, 0, 1]])
# Camera at the LiDAR, looking along its y (forward).
TO_CAMERA = np.array([[1.0, 0, 0, 0], [0, 0, -1, 0], [0, 1, 0, 0], [0, 0, 0, 1]])
XYZ = np.array([[1, 10, 0.5], [-2, 20, -0.32], [0, 30, 3]], np.float32)


def _arrays(number: int) -> dict[str, np.ndarray]:
    pose = np.eye(4)
    pose[1, 3] = 2.0 * number
    return dict(xyz=XYZ, intensity=np.array([0, 51, 255], np.uint8), label=np.array([13, 7, 5], np.uint8),
                sensor=np.array([0, 0, 1], np.uint8), lidar_to_world=pose, timestamp=np.float64(1e9 + 0.4 * number),
                K_front_camera=K, T_front_camera=TO_CAMERA, t_front_camera=np.float64(1e9 + 0.4 * number - 0.05))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / '002'
    (folder / 'front_camera').mkdir(parents=True)
    for number in (0, 4):
        np.savez(folder / f'{number:02}.npz', **_arrays(number))
        cv2.imwrite(str(folder / 'front_camera' / f'{number:02}.jpg'), np.zeros((100, 200, 3), np.uint8))
    return folder


def _open(path: Path, options: str = ''):
    return open_dataset(f'pandaset:{path}?{options}')


def test_kitti_axes_point_forward_with_the_road_173_cm_below(root: Path) -> None:
    frame = _open(root)[0]
    np.testing.assert_allclose(frame.points, [[10, -1, -0.91], [20, 2, -1.73]], atol=1e-6)
    np.testing.assert_allclose(frame.scan.intensity, [0, 0.2])
    assert [frame.scan.taxonomy.names[label] for label in frame.scan.label] == ['Car', 'Road']


@pytest.mark.parametrize('axes', ['kitti', 'sensor'])
def test_axes_change_neither_pixels_nor_the_world(root: Path, axes: str) -> None:
    frame = _open(root, f'axes={axes}&sensor=both')[1]
    view = frame.view('front_camera')
    uv, _ = view.camera.project(extrinsics.apply(view.lidar_to_camera, frame.points))
    expected = (K @ np.array([XYZ[:, 0], -XYZ[:, 2], XYZ[:, 1]])).T
    np.testing.assert_allclose(uv, expected[:, :2] / expected[:, 2:], atol=1e-3)
    np.testing.assert_allclose(extrinsics.apply(frame.world_from_lidar, frame.points), XYZ + [0, 8, 0], atol=1e-5)
    np.testing.assert_allclose(_open(root, f'axes={axes}').trajectory.poses[1], frame.world_from_lidar)


def test_sensors_are_chosen(root: Path) -> None:
    assert [len(_open(root, f'sensor={sensor}')[0].scan) for sensor in ('0', '1', 'both')] == [2, 1, 3]


def test_a_region_is_the_same_half_of_the_world_in_all_frames(root: Path) -> None:
    # The vehicle drives 8 m ahead between the frames: what was 10 m ahead of the first scan stays there.
    halves = {name: [frame.points for frame in _open(root, f'region={name}&sensor=both')]
              for name in ('ahead', 'behind', 'left', 'right')}
    assert [len(points) for points in halves['ahead']] == [3, 3] and not len(halves['behind'][0])
    np.testing.assert_allclose(halves['left'][1], [[20, 2, -1.73]], atol=1e-6)
    np.testing.assert_allclose(halves['right'][0], [[10, -1, -0.91]], atol=1e-6)
    with np.load(root / '04.npz') as data:
        arrays = dict(data)
    arrays['xyz'] = XYZ - np.array([0, 15, 0], np.float32)  # 5 m behind, seen from the second scan: ahead of the first
    np.savez(root / '04.npz', **arrays)
    assert [len(_open(root, f'region={name}&sensor=both')[1].scan) for name in ('ahead', 'behind')] == [3, 0]
    with pytest.raises(DatasetError, match='region=up'):
        _open(root, 'region=up')


def test_stamps_are_those_of_sweep_and_camera(root: Path) -> None:
    frame = _open(root)[1]
    assert frame.views[0].stamp - frame.stamp == -50_000_000 and frame.key == '002/04'


def _without(name: str):
    def damage(file: Path) -> None:
        np.savez(file, **{key: value for key, value in _arrays(0).items() if key != name})
    return damage


@pytest.mark.parametrize('name, damage, words', [
    ('04.npz', lambda file: file.write_bytes(file.read_bytes()[:200]), 'is no npz'),
    ('04.npz', _without('lidar_to_world'), 'no array "lidar_to_world"'),
    ('04.npz', _without('T_front_camera'), 'no array "T_front_camera"'),
    ('04.npz', lambda file: np.savez(file, **{**_arrays(0), 'label': np.zeros(2, np.uint8)}), '3 points, .* 2 labels'),
    ('front_camera/04.jpg', Path.unlink, 'image .* missing'),
])
def test_a_damaged_sequence_is_refused_naming_the_file(root: Path, name: str, damage, words: str) -> None:
    damage(root / name)
    with pytest.raises(DatasetError, match=words) as error:
        _open(root)[1]
    assert Path(name).name in str(error.value)


@pytest.mark.parametrize('options, words', [('cameras=rear', 'no camera rear'), ('sensor=2', 'sensor=2'),
                                            ('axes=up', 'axes=up'), ('split=1', "no option")])
def test_a_wrong_option_is_refused(root: Path, options: str, words: str) -> None:
    with pytest.raises(DatasetError, match=words):
        _open(root, options)


def test_recognises_sequences_only(root: Path) -> None:
    assert pandaset.recognises(root) and not pandaset.recognises(root.parent)


@pytest.mark.parametrize('camera, share', [('front_camera', 0.89), ('back_camera', 0.6)])
def test_real_labels_meet_the_pixels_of_a_real_network_best_with_the_true_extrinsics(
        real_data: Path, camera: str, share: float) -> None:
    dataset = _open(real_data / 'pandaset' / '002', f'cameras={camera}&every=5')
    for frame in dataset:
        true = agreement(frame, frame.views[0], real_data)
        assert true > share
        for degrees in (-2, 2):
            assert agreement(frame, turned(frame.views[0], degrees), real_data) < true - 0.02
        assert agreement(frame, frame.views[0], real_data, occlusion=None) < true


def test_the_road_of_a_real_sequence_lies_at_kittis_height(real_data: Path) -> None:
    frame = _open(real_data / 'pandaset' / '002', 'frames=1')[0]
    road = frame.points[(frame.scan.label == 7) & (np.linalg.norm(frame.points[:, :2], axis=1) < 10)]
    assert len(road) > 100 and abs(np.median(road[:, 2]) + 1.73) < 0.15
