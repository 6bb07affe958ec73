# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""What the segmenter's tests share: the node in its own process, and a vehicle to talk with it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import PointCloud2
from std_msgs.msg import Float64, String
from visualization_msgs.msg import MarkerArray

from ros_kd import clouds
from ros_kd.label_sets import TAXONOMIES
from ros_kd.nodes import messages
from ros_kd.students.checkpoint import CheckpointInfo
from ros_kd.students.inputs import InputSpec
from ros_kd.students.predictor import Predictor

ROOT = Path(__file__).parents[2]
STAMP = 12_000_000_034
INFO = CheckpointInfo('minkunet14', InputSpec(0.2, (-10, -10, -3), (10, 10, 3), ('x', 'y', 'z', 'intensity')),
                      TAXONOMIES['street-12'], 0.25)
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
XYZI = [(name, '<f4') for name in ('x', 'y', 'z', 'intensity')]


class Segmenter:
    """The node in its own process, with what it says."""

    def __init__(self, folder, domain, *parameters):
        self.log_file = folder / 'log.txt'
        arguments = [item for parameter in parameters for item in ('-p', parameter)]
        environment = {**os.environ, 'ROS_DOMAIN_ID': str(domain), 'ROS_LOG_DIR': str(folder), 'OMP_NUM_THREADS': '1',
                       'PYTHONPATH': os.pathsep.join([str(ROOT), os.environ.get('PYTHONPATH', '')])}
        with self.log_file.open('w') as file:
            self.process = subprocess.Popen(
                [sys.executable, '-c', 'import sys; from ros_kd.nodes.segment import main; sys.exit(main())',
                 '--ros-args', *arguments], env=environment, stdout=file, stderr=file, cwd=folder)

    @property
    def log(self):
        return self.log_file.read_text()

    def stop(self):
        """Interrupt the node and return its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            time.sleep(0.05)
            self.process.send_signal(signal.SIGINT)  # as Ctrl-C does: once from the terminal, once from the launch
        return self.process.wait(20)


class Vehicle(Node):
    """Publishes clouds and keeps what the segmenter publishes."""

    def __init__(self, context):
        super().__init__('vehicle', context=context)
        self.labelled, self.infos, self.legends, self.times, self.diagnostics = [], [], [], [], []
        self.publisher = self.create_publisher(PointCloud2, 'points', 10)
        self.executor_ = SingleThreadedExecutor(context=context)
        self.executor_.add_node(self)
        self.create_subscription(PointCloud2, '/segment/points', self.labelled.append, 10)
        self.create_subscription(String, '/segment/label_info', self.infos.append, LATCHED)
        self.create_subscription(MarkerArray, '/segment/legend', self.legends.append, LATCHED)
        self.create_subscription(Float64, '/segment/debug/processing_time_ms', self.times.append, 10)
        self.create_subscription(DiagnosticArray, '/diagnostics', self.diagnostics.append, 10)

    def wait_for(self, condition, what, seconds=30.0):
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, f'no {what} within {seconds} s'
            self.executor_.spin_once(timeout_sec=0.05)

    def connect(self):
        self.wait_for(lambda: self.publisher.get_subscription_count() and self.count_publishers('/segment/points'),
                      'segmenter')
        self.wait_for(lambda: self.infos, 'label_info')
        return self

    def send(self, message):
        """Publish a cloud and return the labelled one."""
        before = len(self.labelled)
        self.publisher.publish(message)
        self.wait_for(lambda: len(self.labelled) > before, 'labelled cloud')
        return self.labelled[-1]

    def values(self):
        """Return the newest diagnostic and its values."""
        if not self.diagnostics:
            return None, {}
        status = self.diagnostics[-1].status[0]
        return status, {pair.key: pair.value for pair in status.values}


def random_points(dtype, count=600, seed=0):
    generator = np.random.default_rng(seed)
    points = np.zeros(count, dtype)
    for name in points.dtype.names:
        if name in ('x', 'y', 'z'):
            points[name] = generator.uniform(-9, 9, count) * (0.2 if name == 'z' else 1)
        else:
            points[name] = generator.integers(0, 200, points[name].shape)
    return points


def cloud(points, height=1):
    return messages.cloud_message(points, messages.header(STAMP, 'velodyne'), height)


def expected(points, checkpoint, scale=255.0):
    scan = clouds.scan_from_records(points, STAMP, 'velodyne', scale)
    return Predictor.load(checkpoint, 'cpu').predict(scan)
