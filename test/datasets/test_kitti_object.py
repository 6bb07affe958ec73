# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""KITTI object detection: splits, calibration, choice of frames, bare folders."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from ros_kd.datasets import DatasetError, kitti_object, open_dataset

P2 = np.array([[700.0, 0, 600, 42], [0, 700, 180, 0.2], [0, 0, 1, 0.003]])
TO_CAMERA = np.array([[0.0, -1, 0, 0.1], [0, 0, -1, -0.08], [1, 0, 0, -0.27]])
# Labelled boxes are in rectified camera 0, the view is camera 2: K^-1 times the last column of the 2011_09_26 rig's P2.
BASELINE = np.array([0.05985, -0.00036, 0.002746])
NAMES = ('000003', '000007', '000010')


def _line(name: str, values: np.ndarray) -> str:
    return f'{name}: ' + ' '.join(repr(float(value)) for value in np.ravel(values)) + '\n'


CALIBRATION = _line('P2', P2) + _line('R0_rect', np.eye(3)) + _line('Tr_velo_to_cam', TO_CAMERA)


def _write_pair(scan: Path, image: Path) -> None:
    np.array([[10, 2, 0.5, 0.3], [20, -3, -1, 0.9]], np.float32).tofile(scan)
    cv2.imwrite(str(image), np.zeros((360, 1200, 3), np.uint8))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for part in ('velodyne', 'image_2', 'calib'):
        (tmp_path / 'training' / part).mkdir(parents=True)
    for name in NAMES:
        folder = tmp_path / 'training'
        _write_pair(folder / 'velodyne' / f'{name}.bin', folder / 'image_2' / f'{name}.png')
        (folder / 'calib' / f'{name}.txt').write_text(CALIBRATION)
    return tmp_path


def _open(path: Path, options: str = ''):
    return open_dataset(f'kitti_object:{path}?{options}')


def test_a_point_falls_on_the_pixel_that_the_calibration_file_says(root: Path) -> None:
    frame = _open(root)[0]
    view = frame.view('camera_2')
    in_camera = np.append(TO_CAMERA @ np.append(frame.points[0], 1), 1)
    expected = P2 @ in_camera
    seen = view.camera.K @ (view.lidar_to_camera @ np.append(frame.points[0], 1))[:3]
    np.testing.assert_allclose(seen[:2] / seen[2], expected[:2] / expected[2], atol=1e-9)
    np.testing.assert_array_equal(view.camera.K, P2[:, :3])
    assert (view.camera.width, view.camera.height) == (1200, 360)


def test_points_and_intensity_are_views_of_one_buffer(root: Path) -> None:
    scan = _open(root)[0].scan
    assert np.shares_memory(scan.points, scan.points.base) and scan.points.base is scan.intensity.base
    np.testing.assert_allclose(scan.intensity, [0.3, 0.9])


def test_frames_are_chosen_by_name_and_stamps_rise_at_10_hz(root: Path) -> None:
    assert [frame.key for frame in _open(root, 'skip=000007')] == ['training/000003', 'training/000010']
    assert [frame.key for frame in _open(root, 'ids=000007')] == ['training/000007']
    stamps = [frame.stamp for frame in _open(root)]
    assert np.diff(stamps).tolist() == [400_000_000, 300_000_000] and stamps[0] > 0


def test_the_folder_of_a_split_opens_itself(root: Path) -> None:
    assert kitti_object.recognises(root) and kitti_object.recognises(root / 'training')
    assert len(_open(root / 'training')) == 3


def test_bare_pairs_need_the_calibration_of_their_vehicle(tmp_path: Path) -> None:
    bare = tmp_path / 'jam'
    bare.mkdir()
    _write_pair(bare / '0000000036.bin', bare / '0000000036.png')
    assert kitti_object.recognises(bare)
    with pytest.raises(DatasetError, match='calibration=FILE'):
        _open(bare)
    (tmp_path / 'calib.txt').write_text(CALIBRATION)
    frame = _open(bare, f'calibration={tmp_path / "calib.txt"}')[0]
    assert frame.key == 'jam/0000000036' and frame.views[0].image().shape == (360, 1200, 3)


