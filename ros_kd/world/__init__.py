# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""A simulated town, and a vehicle with cameras and a LiDAR that drives through it, with exact labels."""
