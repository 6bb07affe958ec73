# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""The simulated vehicle as other nodes meet it: its own process, real topics, transforms looked up as they do."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip('rclpy', reason='no ROS 2: source a distribution, or make setup')
pytest.importorskip('embreex')

import rclpy  # noqa: E402
from nav_msgs.msg import Odometry  # noqa: E402
from rclpy.context import Context  # noqa: E402
from rclpy.duration import Duration  # noqa: E402
from rclpy.executors import SingleThreadedExecutor  # noqa: E402
from rclpy.node import Node  # noqa: E402
from rclpy.qos import DurabilityPolicy, QoSProfile, qos_profile_sensor_data  # noqa: E402
from rclpy.time import Time  # noqa: E402
from rosgraph_msgs.msg import Clock  # noqa: E402
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2  # noqa: E402
from std_msgs.msg import String  # noqa: E402
from tf2_ros import Buffer, TransformListener  # noqa: E402

from ros_kd import clouds, extrinsics  # noqa: E402
from ros_kd.nodes import messages  # noqa: E402
from ros_kd.taxonomy import Taxonomy  # noqa: E402
from ros_kd.world.rig import Rig  # noqa: E402
from ros_kd.world.simulation import Simulation  # noqa: E402

DOMAINS = iter((52, 53, 54, 55))
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
INFOS = ('label_info', 'front/label_info')
SMALL = ('image_width:=320', 'image_height:=180')


class Listener(Node):
    """Keeps what the vehicle publishes."""

    def __init__(self, context):
        super().__init__('listener', context=context)
        self.heard = {}
        self.executor_ = SingleThreadedExecutor(context=context)
        self.executor_.add_node(self)
        self.buffer = Buffer(cache_time=Duration(seconds=100))
        self.transforms = TransformListener(self.buffer, self, spin_thread=False)

    def hear(self, kind, topic, qos=50):
        self.heard[topic] = []
        self.create_subscription(kind, topic, self.heard[topic].append, qos)

    def stamps(self, topic):
        return [messages.from_time(message.header.stamp) for message in self.heard[topic]]

    def transform(self, target, target_stamp, source, source_stamp):
        found = self.buffer.lookup_transform_full(target, Time(nanoseconds=target_stamp), source,
                                                  Time(nanoseconds=source_stamp), 'odom')
        return messages.transform_from_message(found.transform)


def start(folder, domain, *parameters):
    arguments = [item for parameter in parameters for item in ('-p', parameter)]
    environment = {**os.environ, 'ROS_DOMAIN_ID': str(domain), 'ROS_LOG_DIR': str(folder), 'OMP_NUM_THREADS': '1',
                   'PYTHONPATH': os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get('PYTHONPATH', '')])}
    return subprocess.Popen([sys.executable, '-c', 'import sys; from ros_kd.nodes.sim import main; sys.exit(main())',
                             '--ros-args', *arguments], env=environment, cwd=folder,
                            stdout=(folder / 'log.txt').open('w'), stderr=subprocess.STDOUT)


@pytest.fixture
def listener():
    context, domain = Context(), next(DOMAINS)
    rclpy.init(context=context, domain_id=domain)
    node = Listener(context)
    node.domain = domain
    yield node
    node.destroy_node()
    context.try_shutdown()


def listen_until_the_end(node, process, seconds=120):
    end = time.monotonic() + seconds
    while process.poll() is None:
        if time.monotonic() > end:
            process.kill()
            pytest.fail(f'the vehicle still drives after {seconds} s')
        node.executor_.spin_once(timeout_sec=0.05)
    return process.returncode


def listen_until_heard(node, folder, *topics, seconds=60):
    end = time.monotonic() + seconds
    while not all(node.heard[topic] for topic in topics) and time.monotonic() < end:
        node.executor_.spin_once(timeout_sec=0.1)
    assert all(node.heard[topic] for topic in topics), (folder / 'log.txt').read_text()


