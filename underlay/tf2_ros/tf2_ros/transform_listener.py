# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Fills a buffer from /tf and /tf_static."""
from threading import Thread
from typing import Optional, Union

from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from tf2_msgs.msg import TFMessage

from tf2_ros.buffer import Buffer

DEFAULT_TF_TOPIC = '/tf'
DEFAULT_STATIC_TF_TOPIC = '/tf_static'
AUTHORITY = 'default_authority'


class TransformListener:
    """Subscribes for as long as its node lives; spin_thread spins the node in a thread, until rclpy shuts down."""

    def __init__(self, buffer: Buffer, node: Node, *, spin_thread: bool = False,
                 qos: Optional[Union[QoSProfile, int]] = None,
                 static_qos: Optional[Union[QoSProfile, int]] = None,
                 tf_topic: str = DEFAULT_TF_TOPIC, tf_static_topic: str = DEFAULT_STATIC_TF_TOPIC,
                 static_only: bool = False) -> None:
        self.buffer = buffer
        self.node = node
        # In the node's default group a callback that waits for a transform would keep it from arriving.
        self.group = ReentrantCallbackGroup()
        if not static_only:
            self.tf_sub = node.create_subscription(
                TFMessage, tf_topic, self.callback, QoSProfile(depth=100) if qos is None else qos,
                callback_group=self.group)
        if static_qos is None:
            static_qos = QoSProfile(depth=100, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self.tf_static_sub = node.create_subscription(
            TFMessage, tf_static_topic, self.static_callback, static_qos, callback_group=self.group)
        if spin_thread:
            self.executor = SingleThreadedExecutor(context=node.context)
            self.executor.add_node(node)
            self.dedicated_listener_thread = Thread(target=_spin, args=(self.executor,))
            self.dedicated_listener_thread.start()

    def __del__(self) -> None:
        thread = getattr(self, 'dedicated_listener_thread', None)
        if thread is not None and thread.is_alive():
            self.executor.shutdown()
            thread.join()
        if hasattr(self, 'tf_static_sub'):
            self.unregister()

    def unregister(self) -> None:
        """End the subscriptions."""
        if hasattr(self, 'tf_sub'):
            self.node.destroy_subscription(self.tf_sub)
        self.node.destroy_subscription(self.tf_static_sub)

    def callback(self, data: TFMessage) -> None:
        for transform in data.transforms:
            self.buffer.set_transform(transform, AUTHORITY)

    def static_callback(self, data: TFMessage) -> None:
        for transform in data.transforms:
            self.buffer.set_transform_static(transform, AUTHORITY)


def _spin(executor: SingleThreadedExecutor) -> None:
    try:
        executor.spin()
    except ExternalShutdownException:
        pass
