#!/usr/bin/env bash
# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
# pip_extra.sh PYTHON: install each line of requirements-extra.txt that there is a wheel for; tests skip what is missing.
set -eu
grep -v '^#' requirements-extra.txt | while read -r line; do
  "$1" -m pip install --no-compile --only-binary :all: "$line" || echo "WARNING: not installed: $line"
done
