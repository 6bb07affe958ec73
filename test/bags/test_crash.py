# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""A recorder that is killed loses no pair that it has written."""

import shutil

import pytest
from crash import START, STEP, killed_writer, pair
from rosbags.rosbag2 import Reader

from ros_kd.bags.reader import PairedBag
from ros_kd.bags.recover import recover

pytestmark = pytest.mark.filterwarnings('ignore:.*(was not finished|does not name|no metadata)')


@pytest.mark.parametrize('seed', range(8))
def test_a_kill_at_any_moment_loses_no_pair_that_was_written(tmp_path, seed):
    path = tmp_path / 'killed'
    acknowledged = killed_writer(path, seed)
    found = PairedBag(path)
    assert acknowledged and acknowledged == list(range(len(acknowledged)))
    assert found.stamps.tolist() == [START + number * STEP for number in range(len(found))]
    assert len(found) - len(acknowledged) in (0, 1)  # the one in flight may have arrived
    assert recover(path, say=list) == 0
    with Reader(path) as reader:
        clouds = [connection for connection in reader.connections if connection.topic == '/points']
        stored = [bytes(raw) for _, _, raw in reader.messages(clouds)]
    assert len(stored) == len(found) and all(raw == pair(number).cloud for number, raw in enumerate(stored))
    read = PairedBag(path)
    for number in {0, len(read) // 2, len(read) - 1}:
        for view, written in zip(read[number].views, pair(number).views):
            assert bytes(written.image).endswith(bytes(view.pixels.data))
    shutil.rmtree(path)
