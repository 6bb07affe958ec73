# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Bags that `ros2 bag record` or ROS 1 made, paired when they are opened.

`inputs.py` finds the topics, `headers.py` and `contents.py` read what pairing needs, `motion.py` asks TF, `pairs.py`
pairs, `report.py` says what was left out, and `bag.py` gives the frames.
"""
