# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""What a launch file can do."""

from .configuration import (  # noqa: F401
    DeclareLaunchArgument, GroupAction, PopEnvironment, PopLaunchConfigurations, PushEnvironment,
    PushLaunchConfigurations, ResetEnvironment, ResetLaunchConfigurations, SetEnvironmentVariable,
    SetLaunchConfiguration, UnsetEnvironmentVariable)
from .flow import (  # noqa: F401
    EmitEvent, IncludeLaunchDescription, LogInfo, OpaqueFunction, RegisterEventHandler, Shutdown, TimerAction)
from .processes import ExecuteProcess  # noqa: F401
