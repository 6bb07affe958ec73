# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""A replayed dataset arrives in the order of its stamps, with poses for each of them."""

import itertools
import time
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='ROS 2 is not installed')
import rclpy  # noqa: E402
from drive import CAMERA, FRONT, START, STEP, NodeProcess, T_front_lidar, frame, trajectory, write_drive  # noqa: E402
from nav_msgs.msg import Odometry  # noqa: E402
from rclpy.executors import SingleThreadedExecutor  # noqa: E402
from rclpy.qos import DurabilityPolicy, QoSProfile  # noqa: E402
from rosgraph_msgs.msg import Clock  # noqa: E402
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2  # noqa: E402
from std_msgs.msg import String  # noqa: E402
from tf2_msgs.msg import TFMessage  # noqa: E402

from ros_kd import clouds, extrinsics  # noqa: E402
from ros_kd.frames import CameraView, PairedFrame, Scan  # noqa: E402
from ros_kd.images import EncodedPixels, ImageFile, RawPixels  # noqa: E402
from ros_kd.label_sets import get_taxonomy  # noqa: E402
from ros_kd.nodes import messages  # noqa: E402
from ros_kd.nodes.timeline import TICK, LabelImages, events, laps, static_extrinsics, velocity  # noqa: E402
from ros_kd.taxonomy import Taxonomy  # noqa: E402


def bare_frame(stamp, offsets=()):
    views = tuple(CameraView(str(offset), stamp + offset, CAMERA, np.eye(4), EncodedPixels(b'')) for offset in offsets)
    return PairedFrame(Scan(stamp, np.zeros((1, 3), np.float32)), views)


