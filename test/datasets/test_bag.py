# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Bags of paired frames as a dataset."""

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
