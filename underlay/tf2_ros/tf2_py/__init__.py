# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Transform tree and its exceptions, with the interface of ROS 2's tf2_py."""
from tf2_py._tf2_py import (
    BufferCore, ConnectivityException, ExtrapolationException, InvalidArgumentException, LookupException,
    TimeoutException, TransformException)

__all__ = [
    'BufferCore', 'ConnectivityException', 'ExtrapolationException', 'InvalidArgumentException', 'LookupException',
    'TimeoutException', 'TransformException']
