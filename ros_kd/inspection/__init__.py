# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Can one train on this bag, and if not, what is to be mended on the vehicle? The command `inspect`; needs no ROS."""
