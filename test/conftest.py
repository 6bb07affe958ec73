# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""What all tests share: the folder of real frames, and traffic that stays on this machine."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'
os.environ.setdefault('OMP_NUM_THREADS', '1')


@pytest.fixture(scope='session')
def real_data() -> Path:
    """The folder of real frames; a test that needs it is skipped without it."""
    folder = os.environ.get('ROS_KD_TEST_DATA')
    if not folder or not Path(folder).is_dir():
        pytest.skip('no real frames: set ROS_KD_TEST_DATA to the folder that holds them')
    return Path(folder)
