# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""SemanticKITTI: labels, stamps, poses, sequences with missing parts, and extrinsics against a real image network."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from agreement import agreement, turned

from ros_kd.datasets import DatasetError, open_dataset, semantickitti

P2 = np.array([[700.0, 0, 600, 42], [0, 700, 180, 0.2], [0, 0, 1, 0.003]])
TO_CAMERA = np.array([[0.0, -1, 0, 0.1], [0, 0, -1, -0.08], [1, 0, 0, -0.27]])


def _numbers(values) -> str:
    return ' '.join(repr(float(value)) for value in np.ravel(values))


def _write_sequence(folder: Path, frames: int = 2) -> None:
    for part in ('velodyne', 'labels', 'image_2'):
        (folder / part).mkdir(parents=True)
    poses = []
    for number in range(frames):
        np.array([[10, 2, 0.5, 0.3], [20, -3, -1, 0.9]], np.float32).tofile(folder / 'velodyne' / f'{number:06}.bin')
        np.array([7 << 16 | 252, 40], np.uint32).tofile(folder / 'labels' / f'{number:06}.label')
        cv2.imwrite(str(folder / 'image_2' / f'{number:06}.png'), np.zeros((360, 1200, 3), np.uint8))
        poses.append(np.c_[np.eye(3), [0, 0, 1.5 * number]])
    (folder / 'calib.txt').write_text(f'P2: {_numbers(P2)}\nTr: {_numbers(TO_CAMERA)}\n')
    (folder / 'times.txt').write_text(''.join(f'{0.103 * number}\n' for number in range(frames)))
    (folder / 'poses.txt').write_text(''.join(_numbers(pose) + '\n' for pose in poses))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ('00', '01'):
        _write_sequence(tmp_path / 'sequences' / name)
    return tmp_path


def _open(path: Path, options: str = ''):
    return open_dataset(f'semantickitti:{path}?{options}')


def test_labels_are_the_low_16_bits_in_the_raw_taxonomy(root: Path) -> None:
    scan = _open(root)[0].scan
    assert [scan.taxonomy.names[label] for label in scan.label] == ['moving-car', 'road']


def test_driving_along_the_cameras_axis_moves_the_lidar_forward(root: Path) -> None:
    dataset = _open(root, 'sequences=01')
    np.testing.assert_allclose(dataset[1].world_from_lidar[:3, 3], [1.5, 0, 0], atol=1e-12)
    middle = (dataset[0].stamp + dataset[1].stamp) // 2
    np.testing.assert_allclose(dataset.trajectory.at(middle)[:3, 3], [0.75, 0, 0], atol=1e-6)


def test_stamps_follow_times_and_rise_across_sequences(root: Path) -> None:
    dataset = _open(root)
    stamps = [frame.stamp for frame in dataset]
    assert stamps == sorted(stamps) and stamps[0] > 0 and stamps[1] - stamps[0] == 103_000_000
    assert dataset.trajectory is None


def test_a_point_falls_on_the_pixel_that_the_calibration_file_says(root: Path) -> None:
    frame = _open(root)[0]
    view = frame.views[0]
    expected = P2 @ np.append(TO_CAMERA @ np.append(frame.points[1], 1), 1)
    seen = view.camera.K @ (view.lidar_to_camera @ np.append(frame.points[1], 1))[:3]
    np.testing.assert_allclose(seen[:2] / seen[2], expected[:2] / expected[2], atol=1e-9)


def test_a_sequence_without_images_labels_or_calibration_still_has_its_scans(tmp_path: Path) -> None:
    folder = tmp_path / 'unknown'
    (folder / 'velodyne').mkdir(parents=True)
    np.zeros((5, 4), np.float32).tofile(folder / 'velodyne' / '000056.bin')
    frame = _open(folder)[0]
    assert frame.views == () and frame.scan.label is None and frame.key == 'unknown/000056'


def test_recognises_roots_and_sequences(root: Path) -> None:
    assert semantickitti.recognises(root) and semantickitti.recognises(root / 'sequences' / '00')
    assert not semantickitti.recognises(root / 'sequences' / '00' / 'velodyne')


@pytest.mark.parametrize('name, damage, words', [
    ('labels/000000.label', lambda file: file.write_bytes(bytes(4)), '1 labels, but its scan has 2 points'),
    ('labels/000000.label', Path.unlink, 'labels .* missing'),
    ('velodyne/000000.bin', lambda file: file.write_bytes(bytes(30)), '30 bytes'),
    ('image_2/000000.png', Path.unlink, 'image .* missing'),
    ('times.txt', lambda file: file.write_text(''), 'none for frame'),
    ('poses.txt', lambda file: file.write_text('1 2 3\n'), '12 numbers on every line'),
    ('calib.txt', lambda file: file.write_text(f'P2: {_numbers(P2)}\n'), 'has no Tr'),
    ('calib.txt', lambda file: (file.unlink(), (file.parent / 'poses.txt').unlink()), 'calibration .* is missing'),
])
def test_a_damaged_sequence_is_refused_naming_the_file(root: Path, name: str, damage, words: str) -> None:
    damage(root / 'sequences' / '00' / name)
    with pytest.raises(DatasetError, match=words) as error:
        _open(root, 'sequences=00')[0]
    assert Path(name).name in str(error.value)


@pytest.mark.parametrize('options, words', [('sequences=00,08', 'sequences 08'), ('cameras=9', 'KITTI cameras')])
def test_a_wrong_option_is_refused(root: Path, options: str, words: str) -> None:
    with pytest.raises(DatasetError, match=words):
        _open(root, options)


def test_real_labels_meet_the_pixels_of_a_real_network_best_with_the_true_extrinsics(real_data: Path) -> None:
    frame = _open(real_data / 'semantickitti')[0]
    true = agreement(frame, frame.views[0], real_data)
    assert true > 0.68
    for degrees in (-2, 2):
        assert agreement(frame, turned(frame.views[0], degrees), real_data) < true - 0.02
    assert agreement(frame, frame.views[0], real_data, occlusion=None) < true


def test_a_real_sequence_without_images_opens_with_labels(real_data: Path) -> None:
    frame = _open(real_data / 'semantickitti' / 'unknown')[0]
    names = {frame.scan.taxonomy.names[label] for label in np.unique(frame.scan.label)}
    assert frame.views == () and {'road', 'vegetation'} <= names and None not in names