def test_everything_is_published_with_consistent_transforms(listener, tmp_path):
    for kind, topic in ((PointCloud2, 'points'), (Odometry, 'odom'), (Clock, '/clock'), (Image, 'front/labels'),
                        (CameraInfo, 'front/camera_info'), (CompressedImage, 'front/image/compressed'),
                        (CompressedImage, 'left/image/compressed')):
        listener.hear(kind, topic)
    for topic in INFOS:
        listener.hear(String, topic, LATCHED)
    process = start(tmp_path, listener.domain, 'seed:=6', 'frames:=6', 'cameras:=[front, left]', 'rate:=5.0', 'workers:=1',
                    *SMALL)
    assert listen_until_the_end(listener, process) == 0, (tmp_path / 'log.txt').read_text()
    heard = listener.heard

    assert len(heard['points']) == 6
    cloud = clouds.records(heard['points'][0])
    assert set(cloud.dtype.names) == {'x', 'y', 'z', 'intensity', 'time', 'ring', 'gt_label'} and len(cloud) > 80_000
    assert heard['points'][0].header.frame_id == 'lidar'
    assert [Taxonomy.from_json(heard[topic][0].data).name for topic in INFOS] == ['sim-12'] * 2

    fronts, lefts = listener.stamps('front/image/compressed'), listener.stamps('left/image/compressed')
    assert len(fronts) == 6 and len(lefts) == 3
    assert listener.stamps('front/labels') == listener.stamps('front/camera_info') == fronts
    image, labels = heard['front/image/compressed'][0], heard['front/labels'][0]
    assert cv2.imdecode(np.frombuffer(image.data, np.uint8), cv2.IMREAD_COLOR).shape == (180, 320, 3)
    assert (labels.encoding, labels.width, labels.height, len(labels.data)) == ('mono8', 320, 180, 320 * 180)
    assert image.header.frame_id == labels.header.frame_id == 'front_optical_frame'
    camera = messages.camera_from_info(heard['front/camera_info'][0])
    np.testing.assert_allclose(camera.K, Rig().sized(320, 180).camera('front').camera.K)

    times = [messages.from_time(message.clock) for message in heard['/clock']]
    assert times == sorted(times) and times[-1] - times[0] >= 6 * 10 ** 8
    assert times[-1] >= max(listener.stamps('points')) + 10 ** 8
    steps = np.diff(sorted(set(listener.stamps('odom'))))
    assert steps.max() <= 20_000_000
    twist = heard['odom'][0].twist.twist
    assert twist.linear.x == pytest.approx(8, abs=3) and abs(twist.linear.y) < 0.5

    vehicle = Simulation(6, Rig().sized(320, 180))
    for scan, exposed in zip(listener.stamps('points'), fronts):
        expected = extrinsics.lidar_to_camera(
            extrinsics.invert(vehicle.rig.camera('front').base_from_optical), vehicle.world_from_base(exposed),
            vehicle.world_from_base(scan), vehicle.rig.lidar.mount.base_from_sensor)
        found = listener.transform('front_optical_frame', exposed, 'lidar', scan)
        np.testing.assert_allclose(found, expected, atol=1e-4)
    for stamp in lefts:
        assert listener.buffer.can_transform('odom', 'left_optical_frame', Time(nanoseconds=stamp))


def test_without_truth_raw_images_go_out_best_effort(listener, tmp_path):
    listener.hear(PointCloud2, 'points', qos_profile_sensor_data)
    listener.hear(Image, 'right/image', qos_profile_sensor_data)
    process = start(tmp_path, listener.domain, 'cameras:=[right]', 'labels:=false', 'compressed:=false',
                    'reliability:=best_effort', 'deskewed:=false', 'clock:=false', 'workers:=1', *SMALL)
    listen_until_heard(listener, tmp_path, 'points', 'right/image')  # a busy machine loses some of what is best effort
    process.send_signal(signal.SIGINT)
    assert listen_until_the_end(listener, process) == 0, (tmp_path / 'log.txt').read_text()
    assert listener.heard['right/image'][0].encoding == 'rgb8'
    assert 'gt_label' not in clouds.records(listener.heard['points'][0]).dtype.names
    topics = dict(listener.get_topic_names_and_types())
    assert not {'/clock', '/right/labels', '/label_info'} & set(topics)


def test_an_endless_drive_ends_on_sigint_with_its_workers(listener, tmp_path):
    listener.hear(Odometry, 'odom')
    process = start(tmp_path, listener.domain, 'wait_for_subscribers:=0.0')
    listen_until_heard(listener, tmp_path, 'odom')
    children = Path(f'/proc/{process.pid}/task/{process.pid}/children').read_text().split()
    process.send_signal(signal.SIGINT)
    assert listen_until_the_end(listener, process) == 0
    assert len(children) == 2 and not any(Path(f'/proc/{child}').exists() for child in children)


@pytest.mark.parametrize('parameter, named', [('rate:=0.0', 'rate'), ('cameras:=[rear]', 'front'),
                                              ('reliability:=sometimes', 'best_effort')])
def test_a_wrong_parameter_is_one_line_that_says_what_was_expected(parameter, named, tmp_path):
    process = start(tmp_path, 55, parameter)
    assert process.wait(60) == 1
    lines = (tmp_path / 'log.txt').read_text().splitlines()
    assert len(lines) == 1 and lines[0].startswith('sim: ') and named in lines[0]
