# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""The time by which a node waits."""

from __future__ import annotations

import time

from rclpy.node import Node


def seconds(node: Node) -> float:
    """Return simulated time where the node follows it, for a slow simulation is not a silent one; else steady time."""
    clock = node.get_clock()
    return clock.now().nanoseconds * 1e-9 if clock.ros_time_is_active else time.monotonic()
