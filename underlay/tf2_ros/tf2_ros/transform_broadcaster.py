# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Publishes moving transforms on /tf."""
from typing import Iterable, Optional, Union

from geometry_msgs.msg import TransformStamped
from rclpy.node import Node
from rclpy.qos import QoSProfile
from tf2_msgs.msg import TFMessage


class TransformBroadcaster:
    """Publishes on /tf, depth 100 unless qos says otherwise."""

    def __init__(self, node: Node, qos: Optional[Union[QoSProfile, int]] = None) -> None:
        self.pub_tf = node.create_publisher(TFMessage, '/tf', QoSProfile(depth=100) if qos is None else qos)

    def sendTransform(self, transform: Union[TransformStamped, Iterable[TransformStamped]]) -> None:
        """Publish one transform, or several in one message."""
        transforms = list(transform) if hasattr(transform, '__iter__') else [transform]
        self.pub_tf.publish(TFMessage(transforms=transforms))
