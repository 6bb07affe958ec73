# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Recording beside the sensors: memory stays bounded, what is dropped is counted, one bad pair costs that pair."""

import shutil
import threading
import time

import numpy as np
import pytest
from paired_frames import make_frame

from ros_kd.bags import BagError, codec, layout
from ros_kd.bags.reader import PairedBag
from ros_kd.bags.recording import Limits, Recording
from ros_kd.bags.selection import Selection, Snapshot
from ros_kd.bags.writer import RawPair, RawView, rig_of

S = 1_000_000_000
RIG = rig_of(make_frame(0))


def pair(number, matrix=np.eye(4)):
    value = make_frame(number)
    views = tuple(RawView(view.name, codec.image(view.pixels, view.stamp, view.name),
                          codec.camera_info(view.camera, view.stamp, view.name), matrix) for view in value.views)
    return RawPair(codec.cloud(value.scan), views)


def test_pairs_beyond_the_backlog_are_dropped_while_the_disk_is_slow(tmp_path):
    disk = threading.Event()
    recording = Recording(tmp_path / 'bag', RIG, limits=Limits(backlog=4 * pair(0).size, min_free=0),
                          written=lambda _: disk.wait(30))
    taken = [recording.put(pair(number)) for number in range(20)]
    assert recording.backlog <= 4 * pair(0).size and 3 <= sum(taken) <= 5 and recording.lost == 0
    waiting = []
    threading.Timer(3.0, disk.set).start()
    recording.close(waiting.append)
    assert waiting and waiting[0] > 0  # word of a close that takes long
    assert len(PairedBag(tmp_path / 'bag')) == sum(taken)


def test_a_pair_that_cannot_be_written_costs_no_other(tmp_path):
    recording = Recording(tmp_path / 'bag', RIG, limits=Limits(min_free=0))
    for number in range(6):
        assert recording.put(pair(number, np.eye(3) if number == 2 else np.eye(4)))
    with pytest.raises(BagError, match='1 pairs are not in'):
        recording.close()
    assert recording.lost == 1 and recording.error is None
    assert list(PairedBag(tmp_path / 'bag').stamps) == [make_frame(number).stamp for number in (0, 1, 3, 4, 5)]


def test_a_bag_that_is_removed_is_noticed(tmp_path):
    recording = Recording(tmp_path / 'bag', RIG, limits=Limits(min_free=0, sync=0.25))
    recording.put(pair(0))
    while not recording.size:
        time.sleep(0.01)
    shutil.rmtree(tmp_path / 'bag')
    for _ in range(400):
        if recording.error:
            break
        time.sleep(0.05)
    assert 'removed while it was recorded' in str(recording.error) and not recording.put(pair(1))
    with pytest.raises(BagError, match='removed'):
        recording.close()


def test_too_little_free_space_ends_before_the_bag_is_made(tmp_path):
    with pytest.raises(BagError, match='min_free_space'):
        Recording(tmp_path / 'bag', RIG, limits=Limits(min_free=2**62))
    assert not (tmp_path / 'bag').exists()


def test_every_nth_pair_is_kept_and_no_two_that_are_near():
    poses = [np.eye(4) for _ in range(8)]
    for number, pose in enumerate(poses):
        pose[0, 3] = 0.4 * number
    assert [Selection(every=3).keep(None) for _ in range(2)] == [True, True]  # the first one, of each selection
    third, distant = Selection(every=3), Selection(distance=1.0)
    assert [third.keep(pose) for pose in poses] == [True, False, False] * 2 + [True, False]
    assert [distant.keep(pose) for pose in poses] == [True, False, False] * 2 + [True, False]
    assert distant.keep(None)  # odometry that is silent costs nothing


def test_a_snapshot_is_bounded_in_time_and_memory():
    pairs = [pair(number) for number in range(10)]
    step = layout.header_stamp(pairs[1].cloud) - layout.header_stamp(pairs[0].cloud)
    short, small = Snapshot(3.5 * step / S, 2**30), Snapshot(3600.0, 3 * max(value.size for value in pairs))
    assert sum(short.add(value) for value in pairs) == 6 and short.take() == pairs[6:] and short.take() == []
    assert sum(small.add(value) for value in pairs) == 7 and small.take() == pairs[7:]
