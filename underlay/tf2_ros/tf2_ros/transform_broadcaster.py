# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Publishes transforms on /tf, or on /tf_static if they never change."""
from typing import Dict, Iterable, Optional, Union

from geometry_msgs.msg import TransformStamped
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from tf2_msgs.msg import TFMessage

Transforms = Union[TransformStamped, Iterable[TransformStamped]]


class TransformBroadcaster:
    """Publishes on /tf, depth 100 unless qos says otherwise."""

    def __init__(self, node: Node, qos: Optional[Union[QoSProfile, int]] = None) -> None:
        self.pub_tf = node.create_publisher(TFMessage, '/tf', QoSProfile(depth=100) if qos is None else qos)

    def sendTransform(self, transform: Transforms) -> None:
        """Publish one transform, or several in one message."""
        transforms = list(transform) if hasattr(transform, '__iter__') else [transform]
        self.pub_tf.publish(TFMessage(transforms=transforms))


class StaticTransformBroadcaster:
    """Publishes on /tf_static, latched (transient local, depth 1 unless qos says otherwise)."""

    def __init__(self, node: Node, qos: Optional[Union[QoSProfile, int]] = None) -> None:
        if qos is None:
            qos = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self.pub_tf = node.create_publisher(TFMessage, '/tf_static', qos)
        self._sent: Dict[str, TransformStamped] = {}

    def sendTransform(self, transform: Transforms) -> None:
        """Publish all transforms sent so far with these: a late listener receives the last message only."""
        for sent in transform if hasattr(transform, '__iter__') else [transform]:
            self._sent[sent.child_frame_id] = sent
        self.pub_tf.publish(TFMessage(transforms=list(self._sent.values())))
