# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Info pickles: plain data is read, anything that could run code is refused."""

from __future__ import annotations

import os
import pickle
from collections import OrderedDict
from pathlib import Path

import cv2
import numpy as np
import pytest
from agreement import inside_box

from ros_kd import extrinsics
from ros_kd.datasets import DatasetError, nuscenes_info, open_dataset

K = [[1000.0, 0, 800], [0, 1000, 450], [0, 0, 1]]


def _info() -> dict:
    pose = np.eye(4)
    pose[0, 3] = 3
    return dict(token='t', timestamp=1532402927.647951, ego2global=pose.tolist(),
                lidar_points=dict(lidar_path='scan.pcd.bin', lidar2ego=np.eye(4), num_pts_feats=np.int64(5)),
                images=dict(CAM_FRONT=dict(img_path='front.jpg', cam2img=K, timestamp=np.float64(1532402927.61246),
                                           lidar2cam=pose)))


def _write(root: Path, content: object, protocol: int = 4) -> Path:
    (root / 'infos.pkl').write_bytes(pickle.dumps(content, protocol))
    return root / 'infos.pkl'


@pytest.fixture
def root(tmp_path: Path) -> Path:
    np.array([[10, 2, 0.5, 51, 7]], np.float32).tofile(tmp_path / 'scan.pcd.bin')
    cv2.imwrite(str(tmp_path / 'front.jpg'), np.zeros((90, 160, 3), np.uint8))
    _write(tmp_path, {'data_list': [_info()]})
    return tmp_path


def _open(path: Path, options: str = ''):
    return open_dataset(f'nuscenes_info:{path}?{options}')


@pytest.mark.parametrize('protocol', [0, 2, 4, 5])
def test_numbers_text_and_arrays_are_read_from_every_protocol(root: Path, protocol: int) -> None:
    frame = _open(_write(root, {'data_list': [_info()]}, protocol))[0]
    view = frame.view('CAM_FRONT')
    assert (frame.stamp, view.stamp) == (1532402927647951000, 1532402927612460000)
    assert (view.camera.width, view.camera.height) == (160, 90) and view.lidar_to_camera[0, 3] == 3
    np.testing.assert_allclose(frame.scan.intensity, [0.2])
    np.testing.assert_allclose(frame.world_from_lidar[:3, 3], [3, 0, 0])


class _Runs:
    """Pickles into a call: the way that a hostile file runs code."""

    def __init__(self, function, *args) -> None:
        self.call = function, args

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize('function, named', [(os.system, r'(posix|nt)\.system'), (eval, r'builtins\.eval'),
                                             (getattr, r'builtins\.getattr'), (np.load, 'numpy.*load'),
                                             (OrderedDict, r'collections\.OrderedDict')])
def test_a_pickle_that_calls_anything_is_refused_before_the_call(root: Path, tmp_path: Path, function, named) -> None:
    mark = tmp_path / 'mark'
    args = () if function is OrderedDict else (f'touch {mark}',)
    _write(root, {'data_list': [_info()], 'extra': _Runs(function, *args)})
    with pytest.raises(DatasetError, match=f'refused: it holds {named}'):
        _open(root)
    assert not mark.exists()


def test_bytes_behind_another_codec_are_refused(root: Path) -> None:
    (root / 'infos.pkl').write_bytes(b"c_codecs\nencode\n(Vabc\nVrot13\ntR.")
    with pytest.raises(DatasetError, match='rot13'):
        _open(root)


@pytest.mark.parametrize('content, words', [
    ({'infos': []}, 'no list "data_list"'), ({'data_list': []}, '0 keyframes'),
    ({'data_list': [{'token': 't'}]}, "without 'timestamp'"), (5, 'no list "data_list"')])
def test_other_contents_are_refused_saying_what_was_found(root: Path, content: object, words: str) -> None:
    _write(root, content)
    with pytest.raises(DatasetError, match=words):
        _open(root)


def test_cut_off_files_and_missing_ones_are_named(root: Path) -> None:
    (root / 'front.jpg').unlink()
    with pytest.raises(DatasetError, match='front.jpg of CAM_FRONT is missing'):
        _open(root)[0]
    file = root / 'infos.pkl'
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(DatasetError, match='no readable pickle'):
        _open(root)
    file.unlink()
    with pytest.raises(DatasetError, match='no info pickle'):
        _open(root)
    assert not nuscenes_info.recognises(root)


def test_cameras_are_chosen_by_name(root: Path) -> None:
    assert len(_open(root, 'cameras=CAM_FRONT')[0].views) == 1
    with pytest.raises(DatasetError, match='no camera CAM_BACK'):
        _open(root, 'cameras=CAM_BACK')


def test_images_are_found_in_the_official_layout_too(root: Path) -> None:
    (root / 'samples' / 'CAM_FRONT').mkdir(parents=True)
    (root / 'front.jpg').rename(root / 'samples' / 'CAM_FRONT' / 'front.jpg')
    assert _open(root)[0].views[0].image().shape == (90, 160, 3)


def test_real_boxes_project_to_the_centres_that_the_annotations_give_each_camera(real_data: Path) -> None:
    """The file lists each object in the LiDAR's frame and, from the global annotation, its centre in each image."""
    folder = real_data / 'nuscenes_info'
    info = nuscenes_info.read_info(next(folder.glob('*.pkl')))[0]
    centres = np.array([instance['bbox_3d'][:3] for instance in info['instances']], np.float64)
    offsets = []
    for view in _open(folder)[0].views:
        uv, _ = view.camera.project(extrinsics.apply(view.lidar_to_camera, centres))
        for instance in info['cam_instances'][view.name]:
            offsets.append(np.linalg.norm(uv - instance['center_2d'], axis=1).min())
    assert len(offsets) > 20 and np.quantile(offsets, 0.95) < 1


def test_real_boxes_hold_the_points_that_the_annotations_count(real_data: Path) -> None:
    folder = real_data / 'nuscenes_info'
    instances = nuscenes_info.read_info(next(folder.glob('*.pkl')))[0]['instances']
    points, found = _open(folder)[0].points, []
    for instance in instances:
        x, y, z, length, width, height, yaw = instance['bbox_3d']
        turn = np.array([[np.cos(yaw), -np.sin(yaw), 0], [np.sin(yaw), np.cos(yaw), 0], [0, 0, 1]])
        found.append(inside_box(points, np.array([x, y, z]), np.array([length, width, height]), turn).sum())
    counted = np.array([instance['num_lidar_pts'] for instance in instances])
    assert counted.sum() > 500 and np.abs(np.array(found) - counted).sum() < 0.05 * counted.sum()
