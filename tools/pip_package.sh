#!/usr/bin/env bash
# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
# pip_package.sh PYTHON: install this package; its compiled kernels are put into the checkout, too, for what runs from there.
set -euo pipefail
python=$1
"$python" -m pip install --no-deps --no-build-isolation --force-reinstall -v . 2>&1 | grep -v '^ *\(copying\|creating\|running\|adding\)'
rm -rf build ros_kd.egg-info
rm -f ros_kd/sparse/native/*.so
installed=$(cd / && "$python" -c 'import importlib.util, os; print(os.path.dirname(importlib.util.find_spec("ros_kd").origin))')
cp "$installed"/sparse/native/*.so ros_kd/sparse/native/ 2>/dev/null ||
  echo "WARNING: no C++ kernels: sparse convolution will run in torch, several times slower on a CPU. Install g++ and run make again."
