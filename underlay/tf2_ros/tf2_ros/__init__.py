# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Transforms over time in a ROS graph, with the interface of ROS 2's tf2_ros (Python)."""
from tf2_py import (
    BufferCore, ConnectivityException, ExtrapolationException, InvalidArgumentException, LookupException,
    TimeoutException, TransformException)

from tf2_ros.buffer import Buffer
from tf2_ros.buffer_client import BufferClient
from tf2_ros.buffer_interface import (
    BufferInterface, convert, ConvertRegistration, NotImplementedException, Stamped, TransformRegistration,
    TypeException)
from tf2_ros.static_transform_broadcaster import StaticTransformBroadcaster
from tf2_ros.static_transform_listener import StaticTransformListener
from tf2_ros.transform_broadcaster import TransformBroadcaster
from tf2_ros.transform_listener import TransformListener

__all__ = [
    'Buffer', 'BufferClient', 'BufferCore', 'BufferInterface', 'ConnectivityException', 'ConvertRegistration',
    'ExtrapolationException', 'InvalidArgumentException', 'LookupException', 'NotImplementedException', 'Stamped',
    'StaticTransformBroadcaster', 'StaticTransformListener', 'TimeoutException', 'TransformBroadcaster',
    'TransformException', 'TransformListener', 'TransformRegistration', 'TypeException', 'convert']
