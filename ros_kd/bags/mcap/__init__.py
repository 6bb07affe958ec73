# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""mcap files that lose nothing: written by whole chunks, read from their index or, where that is missing, without it.

The format is that of https://mcap.dev/spec, profile ros2, as rosbag2's storage plugin writes it.
"""
