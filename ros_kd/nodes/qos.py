# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Profiles of subscriptions and publishers."""

from __future__ import annotations

from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy

LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
ALL_LATCHED = QoSProfile(depth=100, durability=DurabilityPolicy.TRANSIENT_LOCAL)  # of topics with many publishers


def sensor_qos(node: Node, topic: str, wanted: str, depth: int) -> QoSProfile:
    """Return the profile for a sensor's topic; 'auto': reliable if every publisher is, so that nothing is lost.

    Where every publisher is latched, the subscription is: a calibration may be published only once.
    """
    ends = [end.qos_profile for end in node.get_publishers_info_by_topic(topic)]
    latched = bool(ends) and all(end.durability == DurabilityPolicy.TRANSIENT_LOCAL for end in ends)
    reliable = (wanted == 'reliable' if wanted != 'auto' else
                all(end.reliability == ReliabilityPolicy.RELIABLE for end in ends))
    return QoSProfile(
        depth=depth, durability=DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE,
        reliability=ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT)


def fits(node: Node, topic: str, qos: QoSProfile) -> bool:
    """Tell whether a subscription with this profile gets the messages of all publishers that there are."""
    ends = [end.qos_profile for end in node.get_publishers_info_by_topic(topic)]
    return not (
        qos.reliability == ReliabilityPolicy.RELIABLE and any(
            end.reliability != ReliabilityPolicy.RELIABLE for end in ends)
        or qos.durability == DurabilityPolicy.TRANSIENT_LOCAL and any(
            end.durability != DurabilityPolicy.TRANSIENT_LOCAL for end in ends))
