# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Stand-in for ros2 run, where no ROS distribution is installed."""
