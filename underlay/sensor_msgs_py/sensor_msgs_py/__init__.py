# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Conversions of sensor_msgs, with the interface of ROS 2's sensor_msgs_py."""
