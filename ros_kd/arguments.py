# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Arguments of the commands that are no nodes."""

from __future__ import annotations

from typing import Sequence


def without_ros_arguments(args: Sequence[str]) -> list[str]:
    """Drop what `ros2 run` and launch files add: --ros-args up to -- or the end."""
    args = list(args)
    while '--ros-args' in args:
        start = args.index('--ros-args')
        end = args.index('--', start) if '--' in args[start:] else len(args) - 1
        del args[start:end + 1]
    return args
