# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Images between ROS messages and OpenCV, with the interface of ROS 2's cv_bridge (Python)."""
from cv_bridge.core import CvBridge, CvBridgeError  # noqa: F401
