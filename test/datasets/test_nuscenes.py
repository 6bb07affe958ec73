# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""nuScenes' tables: keyframes, extrinsics at each sensor's own time, lidarseg, and real boxes against real pixels."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np
import pytest
from agreement import inside_box, share_on_class, teacher_labels, turned

from ros_kd import extrinsics
from ros_kd.datasets import DatasetError, nuscenes, open_dataset
from ros_kd.datasets.nuscenes_splits import in_split

SPEED, LAG = 10.0, 0.04
CAMERA_ROTATION = [0.5, -0.5, 0.5, -0.5]  # w x y z: optical axes on a vehicle that looks along x
CAR, TRUCK, BUS = 8, 9, 10


def _pose(token: str, micros: int, start: int) -> dict:
    return dict(token=token, timestamp=micros, rotation=[1, 0, 0, 0],
                translation=[SPEED * (micros - start) * 1e-6, 5, 0])


def _tables(start: int = 1_535_000_000_000_000) -> dict[str, list[dict]]:
    """Two keyframes of one scene, half a second apart; the camera fires 40 ms before the scan's stamp."""
    tables = dict(scene=[dict(token='s', name='scene-0001')], sample=[], sample_data=[], ego_pose=[])
    tables['sensor'] = [dict(token='L', channel='LIDAR_TOP'), dict(token='C', channel='CAM_FRONT'),
                        dict(token='R', channel='RADAR_FRONT')]
    tables['calibrated_sensor'] = [
        dict(token='cL', sensor_token='L', translation=[1, 0, 1.8], rotation=[1, 0, 0, 0], camera_intrinsic=[]),
        dict(token='cC', sensor_token='C', translation=[1.7, 0.1, 1.5], rotation=CAMERA_ROTATION,
             camera_intrinsic=[[1000, 0, 800], [0, 1000, 450], [0, 0, 1]]),
        dict(token='cR', sensor_token='R', translation=[3, 0, 0.5], rotation=[1, 0, 0, 0], camera_intrinsic=[])]
    for number in range(2):
        stamp = start + 500_000 * number
        tables['sample'].append(dict(token=f'k{number}', timestamp=stamp, scene_token='s'))
        for channel, lag in (('LIDAR_TOP', 0), ('CAM_FRONT', int(LAG * 1e6)), ('RADAR_FRONT', 10)):
            token = f'{channel}{number}'
            tables['ego_pose'].append(_pose(token, stamp - lag, start))
            ending = {'LIDAR_TOP': 'pcd.bin', 'CAM_FRONT': 'jpg'}.get(channel, 'pcd')
            tables['sample_data'].append(dict(
                token=token, sample_token=f'k{number}', ego_pose_token=token, timestamp=stamp - lag, is_key_frame=True,
                calibrated_sensor_token='c' + {'LIDAR_TOP': 'L', 'CAM_FRONT': 'C'}.get(channel, 'R'), width=1600,
                height=900, filename=f'samples/{channel}/{number}.{ending}'))
    return tables


def _write(root: Path, tables: dict[str, list[dict]]) -> None:
    (root / 'v1.0-mini').mkdir(exist_ok=True)
    for name, rows in tables.items():
        (root / 'v1.0-mini' / f'{name}.json').write_text(json.dumps(rows))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for channel in ('LIDAR_TOP', 'CAM_FRONT'):
        (tmp_path / 'samples' / channel).mkdir(parents=True)
    scan = np.array([[10, 2, 0.5, 51, 7], [20, -3, -1, 255, 31]], np.float32)
    for number in range(2):
        scan.tofile(tmp_path / 'samples' / 'LIDAR_TOP' / f'{number}.pcd.bin')
        (tmp_path / 'samples' / 'CAM_FRONT' / f'{number}.jpg').write_bytes(b'decoded by nobody')
    _write(tmp_path, _tables())
    return tmp_path


def _open(path: Path, options: str = 'cameras=CAM_FRONT'):
    return open_dataset(f'nuscenes:{path}?{options}')


def test_the_vehicle_drives_on_between_image_and_scan(root: Path) -> None:
    frame = _open(root)[1]
    view = frame.view('CAM_FRONT')
    assert frame.stamp - view.stamp == 40_000_000
    point = np.array([10, 2, 0.5])
    # 40 ms earlier the vehicle was 0.4 m behind: the point was farther away.
    ahead, left, up = point + [1, 0, 1.8] - [1.7, 0.1, 1.5] + [SPEED * LAG, 0, 0]
    np.testing.assert_allclose((view.lidar_to_camera @ [*point, 1])[:3], [-left, -up, ahead], atol=1e-9)


def test_scans_have_intensity_to_one_rings_and_the_pose_of_the_lidar(root: Path) -> None:
    frame = _open(root)[1]
    np.testing.assert_allclose(frame.scan.intensity, [0.2, 1])
    assert frame.scan.ring.tolist() == [7, 31] and frame.scan.label is None
    np.testing.assert_allclose(frame.world_from_lidar[:3, 3], [6, 5, 1.8])
    np.testing.assert_allclose(_open(root).trajectory.at(frame.stamp), frame.world_from_lidar)


