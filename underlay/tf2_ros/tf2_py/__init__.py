# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Transform tree and its exceptions, with the interface of ROS 2's tf2_py."""
from tf2_py._tf2_py import BufferCore  # noqa: F401
from tf2_py.exceptions import (  # noqa: F401
    ConnectivityException, ExtrapolationException, InvalidArgumentException, LookupException, TimeoutException,
    TransformException)
