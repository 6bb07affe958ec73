# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""The recorder does what it is told while it runs, and keeps what it has when it is killed or the disk is full."""

import re
import resource
import shutil
import signal
import threading
import time

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='ROS 2 is not installed')
from drive import NodeProcess, recorder, write_drive  # noqa: E402
from std_msgs.msg import Bool, Empty  # noqa: E402
from vehicle import Vehicle, wait_until  # noqa: E402

from ros_kd.bags.reader import PairedBag  # noqa: E402
from ros_kd.datasets import open_dataset  # noqa: E402

S = 1_000_000_000


def test_pause_split_stop_and_start_by_services(tmp_path):
    with Vehicle(45) as vehicle, recorder(45, tmp_path / 'pairs', start_paused=True) as record:
        vehicle.connect()
        now = vehicle.drive(100 * S, 5)
        assert vehicle.call('record/resume').success
        now = vehicle.drive(now, 5)
        assert vehicle.call('record/split').success
        now = vehicle.drive(now, 5)
        assert vehicle.call('record/pause').success
        now = vehicle.drive(now, 5)
        stopped = vehicle.call('record/stop')
        assert stopped.success and 'pairs while paused' in stopped.message and '2 files' in stopped.message
        refused = vehicle.call('record/split')
        assert not refused.success and 'call ~/start first' in refused.message
        assert vehicle.call('record/start').success and vehicle.call('record/resume').success
        assert not vehicle.call('record/start').success
        vehicle.connect().drive(now, 5)
        status, text = record.interrupt()
    assert status == 0, text
    first, second = PairedBag(tmp_path / 'pairs'), PairedBag(tmp_path / 'pairs_2')
    assert list(first.stamps) == [100 * S + number * S // 10 for number in range(5, 15)]
    assert len(list((tmp_path / 'pairs').glob('*.mcap'))) == 2
    assert list(second.stamps) == [102 * S + number * S // 10 for number in range(5)]


def test_a_lifecycle_manager_may_ask_for_anything(tmp_path):
    with Vehicle(83) as vehicle, recorder(83, tmp_path / 'pairs', autostart=False) as record:
        assert vehicle.change('ACTIVATE') is False  # rclpy alone raises, and answers nothing
        assert vehicle.change('CONFIGURE') and vehicle.change('CONFIGURE') is False
        assert not (tmp_path / 'pairs').exists() and vehicle.change('ACTIVATE')
        now = vehicle.connect().drive(100 * S, 5)
        assert vehicle.change('DEACTIVATE') and vehicle.change('ACTIVATE')
        vehicle.connect().drive(now, 5)
        assert vehicle.change('DEACTIVATE') and vehicle.change('CLEANUP') and vehicle.change('CONFIGURE')
        assert vehicle.change('INACTIVE_SHUTDOWN') and not vehicle.call('record/start').success
        status, text = record.interrupt()
    assert status == 0 and len(re.findall('transition . refused', text)) == 2
    assert len(PairedBag(tmp_path / 'pairs')) == len(PairedBag(tmp_path / 'pairs_2')) == 5


@pytest.mark.parametrize('stop', ['service', 'signal'])
def test_the_end_waits_for_transforms_that_are_on_their_way(tmp_path, stop):
    with Vehicle(84) as vehicle, recorder(84, tmp_path / 'pairs', fixed_frame='odom', tf_timeout=5.0) as record:
        vehicle.send_moving('elsewhere', 'thing', S, 0.0)  # so that /tf is known
        vehicle.connect()
        for number in range(5):
            stamp = 100 * S + number * S // 10
            vehicle.send_moving('odom', 'optical', stamp - S // 2, 0.0)
            vehicle.send(stamp)
            time.sleep(0.1)
        late = threading.Timer(0.7, vehicle.send_moving, ('odom', 'optical', 101 * S, 1.0))
        late.start()
        if stop == 'service':
            assert vehicle.call('record/stop').message.startswith('5 pairs')
        status, text = record.interrupt()
        late.join()
    assert status == 0 and 'lost: none' in text, text
    assert all(frame.world_from_lidar is not None for frame in PairedBag(tmp_path / 'pairs'))


def test_a_snapshot_holds_nothing_from_before_a_jump_of_time(tmp_path):
    with Vehicle(85) as vehicle, recorder(85, tmp_path / 'pairs', snapshot_duration=60.0) as record:
        vehicle.connect().drive(100 * S, 8)
        now = vehicle.drive(50 * S, 8)
        assert vehicle.call('record/snapshot').success
        vehicle.drive(now, 3)
        status, text = record.interrupt()
    assert status == 0 and 'pairs that no snapshot asked for' in text, text
    stamps = PairedBag(tmp_path / 'pairs').stamps
    assert len(stamps) >= 7 and stamps.min() >= 50 * S and stamps.max() < 51 * S


def test_a_bag_that_somebody_removes_is_no_success(tmp_path):
    with Vehicle(86) as vehicle, recorder(86, tmp_path / 'pairs') as record:
        vehicle.connect().drive(100 * S, 5)
        shutil.rmtree(tmp_path / 'pairs')
        status, text = record.wait()
    assert status == 1 and 'was removed while it was recorded' in text and 'Traceback' not in text


def test_a_snapshot_writes_the_last_seconds(tmp_path):
    with Vehicle(46) as vehicle, recorder(46, tmp_path / 'pairs', snapshot_duration=1.0) as record:
        vehicle.connect().drive(100 * S, 30)
        assert not (tmp_path / 'pairs').exists()
        assert vehicle.call('record/snapshot').success
        status, text = record.interrupt()
    assert status == 0, text
    assert list(PairedBag(tmp_path / 'pairs').stamps) == [100 * S + number * S // 10 for number in range(19, 30)]


@pytest.mark.parametrize('trigger,kind', [('while', Bool), ('next', Empty)])
def test_a_topic_triggers_what_is_recorded(tmp_path, trigger, kind):
    with Vehicle(48) as vehicle, recorder(48, tmp_path / 'pairs', trigger_topic='go', trigger=trigger) as record:
        go = vehicle.node.create_publisher(kind, 'go', 10)
        vehicle.connect()
        wait_until(go.get_subscription_count, 'trigger')
        now = vehicle.drive(100 * S, 5)
        go.publish(Bool(data=True) if kind is Bool else Empty())
        time.sleep(0.2)
        now = vehicle.drive(now, 5)
        if kind is Bool:
            go.publish(Bool(data=False))
            time.sleep(0.2)
        vehicle.drive(now, 5)
        status, text = record.interrupt()
    assert status == 0 and 'pairs without a trigger' in text
    stamps = PairedBag(tmp_path / 'pairs').stamps
    assert list(stamps) == [100 * S + number * S // 10 for number in range(5, 6 if kind is Empty else 10)]


def test_pairs_are_some_metres_apart_where_that_is_asked_for(tmp_path):
    write_drive(tmp_path / 'drive', 20)  # 10 m/s, 10 Hz
    with NodeProcess('record', 68, output=tmp_path / 'pairs', min_distance=2.5) as record, \
            NodeProcess('replay', 68, dataset=tmp_path / 'drive', wait_for_subscribers=30) as replay:
        assert replay.wait()[0] == 0
        status, text = record.interrupt()
    assert status == 0 and 'pairs not selected' in text, text
    positions = np.stack([frame.world_from_lidar[:3, 3] for frame in PairedBag(tmp_path / 'pairs')])
    steps = np.linalg.norm(np.diff(positions, axis=0), axis=1)
    assert 5 <= len(positions) <= 8 and steps.min() >= 2.5


def test_after_a_jump_back_of_time_another_bag_begins_and_no_pair_spans_it(tmp_path):
    with Vehicle(69) as vehicle, recorder(69, tmp_path / 'pairs') as record:
        vehicle.connect()
        now = vehicle.drive(100 * S, 8)
        vehicle.send_scan(now)  # its image comes after the jump
        vehicle.drive(50 * S, 8)
        time.sleep(0.5)
        status, text = record.interrupt()
    assert status == 0 and 'time jumped back' in text, text
    before, after = PairedBag(tmp_path / 'pairs'), PairedBag(tmp_path / 'pairs_2')
    assert len(before) >= 7 and len(after) >= 7
    for bag, epoch in ((before, 100), (after, 50)):
        assert all(epoch * S <= view.stamp < (epoch + 2) * S and abs(view.stamp - frame.stamp) <= 1_000_000
                   for frame in bag for view in frame.views)


def test_a_killed_recorder_leaves_its_pairs(tmp_path):
    with Vehicle(70) as vehicle, recorder(70, tmp_path / 'pairs') as record:
        vehicle.connect().drive(100 * S, 20)
        time.sleep(0.3)
        record.process.send_signal(signal.SIGKILL)
        record.process.wait()
    with pytest.warns(UserWarning, match='recover'):
        dataset = open_dataset(str(tmp_path / 'pairs'))
    assert len(dataset) >= 18 and dataset[len(dataset) - 1].view('cam0').image().shape == (32, 48, 3)


def test_a_full_disk_ends_the_recording_with_its_pairs(tmp_path):
    limit = 60_000
    with Vehicle(71) as vehicle, recorder(71, tmp_path / 'pairs', record_labels='off', rate_bounds='off') as record:
        vehicle.connect()
        resource.prlimit(record.process.pid, resource.RLIMIT_FSIZE, (limit, limit))
        for number in range(400):
            if record.process.poll() is not None:
                break
            vehicle.send(100 * S + number * S // 10)
            time.sleep(0.05)
        status, text = record.wait()
    assert status == 1 and 'Traceback' not in text and 'File too large' in text, text
    assert 'pairs that the disk refused' in text
    stamps = PairedBag(tmp_path / 'pairs').stamps
    assert len(stamps) >= 5 and list(np.diff(stamps)) == [S // 10] * (len(stamps) - 1)


def test_too_little_free_space_is_said_before_anything_is_written(tmp_path):
    with Vehicle(72) as vehicle, recorder(72, tmp_path / 'pairs', min_free_space=10**9) as record:
        vehicle.connect().drive(100 * S, 10)
        status, text = record.wait()
    assert status == 1 and 'MB are free on the disk' in text and 'min_free_space' in text
    assert not (tmp_path / 'pairs').exists()


def test_images_that_arrive_late_are_paired_with_the_nearest_scan(tmp_path):
    """A camera of 30 Hz whose images come 80 ms after their scan: upstream's Python policy is 85 ms off there."""
    with Vehicle(73) as vehicle, recorder(73, tmp_path / 'pairs') as record:
        vehicle.connect()
        events = sorted([(k * 0.1, 'scan', k * S // 10) for k in range(40)]
                        + [(k / 30 + 0.08, 'image', k * S // 30 + 10_000_000) for k in range(120)])
        begin = time.monotonic()
        for due, what, stamp in events:
            time.sleep(max(0.0, begin + due - time.monotonic()))
            (vehicle.send_scan if what == 'scan' else vehicle.send_image)(100 * S + stamp)
        time.sleep(0.3)
        status, text = record.interrupt()
    assert status == 0, text
    bag = PairedBag(tmp_path / 'pairs')
    delays = np.array([frame.views[0].stamp - frame.stamp for frame in bag])
    assert len(bag) >= 35 and np.abs(delays).max() <= 11_000_000


def test_a_camera_that_falls_silent_does_not_end_the_pairs_of_the_others(tmp_path):
    with Vehicle(75) as vehicle, Vehicle(75, 'cam1') as other, \
            recorder(75, tmp_path / 'pairs', cameras='[cam0, cam1]', queue=40) as record:
        vehicle.connect()
        now = 100 * S
        for number in range(100):
            vehicle.send(now)
            if not 20 <= number < 80:
                other.send_image(now + 2_000_000)
            now += S // 10
            time.sleep(0.05)
        time.sleep(0.8)
        status, text = record.interrupt()
    assert status == 0 and "pairing goes on with ['cam0']" in text and "['cam0', 'cam1']" in text, text
    assert 'lost: none' in text
    cameras = [tuple(view.name for view in frame.views) for frame in PairedBag(tmp_path / 'pairs')]
    assert len(cameras) == 100 and cameras[0] == cameras[-1] == ('cam0', 'cam1') and cameras.count(('cam0',)) >= 60
