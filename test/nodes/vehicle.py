# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""A vehicle of one camera and a LiDAR in the test's own process, and calls of a node's services."""

import time

import numpy as np
import pytest
import rclpy
from geometry_msgs.msg import TransformStamped
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


class Vehicle:
    """A best-effort vehicle with a raw camera under an unusual name, static transforms and no odometry."""

    def __init__(self, domain, camera='cam0'):
        self.context = rclpy.Context()
        rclpy.init(context=self.context, domain_id=domain)
        self.node = rclpy.create_node('vehicle', context=self.context)
        lossy = QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)
        self.points = self.node.create_publisher(PointCloud2, 'velodyne_points', lossy)
        self.image = self.node.create_publisher(Image, f'{camera}/image_color', lossy)
        self.info = self.node.create_publisher(CameraInfo, f'{camera}/camera_info', lossy)
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        static = self.node.create_publisher(TFMessage, '/tf_static', latched)
        transform = TransformStamped(child_frame_id='velodyne')
        transform.header.frame_id = 'optical'
        transform.transform.translation.z = 2.0
        static.publish(TFMessage(transforms=[transform]))

    def send_scan(self, stamp):
        scan = Scan(stamp, np.ones((5, 3), np.float32))
        self.points.publish(messages.cloud_message(clouds.records_from_scan(scan), messages.header(stamp, 'velodyne')))

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
        client = self.node.create_client(Trigger, service)
        assert client.wait_for_service(20.0), service
        executor = SingleThreadedExecutor(context=self.context)
        future = client.call_async(Trigger.Request())
        executor.add_node(self.node)
        executor.spin_until_future_complete(future, 20.0)
        executor.remove_node(self.node)
        return future.result()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.node.destroy_node()
        rclpy.shutdown(context=self.context)


def wait_until(condition, what):
    for _ in range(400):
        if condition():
            return
        time.sleep(0.05)
    pytest.fail(f'waited 20 s for {what}')
