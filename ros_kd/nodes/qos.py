# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Profiles of subscriptions and publishers."""

from __future__ import annotations

from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy

LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
ALL_LATCHED = QoSProfile(depth=100, durability=DurabilityPolicy.TRANSIENT_LOCAL)  # of topics with many publishers


def sensor_qos(node: Node, topic: str, wanted: str, depth: int) -> QoSProfile:
    """Return the profile for a sensor's topic; 'auto': reliable if every publisher is, so that nothing is lost."""
    ends = node.get_publishers_info_by_topic(topic)
    reliable = (wanted == 'reliable' if wanted != 'auto' else
                bool(ends) and all(end.qos_profile.reliability == ReliabilityPolicy.RELIABLE for end in ends))
    return QoSProfile(depth=depth, reliability=ReliabilityPolicy.RELIABLE if reliable
                      else ReliabilityPolicy.BEST_EFFORT)
