# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""What a launch file can do."""

from .._module_aliases import alias_modules
from .configuration import (  # noqa: F401
    AppendEnvironmentVariable, DeclareLaunchArgument, PopEnvironment, PopLaunchConfigurations, PushEnvironment,
    PushLaunchConfigurations, ResetEnvironment, ResetLaunchConfigurations, SetEnvironmentVariable,
    SetLaunchConfiguration, UnsetEnvironmentVariable, UnsetLaunchConfiguration)
from .flow import (  # noqa: F401
    EmitEvent, GroupAction, IncludeLaunchDescription, LogInfo, OpaqueFunction, RegisterEventHandler, Shutdown,
    TimerAction)
from .processes import ExecuteLocal, ExecuteProcess  # noqa: F401

alias_modules(__name__, 'shutdown_action')
