# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""The C++ kernels: their sources in src/, the library built from them, and torch operators on top."""
