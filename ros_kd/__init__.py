# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""Camera-to-LiDAR knowledge distillation with ROS 2: from a drive to a labelled cloud."""

__version__ = '0.1.0'
