# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Thin ROS nodes around the ROS-free core; the only room that imports rclpy and messages."""
