# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""What the segmenter's tests share: the node in its own process, and a vehicle to talk with it."""

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import rclpy
import torch
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rcl_interfaces.srv import SetParametersAtomically
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import PointCloud2
from std_msgs.msg import Float64, String
from visualization_msgs.msg import MarkerArray

from ros_kd import clouds
from ros_kd.label_sets import TAXONOMIES
from ros_kd.nodes import messages
from ros_kd.students.checkpoint import CheckpointInfo, save_checkpoint
from ros_kd.students.inputs import InputSpec
from ros_kd.students.predictor import Predictor

OK, WARN, ERROR = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR
ROOT = Path(__file__).parents[2]
STAMP = 12_000_000_034
INFO = CheckpointInfo('minkunet14', InputSpec(0.2, (-10, -10, -3), (10, 10, 3), ('x', 'y', 'z', 'intensity')),
                      TAXONOMIES['street-12'], 0.25)
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
XYZI = [(name, '<f4') for name in ('x', 'y', 'z', 'intensity')]


def checkpoint_at(path, info=INFO, seed=0):
    """Write a student that has seen no scan and return its path."""
    torch.manual_seed(seed)
    return save_checkpoint(path, info.build(), info)


class Segmenter:
    """The node in its own process, with what it says."""

    def __init__(self, folder, domain, *parameters, remap=(), before=''):
        """before: Python that the process runs first."""
        self.log_file = folder / 'log.txt'
        arguments = [item for parameter in parameters for item in ('-p', parameter)]
        arguments += [item for rule in remap for item in ('-r', rule)]
        environment = {**os.environ, 'ROS_DOMAIN_ID': str(domain), 'ROS_LOG_DIR': str(folder), 'OMP_NUM_THREADS': '1',
                       'PYTHONPATH': os.pathsep.join([str(ROOT), os.environ.get('PYTHONPATH', '')])}
        with self.log_file.open('w') as file:
            self.process = subprocess.Popen(
                [sys.executable, '-c', f'{before}\nimport sys\nfrom ros_kd.nodes.segment import main\nsys.exit(main())',
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


@contextmanager
def segmenter(folder, domain, *parameters, **options):
    """A segmenter that must end in order."""
    node = Segmenter(folder, domain, *parameters, **options)
    try:
        yield node
        assert node.stop() == 0, node.log
    finally:
        node.process.kill()


@contextmanager
def vehicle_on(domain, namespace=''):
    """A vehicle in the test's own process."""
    context = Context()
    rclpy.init(context=context, domain_id=domain)
    node = Vehicle(context, namespace)
    try:
        yield node
    finally:
        node.destroy_node()
        context.try_shutdown()


@contextmanager
def stranger_on(domain, kind, topic, qos=10):
    """A publisher of another node, in a participant of its own: Fast DDS takes one type a topic in each."""
    context = Context()
    rclpy.init(context=context, domain_id=domain)
    node = rclpy.create_node('stranger', context=context)
    try:
        yield node.create_publisher(kind, topic, qos)
    finally:
        node.destroy_node()
        context.try_shutdown()


class Vehicle(Node):
    """Publishes clouds and keeps what the segmenter publishes. namespace: of clouds and segmenter, '' or '/name'."""

    def __init__(self, context, namespace=''):
        super().__init__('vehicle', context=context, namespace=namespace)
        self.segment = f'{namespace}/segment'
        self.callers = {}
        self.labelled, self.infos, self.legends, self.times, self.diagnostics = [], [], [], [], []
        self.publisher = self.create_publisher(PointCloud2, 'points', 10)
        self.executor_ = SingleThreadedExecutor(context=context)
        self.executor_.add_node(self)
        self.watch()
        self.create_subscription(String, f'{self.segment}/label_info', self.infos.append, LATCHED)
        self.create_subscription(MarkerArray, f'{self.segment}/legend', self.legends.append, LATCHED)
        self.create_subscription(Float64, f'{self.segment}/debug/processing_time_ms/total', self.times.append, 10)
        self.create_subscription(DiagnosticArray, '/diagnostics', self.diagnostics.append, 10)

    def watch(self):
        """Listen to the labelled cloud."""
        self.watching = self.create_subscription(PointCloud2, f'{self.segment}/points', self.labelled.append, 10)

    def wait_for(self, condition, what, seconds=30.0):
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, f'no {what} within {seconds} s'
            self.executor_.spin_once(timeout_sec=0.05)

    def connect(self):
        self.wait_for(lambda: self.publisher.get_subscription_count(), 'segmenter that listens')
        self.wait_for(lambda: self.count_publishers(f'{self.segment}/points'), 'segmenter that publishes')
        self.wait_for(lambda: self.infos, 'label_info')
        return self

    def send(self, message):
        """Publish a cloud and return the labelled one."""
        before = len(self.labelled)
        self.publisher.publish(message)
        self.wait_for(lambda: len(self.labelled) > before, 'labelled cloud')
        return self.labelled[-1]

    def listen(self, kind, topic, qos=10):
        """Return the list that messages of a topic of the segmenter are added to, once it is heard."""
        heard = []
        subscription = self.create_subscription(kind, f'{self.segment}/{topic}', heard.append, qos)
        self.wait_for(lambda: self.count_publishers(subscription.topic_name), topic)
        return heard

    def call(self, kind, service, request, seconds=30.0):
        """Return the answer of a service of the segmenter."""
        if service not in self.callers:  # kept: an answer may be lost before a new client is known everywhere
            self.callers[service] = self.create_client(kind, f'{self.segment}/{service}')
        self.wait_for(self.callers[service].service_is_ready, service)
        future = self.callers[service].call_async(request)
        self.wait_for(future.done, f'answer of {service}', seconds)
        return future.result()

    def set(self, **values):
        """Set parameters of the segmenter; return the reason why they are refused, or ''."""
        parameters = [Parameter(name, value=value).to_parameter_msg() for name, value in values.items()]
        request = SetParametersAtomically.Request(parameters=parameters)
        result = self.call(SetParametersAtomically, 'set_parameters_atomically', request).result
        assert result.successful == (not result.reason)
        return result.reason

    def change(self, transition):
        """Ask for a transition of the lifecycle; return whether it was made."""
        request = ChangeState.Request(transition=Transition(id=transition))
        return self.call(ChangeState, 'change_state', request).success

    def told(self, level, text=''):
        """Return whether the newest diagnostic of the segmenter has this level and text."""
        status = self.values()[0]
        return status is not None and status.level == level and text in status.message

    def values(self):
        """Return the newest diagnostic of the segmenter and its values."""
        own = [status for array in self.diagnostics for status in array.status
               if status.name == f'{self.segment}: points']
        if not own:
            return None, {}
        status = own[-1]
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


def expected(points, checkpoint, scale=255.0, **options):
    scan = clouds.scan_from_records(points, STAMP, 'velodyne', scale)
    return Predictor.load(checkpoint, 'cpu', **options).predict(scan)
