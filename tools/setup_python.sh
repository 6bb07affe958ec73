#!/usr/bin/env bash
# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
# setup_python.sh VENV: create the virtual environment with a Python that the ROS wheels exist for.
set -eu
venv=$1
for python in ${PYTHON:-} python3 python3.12 python3.11 python3.13 python3.10; do
  "$python" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null && break
  python=
done
if [ -z "$python" ]; then
  echo "No Python 3.10 to 3.13 found (python3 is $(python3 --version 2>&1)). Install one, or: make PYTHON=/path/to/python3.12"
  exit 1
fi
if ! "$python" -c 'import venv, ensurepip' 2>/dev/null; then
  echo "$python has no venv module. Install it: sudo apt install python3-venv"
  exit 1
fi
command -v c++ >/dev/null || { echo "No C++ compiler (tf2_msgs is compiled). Install it: sudo apt install build-essential"; exit 1; }
"$python" -c 'import sysconfig, os, sys
header = os.path.join(sysconfig.get_paths()["include"], "Python.h")
sys.exit(None if os.path.exists(header) else f"{header} is missing. Install it: sudo apt install python3-dev")'
"$python" -m venv --clear "$venv"
"$venv/bin/python" -m pip install --upgrade pip 'setuptools<80' wheel
