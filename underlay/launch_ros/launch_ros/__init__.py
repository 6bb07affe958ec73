# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Stand-in for the part of ROS 2 launch_ros that Python launch files use, where no ROS distribution is installed."""

from . import actions, substitutions, utilities  # noqa: F401
from launch._module_aliases import alias_modules

alias_modules('launch_ros.actions', 'launch_ros.actions', 'push_ros_namespace')
alias_modules('launch_ros.substitutions', 'launch_ros.substitutions', 'find_package')
alias_modules('launch_ros', 'launch_ros.utilities', 'parameter_descriptions', 'descriptions')
