# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Fills a buffer from /tf and /tf_static."""
import contextlib
from threading import Thread
from typing import Any, Optional, Union

from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from tf2_msgs.msg import TFMessage

from tf2_ros.buffer import Buffer

QoS = Optional[Union[QoSProfile, int]]


class TransformListener:
    """Subscribes for as long as its node lives; spin_thread spins the node in a thread, until rclpy shuts down."""

    def __init__(self, buffer: Buffer, node: Node, *, spin_thread: bool = False, qos: QoS = None,
                 static_qos: QoS = None, tf_topic: str = '/tf', tf_static_topic: str = '/tf_static',
                 static_only: bool = False) -> None:
        self.buffer, self.node = buffer, node
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
        if hasattr(self, 'dedicated_listener_thread'):
            self.executor.shutdown()
            self.dedicated_listener_thread.join()
        if hasattr(self, 'tf_static_sub'):
            self.unregister()

    def unregister(self) -> None:
        """End the subscriptions."""
        if hasattr(self, 'tf_sub'):
            self.node.destroy_subscription(self.tf_sub)
        self.node.destroy_subscription(self.tf_static_sub)

    def callback(self, data: TFMessage) -> None:
        for transform in data.transforms:
            self.buffer.set_transform(transform, 'default_authority')

    def static_callback(self, data: TFMessage) -> None:
        for transform in data.transforms:
            self.buffer.set_transform_static(transform, 'default_authority')


class StaticTransformListener(TransformListener):
    """Hears static transforms only."""

    def __init__(self, buffer: Buffer, node: Node, **kwargs: Any) -> None:
        super().__init__(buffer, node, static_only=True, **kwargs)


def _spin(executor: SingleThreadedExecutor) -> None:
    with contextlib.suppress(ExternalShutdownException):
        executor.spin()
