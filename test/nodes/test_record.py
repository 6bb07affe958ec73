# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""What is published ends up in the bag, with the extrinsics of its own two moments; what is not, is explained."""

import shutil
import subprocess
import sys
import time

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='ROS 2 is not installed')
from drive import ROOT, NodeProcess, environment, write_drive  # noqa: E402
from rosbags.rosbag2 import Reader  # noqa: E402
from vehicle import CAMERA, Vehicle, wait_until  # noqa: E402

from ros_kd.bags.reader import PairedBag  # noqa: E402
from ros_kd.datasets import open_dataset  # noqa: E402
from ros_kd.images import ImageFile  # noqa: E402
from ros_kd.nodes import messages  # noqa: E402
from ros_kd.nodes.tally import Tally  # noqa: E402


def assert_recorded(read, written):
    assert read.stamp == written.stamp
    np.testing.assert_array_equal(read.points, written.points)
    assert [view.name for view in read.views] == [view.name for view in written.views]
    np.testing.assert_allclose(read.world_from_lidar, written.world_from_lidar, atol=1e-3)
    for a, b in zip(read.views, written.views):
        assert a.stamp == b.stamp
        np.testing.assert_allclose(a.lidar_to_camera, b.lidar_to_camera, atol=1e-3)
        np.testing.assert_array_equal(a.camera.K, b.camera.K)


def test_a_replayed_drive_is_recorded_whole(tmp_path):
    frames = write_drive(tmp_path / 'drive', 12)
    # Without offsets, the closest set is that of the rear image 60 ms after the scan: it spans 60 ms, not 70.
    with NodeProcess('record', 58, output=tmp_path / 'pairs', max_pairs=12,
                     time_offsets='[front=0.03, rear=-0.04]') as record, \
            NodeProcess('replay', 58, dataset=tmp_path / 'drive', wait_for_subscribers=30) as replay:
        status, text = record.wait()
        assert status == 0, text
        assert replay.wait()[0] == 0
    assert '12 pairs' in text and 'front: image - scan +30.0 ms' in text and 'rear: image - scan -40.0 ms' in text
    assert str(tmp_path / 'pairs') in text and 'lost: none' in text
    dataset = open_dataset(str(tmp_path / 'pairs'))
    assert len(dataset) == 12 and len(dataset.trajectory.stamps) == 12
    for read, written in zip(dataset, frames):
        assert_recorded(read, written)
        np.testing.assert_array_equal(read.scan.label, written.scan.label)
        assert read.scan.taxonomy == written.scan.taxonomy
        assert bytes(read.view('front').pixels.data) == written.view('front').pixels.data.tobytes()
        np.testing.assert_array_equal(read.view('rear').image(), written.view('rear').image())
        np.testing.assert_array_equal(read.view('front').labels(), written.view('front').labels())
        assert read.view('front').taxonomy == written.view('front').taxonomy
    with Reader(tmp_path / 'pairs') as bag:
        assert bag.topics['/tf_static'].msgcount >= 1


