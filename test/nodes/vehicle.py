# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""A vehicle of one camera and a LiDAR in the test's own process, and calls of a node's services."""

import time

import numpy as np
import pytest
import rclpy
from geometry_msgs.msg import TransformStamped
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from std_srvs.srv import Trigger
from tf2_msgs.msg import TFMessage

from ros_kd import clouds
from ros_kd.cameras import Camera
from ros_kd.frames import Scan
from ros_kd.nodes import messages

CAMERA = Camera(48, 32, [[40, 0, 24], [0, 40, 16], [0, 0, 1]])
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
RELIABLE, LOSSY = (QoSProfile(depth=5, reliability=reliability) for reliability in (
    ReliabilityPolicy.RELIABLE, ReliabilityPolicy.BEST_EFFORT))


class Vehicle:
    """A best-effort vehicle with a raw camera under an unusual name, static transforms and no odometry."""

    def __init__(self, domain, camera='cam0'):
        self.context = rclpy.Context()
        rclpy.init(context=self.context, domain_id=domain)
        self.node = rclpy.create_node('vehicle', context=self.context)
        self.points = self.node.create_publisher(PointCloud2, 'velodyne_points', LOSSY)
        self.image = self.node.create_publisher(Image, f'{camera}/image_color', LOSSY)
        self.info = self.node.create_publisher(CameraInfo, f'{camera}/camera_info', LOSSY)
        self.static = self.node.create_publisher(TFMessage, '/tf_static', LATCHED)
        self.moving = None
        self.send_static('optical', 'velodyne', 2.0)

    def send_static(self, parent, child, z):
        """Say on /tf_static that the child is z metres along the parent's axis."""
        self.static.publish(TFMessage(transforms=[transform(parent, child, 0, z)]))

    def send_moving(self, parent, child, stamp, z):
        """The same on /tf, at a stamp."""
        self.moving = self.moving or self.node.create_publisher(TFMessage, '/tf', 100)
        self.moving.publish(TFMessage(transforms=[transform(parent, child, stamp, z)]))

    def send_scan(self, stamp, frame='velodyne'):
        scan = Scan(stamp, np.ones((5, 3), np.float32))
        self.points.publish(messages.cloud_message(clouds.records_from_scan(scan), messages.header(stamp, frame)))

    def replace(self, name, qos):
        """Have the publisher called `name` end and come back with another profile."""
        old = getattr(self, name)
        kind, topic = old.msg_type, old.topic_name
        self.node.destroy_publisher(old)
        setattr(self, name, self.node.create_publisher(kind, topic, qos))

    def send_image(self, stamp, camera=CAMERA):
        head = messages.header(stamp, 'optical')
        self.info.publish(messages.camera_info_message(camera, head))
        self.image.publish(messages.image_message(np.full((32, 48, 3), 90, np.uint8), head))

    def send(self, stamp, camera=CAMERA):
        self.send_scan(stamp)
        self.send_image(stamp + 1_000_000, camera)

    def drive(self, begin, count, step=100_000_000, pause=0.05):
        """Send `count` scans and images, `step` ns apart by their stamps and `pause` s by the clock."""
        for number in range(count):
            self.send(begin + number * step)
            time.sleep(pause)
        time.sleep(0.8)  # a lull, in which the last pair is released
        return begin + count * step

    def connect(self):
        """Wait for a node that listens to all."""
        wait_until(lambda: all(output.get_subscription_count() for output in (self.points, self.image, self.info)),
                   'a listener')
        time.sleep(0.5)
        return self

    def call(self, service):
        """Call a std_srvs/Trigger service; returns the response."""
        return self.ask(Trigger, service, Trigger.Request())

    def change(self, transition, patience=20.0):
        """Ask the recorder for a transition of its lifecycle; returns whether it succeeded, None without an answer."""
        request = ChangeState.Request(transition=Transition(id=getattr(Transition, f'TRANSITION_{transition}')))
        response = self.ask(ChangeState, 'record/change_state', request, patience)
        return response and response.success

    def ask(self, kind, service, request, patience=20.0):
        """Call a service; returns the response, None without one."""
        client = self.node.create_client(kind, service)
        assert client.wait_for_service(20.0), service
        executor = SingleThreadedExecutor(context=self.context)
        future = client.call_async(request)
        executor.add_node(self.node)
        executor.spin_until_future_complete(future, patience)
        executor.remove_node(self.node)
        self.node.destroy_client(client)
        return future.result() if future.done() else None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.node.destroy_node()
        rclpy.shutdown(context=self.context)


def transform(parent, child, stamp, z):
    value = TransformStamped(child_frame_id=child, header=messages.header(stamp, parent))
    value.transform.translation.z = z
    return value


def wait_until(condition, what):
    for _ in range(400):
        if condition():
            return
        time.sleep(0.05)
    pytest.fail(f'waited 20 s for {what}')
