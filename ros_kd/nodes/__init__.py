# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Thin ROS nodes around the ROS-free core; the only room that imports rclpy and messages."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

_INSTALL = {
    'torch': 'pip install torch safetensors',
    'safetensors': 'pip install safetensors',
    'rosbags': 'pip install rosbags',
    'cv2': 'pip install opencv-python-headless, or apt install python3-opencv',
    'matplotlib': 'pip install matplotlib, or apt install python3-matplotlib (only inspect needs it)',
    'rerun': 'pip install rerun-sdk==0.39.0 (only the view in a browser needs it)',
    'embreex': 'pip install embreex (only the simulated vehicle needs it)',
}
_ROS = 'source /opt/ros/<distro>/setup.bash, or without a ROS distribution: make setup && source .venv/bin/activate'


def run(name: str) -> None:
    """Run `main` of the node called `name`, or of a module in another room (its full name), and exit with its status.

    A missing library is reported with what installs it.
    """
    try:
        status = import_module(name if '.' in name else f'ros_kd.nodes.{name}').main()
    except ModuleNotFoundError as error:
        if (error.name or '').partition('.')[0] == 'ros_kd':
            raise
        sys.exit(f'ros_kd {Path(sys.argv[0]).stem}: {missing_module(error)}')
    except KeyboardInterrupt:  # while the modules load; from then on nodes end in order
        sys.exit(130)  # as of a shell's job that SIGINT has ended
    sys.exit(status)


def missing_module(error: ModuleNotFoundError) -> str:
    """Return a sentence that names the module and what installs it."""
    module = (error.name or '').partition('.')[0]
    return f'the Python module "{error.name}" is missing. To install it: {_INSTALL.get(module, _ROS)}'