def test_the_launch_file_records_a_real_drive_and_ends_with_it(tmp_path, real_data):
    pytest.importorskip('launch_ros', reason='no ros2 launch')
    ros2 = shutil.which('ros2', path=str(sys.prefix) + '/bin') or shutil.which('ros2')
    if ros2 is None:
        pytest.skip('no ros2 command')
    drive = real_data / 'kitti_raw' / '2011_09_26' / '2011_09_26_drive_0013_sync'
    share = tmp_path / 'prefix' / 'share' / 'ros_kd'
    for folder in ('launch', 'config'):
        shutil.copytree(ROOT / folder, share / folder)
    index = tmp_path / 'prefix' / 'share' / 'ament_index' / 'resource_index' / 'packages'
    index.mkdir(parents=True)
    (index / 'ros_kd').touch()
    shutil.copytree(ROOT / 'scripts', tmp_path / 'prefix' / 'lib' / 'ros_kd')
    done = subprocess.run(
        [ros2, 'launch', 'ros_kd', 'record.launch.py', f'dataset:={drive}', f'output:={tmp_path / "pairs"}', 'rate:=3',
         f'label_images:={real_data / "teacher" / "dicenet" / "labels"}'],
        env=environment(59, tmp_path / 'prefix'), capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    recorded, dataset = open_dataset(str(tmp_path / 'pairs')), open_dataset(str(drive))
    assert len(recorded) == len(dataset) == 16, done.stdout + done.stderr
    for read, written in zip(recorded, dataset):
        assert_recorded(read, written)
        image = written.views[0].pixels
        assert isinstance(image, ImageFile) and bytes(read.views[0].pixels.data) == image.encoded()
        assert read.views[0].labels().shape == read.views[0].image().shape[:2]


def test_best_effort_sensors_without_odometry_are_recorded_and_bad_messages_survived(tmp_path):
    vehicle = Vehicle(60)
    bad = messages.camera_info_message(CAMERA, messages.header(0, 'optical'))
    bad.k = [0.0] * 9
    with NodeProcess('record', 60, output=tmp_path / 'pairs', points='/velodyne_points', tf_timeout=0.5,
                     max_pairs=3) as record:
        wait_until(lambda: vehicle.points.get_subscription_count() and vehicle.info.get_subscription_count(),
                   'recorder')
        time.sleep(0.5)
        vehicle.points.publish(b'\0\1\0\0\5\0')
        vehicle.info.publish(bad)
        for number in range(200):
            if record.process.poll() is not None:
                break
            vehicle.send(1_000_000_000 + number * 100_000_000)
            time.sleep(0.1)
        status, text = record.wait()
    vehicle.close()
    assert status == 0, text
    assert '/cam0/image_color' in text and 'bad message on /velodyne_points' in text and '1 bad messages' in text
    assert 'no transform from "velodyne" to the fixed frame "odom"' in text
    bag = PairedBag(tmp_path / 'pairs')
    assert len(bag) == 3 and bag[0].views[0].lidar_to_camera[2, 3] == 2.0 and bag[0].world_from_lidar is None


def test_a_silent_topic_is_named_with_what_is_published_instead(tmp_path):
    vehicle = Vehicle(57)
    with NodeProcess('record', 57, output=tmp_path / 'pairs', points='lidar', cameras='[cam0, cam7]',
                     input_timeout=1.0) as record:
        record.until('nobody publishes /lidar; topics of sensor_msgs/msg/PointCloud2 published now: /velodyne_points '
                     '(best effort)',
                     'nobody publishes /cam7/camera_info; topics of sensor_msgs/msg/CameraInfo published now: '
                     '/cam0/camera_info (best effort)')
        status, text = record.interrupt()
    vehicle.close()
    assert status == 0 and 'no bag: nothing was recorded' in text
    assert not (tmp_path / 'pairs').exists()


def test_outputs_and_parameters_are_checked_before_anything_is_recorded(tmp_path):
    for parameters, expected in (({'output': tmp_path}, 'exists already'),
                                 ({'cameras': 2}, 'parameter cameras: "2" is no name of a topic'),
                                 ({'qos_reliability': 'good'}, "one of ['auto', 'reliable', 'best_effort']")):
        with NodeProcess('record', 57, **parameters) as record:
            status, text = record.wait()
        assert status == 1 and expected in text and 'Traceback' not in text


def test_arguments_that_are_not_given_leave_the_parameter_file_as_it_is():
    launch = pytest.importorskip('launch', reason='no ros2 launch')
    from ros_kd.nodes.launch_parts import given, text

    context = launch.LaunchContext()
    context.launch_configurations.update(points='', cameras='', output='2026_11_23')
    found = given(context, [(name, '', '') for name in ('points', 'cameras', 'output')], text)
    assert list(found) == ['output'] and found['output'].evaluate(context) == '2026_11_23'


def test_the_report_says_what_was_lost_and_how_far_images_are_from_scans():
    tally = Tally()
    for offset in (0.01, 0.02, 0.03):
        tally.add_pair(10**9 * (1 + tally.pairs), {'front': offset})
    tally.received['scans'] += 5
    tally.lost['scans (overflow)'] += 2
    tally.unused['of front: overflow'] += 3
    text = '\n'.join(tally.report())
    assert 'front: image - scan +20.0 ms on average, |Δt| median 20.0' in text and 'at most 30.0 ms' in text
    assert 'lost: 2 scans (overflow)' in text and 'in no pair: 3 of front: overflow' in text
    assert text.startswith('3 pairs')