def test_keyframes_without_their_files_are_skipped_and_counted(root: Path, caplog) -> None:
    (root / 'samples' / 'CAM_FRONT' / '0.jpg').unlink()
    with caplog.at_level(logging.WARNING):
        dataset = _open(root)
    assert len(dataset) == 1 and 'skipped 1 of 2 keyframes' in caplog.text
    (root / 'samples' / 'LIDAR_TOP' / '1.pcd.bin').unlink()
    with pytest.raises(DatasetError, match='none of 2 keyframes'):
        _open(root)


def test_the_official_splits_have_their_numbers_of_scenes() -> None:
    scenes = [f'scene-{number:04}' for number in range(1, 1111)]
    assert sum(in_split(scene, 'val', 'v1.0-trainval') for scene in scenes) == 150
    assert not any(in_split(f'scene-{n:04}', 'val', 'v1.0-trainval') for n in (1, 37, 61, 918, 970, 1110))
    # 0553 validates in the whole data set and trains in the small one.
    assert [in_split('scene-0553', 'val', f'v1.0-{version}') for version in ('trainval', 'mini')] == [True, False]


def test_a_split_keeps_its_scenes(root: Path) -> None:
    assert len(_open(root, 'cameras=CAM_FRONT&split=train')) == 2
    with pytest.raises(DatasetError, match='no scenes of split val'):
        _open(root, 'split=val')
    with pytest.raises(DatasetError, match='split=test'):
        _open(root, 'split=test')


def test_lidarseg_gives_labels_in_the_raw_taxonomy(root: Path) -> None:
    (root / 'lidarseg').mkdir()
    file = root / 'lidarseg' / '0.bin'
    np.array([17, 24], np.uint8).tofile(file)
    rows = [dict(token='x', sample_data_token='LIDAR_TOP0', filename='lidarseg/0.bin')]
    _write(root, {'lidarseg': rows})
    scan = _open(root)[0].scan
    assert [scan.taxonomy.names[label] for label in scan.label] == ['car', 'driveable_surface']
    file.write_bytes(b'1')
    with pytest.raises(DatasetError, match='1 labels, but its scan has 2 points'):
        _open(root)[0]


@pytest.mark.parametrize('name, damage, words', [
    ('v1.0-mini/ego_pose.json', Path.unlink, 'ego_pose.json is missing'),
    ('v1.0-mini/scene.json', lambda file: file.write_text('[{"token":'), 'scene.json is no JSON'),
    ('samples/LIDAR_TOP/0.pcd.bin', lambda file: file.write_bytes(bytes(39)), '39 bytes'),
])
def test_damaged_files_are_refused_naming_them(root: Path, name: str, damage, words: str) -> None:
    damage(root / name)
    with pytest.raises(DatasetError, match=words):
        _open(root)[0]


@pytest.mark.parametrize('options, words', [
    ('cameras=FRONT', 'no camera FRONT'), ('scenes=scene-0061', 'no scenes scene-0061'),
    ('version=v1.0-trainval', 'v1.0-trainval'), ('fps=2', 'no option')])
def test_wrong_options_are_refused(root: Path, options: str, words: str) -> None:
    with pytest.raises(DatasetError, match=words):
        _open(root, options)


def test_two_versions_need_a_choice(root: Path) -> None:
    (root / 'v1.0-mini').rename(root / 'v1.0-one')
    _write(root, _tables())
    with pytest.raises(DatasetError, match='version='):
        _open(root)
    assert nuscenes.recognises(root) and len(_open(root, 'cameras=CAM_FRONT&version=v1.0-one')) == 2


def _vehicle_boxes(root: Path, stamp: int) -> list[dict]:
    tables = {name: json.loads((root / 'v1.0-mini' / f'{name}.json').read_text())
              for name in ('sample', 'sample_annotation', 'instance', 'category')}
    sample = next(row['token'] for row in tables['sample'] if row['timestamp'] * 1000 == stamp)
    names = {row['token']: row['name'] for row in tables['category']}
    kinds = {row['token']: names[row['category_token']] for row in tables['instance']}
    return [row for row in tables['sample_annotation'] if row['sample_token'] == sample
            and kinds[row['instance_token']] in ('vehicle.car', 'vehicle.truck', 'vehicle.bus.rigid')]


def test_real_vehicles_meet_the_pixels_of_a_real_network_with_the_true_extrinsics(real_data: Path) -> None:
    """Points in the boxes of vehicles lie on vehicle pixels, and fewer do when the cameras are turned."""
    root, counts = real_data / 'nuscenes', np.zeros((3, 2))
    for frame in _open(root, ''):
        world = extrinsics.apply(frame.world_from_lidar, frame.points.astype(np.float64))
        chosen = np.zeros(len(world), bool)
        for box in _vehicle_boxes(root, frame.stamp):
            w, x, y, z = box['rotation']
            rotation = extrinsics.from_quaternion([0, 0, 0], [x, y, z, w])[:3, :3]
            chosen |= inside_box(world, box['translation'], np.array(box['size'])[[1, 0, 2]], rotation)
        for view in frame.views:
            labels = teacher_labels(view, real_data)
            for row, degrees in enumerate((0, -2, 2)):
                counts[row] += share_on_class(frame.points[chosen], turned(view, degrees), labels, (CAR, TRUCK, BUS))
    shares = counts[:, 0] / counts[:, 1]
    assert counts[0, 1] > 1000
    # The network has never seen this city: it misses a third of the vehicles, wherever the points fall.
    assert shares[0] > 0.6 and (shares[1:] < shares[0] - 0.03).all(), shares