@pytest.mark.parametrize('name, damage, words', [
    ('velodyne/000003.bin', lambda file: file.write_bytes(file.read_bytes()[:-1]), '31 bytes'),
    ('velodyne/000003.bin', lambda file: file.write_bytes(b''), '0 bytes'),
    ('image_2/000003.png', Path.unlink, 'missing'),
    ('image_2/000003.png', lambda file: file.write_bytes(b'no image'), 'neither a PNG nor a JPEG'),
    ('calib/000003.txt', Path.unlink, 'calibration .* missing'),
    ('calib/000003.txt', lambda file: file.write_text('P2: 1 2 3\nR0_rect: 1\nTr_velo_to_cam: 1\n'), '3 numbers'),
])
def test_a_damaged_frame_is_refused_naming_the_file(root: Path, name: str, damage, words: str) -> None:
    damage(root / 'training' / name)
    dataset = _open(root)
    with pytest.raises(DatasetError, match=words) as error:
        dataset[0]
    assert Path(name).name in str(error.value)
    assert dataset[1].key == 'training/000007'


@pytest.mark.parametrize('options, words', [('ids=000004', 'no frames 000004'), ('split=testing', 'testing/velodyne'),
                                            ('cameras=3', 'image_3')])
def test_what_is_not_there_is_refused(root: Path, options: str, words: str) -> None:
    with pytest.raises(DatasetError, match=words):
        _open(root, options)


@pytest.mark.parametrize('split, frames', [('training', 21), ('testing', 6)])
def test_all_real_frames_open_and_cover_their_images(real_data: Path, split: str, frames: int) -> None:
    dataset = _open(real_data / 'kitti_object', f'split={split}')
    assert len(dataset) == frames
    for frame in dataset:
        view = frame.views[0]
        uv, valid = view.camera.project(frame.points @ view.lidar_to_camera[:3, :3].T.astype(np.float32)
                                        + view.lidar_to_camera[:3, 3].astype(np.float32))
        assert valid.sum() > 10_000 and 0 <= frame.scan.intensity.min() and frame.scan.intensity.max() <= 1


def test_real_cars_in_3d_lie_in_their_boxes_in_the_image(real_data: Path) -> None:
    """Points inside the labelled 3D boxes of cars project into the cars' 2D boxes."""
    inside = total = 0
    dataset = _open(real_data / 'kitti_object', 'ids=000008,000010,000080,000500')
    for frame in dataset:
        view = frame.views[0]
        points = (view.lidar_to_camera @ np.c_[frame.points, np.ones(len(frame.points))].T).T[:, :3]
        label = real_data / 'kitti_object' / 'training' / 'label_2' / f'{frame.key.partition("/")[2]}.txt'
        for row in label.read_text().splitlines():
            kind, *values = row.split()
            numbers = np.array(values, float)
            if kind != 'Car' or numbers[1] > 1:
                continue
            chosen = points[_in_box(points - BASELINE, numbers)]
            uv, valid = view.camera.project(chosen)
            left, top, right, bottom = numbers[3:7]
            hits = (uv[:, 0] > left - 3) & (uv[:, 0] < right + 3) & (uv[:, 1] > top - 3) & (uv[:, 1] < bottom + 3)
            inside, total = inside + int(hits[valid].sum()), total + int(valid.sum())
    assert total > 1000 and inside > 0.98 * total


def _in_box(points: np.ndarray, label: np.ndarray) -> np.ndarray:
    height, width, length, x, y, z, turn = label[7:14]
    local = points - [x, y, z]
    along = np.cos(turn) * local[:, 0] - np.sin(turn) * local[:, 2]
    across = np.sin(turn) * local[:, 0] + np.cos(turn) * local[:, 2]
    return (np.abs(along) < length / 2) & (np.abs(across) < width / 2) & (local[:, 1] < 0) & (local[:, 1] > -height)
