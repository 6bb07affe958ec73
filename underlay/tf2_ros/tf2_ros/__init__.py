# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Transforms over time in a ROS graph, with the interface of ROS 2's tf2_ros (Python)."""
from tf2_py import (  # noqa: F401
    BufferCore, ConnectivityException, ExtrapolationException, InvalidArgumentException, LookupException,
    TimeoutException, TransformException)

from tf2_ros.buffer import Buffer  # noqa: F401
from tf2_ros.transform_broadcaster import StaticTransformBroadcaster, TransformBroadcaster  # noqa: F401
from tf2_ros.transform_listener import StaticTransformListener, TransformListener  # noqa: F401
