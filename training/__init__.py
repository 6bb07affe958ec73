# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""Everything that only a training server needs: teachers, methods, metrics, recipes and the command line. No ROS."""
