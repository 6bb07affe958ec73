# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""A synthetic drive, and raw bags of it."""

import pytest
from raw_drive import Drive, write_bag


@pytest.fixture(scope='module')
def drive():
    return Drive()


@pytest.fixture
def write(tmp_path):
    return lambda messages, kind='mcap': write_bag(tmp_path / 'bag', messages, kind)