def test_events_come_in_the_order_of_their_stamps_with_a_pose_before_each():
    frames = [bare_frame(10**9 * (1 + number // 3) + 10**8 * number, (-120_000_000, 30_000_000)) for number in range(9)]
    found = list(events(frames))
    stamps = [event.stamp for event in found]
    assert stamps == sorted(stamps) and max(np.diff(stamps)) <= TICK
    assert sum(event.view is not None for event in found) == 18
    assert [event.stamp for event in found if event.rank == 2] == [value.stamp for value in frames]
    for before, event in zip(found, found[1:]):
        if event.rank:
            assert before.stamp == event.stamp


def test_later_laps_are_shifted_so_that_stamps_keep_rising():
    frames = [bare_frame(10**9 + number * STEP, (5,)) for number in range(3)]
    scans = [event for event in itertools.islice(laps(frames, True), 200) if event.rank == 2][:9]
    assert list(np.diff([event.stamp for event in scans])) == [STEP, STEP, STEP + 5] * 2 + [STEP, STEP]
    assert [event.data_stamp for event in scans] == [frames[i % 3].stamp for i in range(9)]
    assert len([event for event in laps(frames, False) if event.rank == 2]) == 3
    assert list(laps([], True)) == []


def test_the_mount_of_a_camera_is_the_extrinsics_without_the_motion():
    poses = trajectory(5)
    value = frame(2, poses)
    np.testing.assert_allclose(static_extrinsics(value.view('front'), value.stamp, poses), T_front_lidar, atol=1e-9)
    moved = value.view('front').lidar_to_camera
    assert np.abs(moved - T_front_lidar).max() > 0.1
    assert static_extrinsics(value.view('front'), value.stamp, None) is moved


def test_velocity_is_that_of_the_trajectory():
    stamps = START + STEP * np.arange(5)
    angle = 0.5 * np.arange(5) * 0.1
    poses = [extrinsics.from_quaternion([10 * np.sin(a) / 0.5, 10 * (1 - np.cos(a)) / 0.5, 0],
                                        [0, 0, np.sin(a / 2), np.cos(a / 2)]) for a in angle]
    linear, angular = velocity(extrinsics.Trajectory(stamps, np.stack(poses)), int(stamps[2]))
    np.testing.assert_allclose(linear, [10, 0, 0], atol=0.3)
    np.testing.assert_allclose(angular, [0, 0, 0.5], atol=1e-6)


def test_label_images_match_the_longest_end_of_the_path(tmp_path):
    for name in ('labels/0001.png', 'labels/b/0001.png', 'data/a/b/0001.jpg', 'data/a/c/0001.jpg', 'data/a/c/2.jpg'):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    source = LabelImages(tmp_path / 'labels', get_taxonomy('cityscapes'))
    view = CameraView('front', 0, CAMERA, np.eye(4), ImageFile(tmp_path / 'data/a/b/0001.jpg'))
    assert source.attach(view).label_pixels.path == tmp_path / 'labels/b/0001.png'
    other = replace(view, pixels=ImageFile(tmp_path / 'data/a/c/0001.jpg'))
    assert source.attach(other).label_pixels.path == tmp_path / 'labels/0001.png'
    assert source.attach(other).taxonomy.name == 'cityscapes'
    for pixels in (ImageFile(tmp_path / 'data/a/c/2.jpg'), RawPixels(np.zeros((2, 2, 3), np.uint8))):
        assert source.attach(replace(view, pixels=pixels)).label_pixels is None
    assert (source.found, source.missing) == (3, 2)
    with pytest.raises(ValueError, match='no folder'):
        LabelImages(tmp_path / 'nowhere', get_taxonomy('cityscapes'))


class Listener:
    """Keeps all that it hears, in order."""

    def __init__(self, domain):
        self.context = rclpy.Context()
        rclpy.init(context=self.context, domain_id=domain)
        self.node = rclpy.create_node('listener', context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        self.heard = {}
        latched = QoSProfile(depth=10, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        for kind, topic, qos in (
                (PointCloud2, 'points', 50), (CompressedImage, 'front/image/compressed', 50), (Image, 'rear/image', 50),
                (CameraInfo, 'front/camera_info', 50), (Image, 'front/labels', 50), (TFMessage, '/tf', 500),
                (TFMessage, '/tf_static', latched), (String, 'label_info', latched),
                (String, 'front/label_info', latched), (Odometry, 'odom', 50), (Clock, '/clock', 500)):
            self.heard[topic] = []
            self.node.create_subscription(kind, topic, self.heard[topic].append, qos)

    def listen(self, process):
        while process.process.poll() is None:
            self.executor.spin_once(timeout_sec=0.05)
        end = time.monotonic() + 0.5
        while time.monotonic() < end:
            self.executor.spin_once(timeout_sec=0.05)

    def close(self):
        self.executor.shutdown()
        self.node.destroy_node()
        rclpy.shutdown(context=self.context)


def stamps(heard):
    return [messages.from_time(message.header.stamp) for message in heard]


@pytest.fixture(scope='module')
def drive(tmp_path_factory):
    path = tmp_path_factory.mktemp('drive') / 'drive'
    return path, write_drive(path, 8)


@pytest.fixture(scope='module')
def heard(drive):
    listener = Listener(56)
    with NodeProcess('replay', 56, dataset=drive[0], clock=True, wait_for_subscribers=30) as replay:
        listener.listen(replay)
        assert replay.wait()[0] == 0, replay.text()
    listener.close()
    return listener.heard


def test_sensors_arrive_with_their_own_stamps_and_bytes(drive, heard):
    frames = drive[1]
    assert stamps(heard['points']) == [value.stamp for value in frames]
    assert stamps(heard['front/image/compressed']) == [value.stamp + FRONT for value in frames]
    assert stamps(heard['front/camera_info']) == stamps(heard['front/image/compressed'])
    assert stamps(heard['rear/image']) == [value.view('rear').stamp for value in frames]
    for cloud, image, raw, labels, value in zip(heard['points'], heard['front/image/compressed'], heard['rear/image'],
                                                heard['front/labels'], frames):
        points = clouds.records(cloud)
        np.testing.assert_array_equal(points['gt_label'], value.scan.label)
        np.testing.assert_array_equal(points['x'], value.points[:, 0])
        assert bytes(image.data) == value.view('front').pixels.data.tobytes() and image.format == 'jpeg'
        np.testing.assert_array_equal(np.frombuffer(raw.data, np.uint8), value.view('rear').image().ravel())
        np.testing.assert_array_equal(np.frombuffer(labels.data, np.uint8), value.view('front').labels().ravel())
    np.testing.assert_array_equal(messages.camera_from_info(heard['front/camera_info'][0]).K, CAMERA.K)


def test_taxonomies_are_latched(heard):
    assert Taxonomy.from_json(heard['label_info'][-1].data).name == 'street-12'
    assert Taxonomy.from_json(heard['front/label_info'][-1].data).name == 'cityscapes'


def test_transforms_carry_each_pair_from_scan_to_image(drive, heard):
    poses = {messages.from_time(t.header.stamp): messages.transform_from_message(t.transform)
             for message in heard['/tf'] for t in message.transforms}
    mounts = {t.child_frame_id: messages.transform_from_message(t.transform)
              for message in heard['/tf_static'] for t in message.transforms}
    assert max(np.diff(sorted(poses))) <= 50_000_000
    for value in drive[1]:
        for view in value.views:
            chained = extrinsics.lidar_to_camera(extrinsics.invert(mounts[view.frame_id]), poses[view.stamp],
                                                 poses[value.stamp], mounts['os_sensor'])
            np.testing.assert_allclose(chained, view.lidar_to_camera, atol=1e-6)


def test_odometry_and_clock_follow_the_data(drive, heard):
    assert stamps(heard['odom']) == [value.stamp for value in drive[1]]
    assert heard['odom'][4].twist.twist.linear.x == pytest.approx(10, abs=1)
    clock = [messages.from_time(message.clock) for message in heard['/clock']]
    assert clock == sorted(clock) and clock[0] <= drive[1][0].stamp and clock[-1] >= drive[1][-1].stamp


def test_stamps_may_be_those_of_the_moment(drive):
    listener, before = Listener(43), time.time_ns()
    with NodeProcess('replay', 43, dataset=drive[0], stamps='now', loop=True, rate=4,
                     wait_for_subscribers=30) as replay:
        while len(listener.heard['points']) < 12:
            assert replay.process.poll() is None, replay.text()
            listener.executor.spin_once(timeout_sec=0.05)
        status, text = replay.interrupt()
    after = time.time_ns()
    listener.close()
    found = stamps(listener.heard['points'])
    assert status == 0, text
    assert before < found[0] and found == sorted(found) and found[-1] < after
    np.testing.assert_allclose(np.diff(found)[:7], STEP / 4, atol=1000)


def test_wrong_parameters_end_with_one_line():
    for parameters, expected in (({'dataset': 'kitty:x'}, 'unknown kind of dataset "kitty"'), ({}, 'dataset is empty'),
                                 ({'dataset': '/nowhere'}, 'no dataset at /nowhere'),
                                 ({'rate': 0}, 'parameter rate is 0')):
        with NodeProcess('replay', 44, **parameters) as replay:
            status, text = replay.wait()
        assert status == 1 and expected in text and text.count('\n') == 1
