# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Where upstream keeps its compiled helpers."""
