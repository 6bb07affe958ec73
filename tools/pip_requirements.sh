#!/usr/bin/env bash
# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
# pip_requirements.sh PYTHON [INDEX]: install requirements.txt; torch from INDEX first, where one is given.
set -eu
# Byte-compiling everything would take longer than installing it; Python compiles what is imported.
[ -z "${2:-}" ] || "$1" -m pip install --no-compile --index-url "$2" "$(grep '^torch==' requirements.txt)"
"$1" -m pip install --no-compile -r requirements.txt
