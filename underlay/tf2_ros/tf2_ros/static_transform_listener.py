# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Where ROS 2's tf2_ros has this class."""
from tf2_ros.transform_listener import StaticTransformListener  # noqa: F401
