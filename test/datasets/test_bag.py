# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Bags of pairs as a dataset."""

import pickle

import numpy as np
import pytest

from ros_kd.bags.writer import PairedBagWriter, rig_of
from ros_kd.datasets import DatasetError, open_dataset
from ros_kd.frames import PairedFrame, Scan


@pytest.fixture(scope='module')
def bag(tmp_path_factory):
    path = tmp_path_factory.mktemp('datasets') / 'drive'
    poses = [np.eye(4) for _ in range(3)]
    for number, pose in enumerate(poses):
        pose[0, 3] = number
    frames = [PairedFrame(Scan(10**9 + number * 10**8, np.full((4, 3), number, np.float32)), (), '', pose)
              for number, pose in enumerate(poses)]
    with PairedBagWriter(path, rig_of(frames[0])) as writer:
        for frame in frames:
            writer.write_frame(frame)
    return path


def test_a_bag_is_recognised_by_its_path_and_gives_frames_and_trajectory(bag):
    for specification in (str(bag), f'bag:{bag}', f'bag:{next(bag.glob("*.mcap"))}'):
        dataset = open_dataset(specification)
        assert [frame.points[0, 0] for frame in dataset] == [0, 1, 2]
    assert 'drive' in open_dataset(f'bag:{bag}').name
    np.testing.assert_allclose(dataset.trajectory.at(10**9 + 150_000_000)[:3, 3], [1.5, 0, 0])
    assert len(pickle.loads(pickle.dumps(dataset))) == 3


def test_errors_are_those_of_a_dataset(bag, tmp_path):
    with pytest.raises(DatasetError, match='no bag at'):
        open_dataset(f'bag:{tmp_path}')
    with pytest.raises(DatasetError, match='no option'):
        open_dataset(f'bag:{bag}?speed=2')


def test_points_are_deskewed_by_their_times_and_the_poses_if_asked_to(tmp_path):
    times, frames = np.array([-0.05, 0, 0.05], np.float32), []
    for number in range(5):
        pose = np.eye(4)
        pose[0, 3] = number  # 10 m/s
        points = np.array([[20 - number - 10 * time, 1, 0] for time in times], np.float32)  # of one thing that stands
        frames.append(PairedFrame(Scan(10**9 + number * 10**8, points, time=times), (), '', pose))
    with PairedBagWriter(tmp_path / 'a', rig_of(frames[0])) as writer:
        for frame in frames:
            writer.write_frame(frame)
    dataset = pickle.loads(pickle.dumps(open_dataset(f'bag:{tmp_path}/a?deskew=yes')))
    for number, frame in enumerate(dataset):
        np.testing.assert_allclose(frame.points, [[20 - number, 1, 0]] * 3, atol=1e-5)
        assert frame.scan.time is None
    np.testing.assert_array_equal(open_dataset(f'bag:{tmp_path}/a?deskew=no')[1].points, frames[1].points)


def test_deskewing_needs_times_and_poses(bag, tmp_path):
    with pytest.raises(DatasetError, match='have no time of each point'):
        open_dataset(f'bag:{bag}?deskew=yes')
    frame = PairedFrame(Scan(10**9, np.zeros((4, 3), np.float32), time=np.zeros(4, np.float32)), ())
    with PairedBagWriter(tmp_path / 'still', rig_of(frame)) as writer:
        writer.write_frame(frame)
    with pytest.raises(DatasetError, match='the bag has no poses'):
        open_dataset(f'bag:{tmp_path}/still?deskew=yes')


def test_an_unfinished_bag_is_read_with_a_warning(bag, tmp_path):
    (tmp_path / 'killed').mkdir()
    data = next(bag.glob('*.mcap')).read_bytes()
    (tmp_path / 'killed' / 'killed_0.mcap').write_bytes(data[:len(data) * 2 // 3])  # no metadata.yaml, no index
    with pytest.warns(UserWarning, match='killed'):
        dataset = open_dataset(f'bag:{tmp_path}/killed')
    assert [frame.points[0, 0] for frame in dataset] == list(range(len(dataset))) and len(dataset) >= 1


def test_forked_workers_and_threads_share_a_bag(bag):
    from concurrent.futures import ThreadPoolExecutor
    from multiprocessing import get_context

    dataset = open_dataset(f'bag:{bag}')
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda i: dataset[i % 3].points[0, 0], range(60))) == [i % 3 for i in range(60)]
    with get_context('fork').Pool(2) as pool:
        assert pool.map(_first, [(dataset, i % 3) for i in range(10)]) == [i % 3 for i in range(10)]


def _first(arguments):
    dataset, index = arguments
    return dataset[index].points[0, 0]
