# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""What a launch file can do with ROS nodes."""

from launch._module_aliases import alias_modules

from .node import Node  # noqa: F401
from .scope import PushROSNamespace, PushRosNamespace, SetParameter, SetRemap, SetUseSimTime  # noqa: F401

alias_modules(__name__, 'push_ros_namespace')
