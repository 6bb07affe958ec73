# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""What happens during a launch; the events of processes are known as `launch.events.process` too."""

from typing import Optional

from . import base


class IncludeLaunchDescription(base.Event):
    """A launch description shall be visited."""

    def __init__(self, launch_description: base.LaunchDescriptionEntity) -> None:
        self.launch_description = launch_description


class Shutdown(base.Event):
    """The launched system shall stop."""

    def __init__(self, *, reason: str = 'reason not given', due_to_sigint: bool = False) -> None:
        self.reason, self.due_to_sigint = reason, due_to_sigint


class TimerEvent(base.Event):
    """A TimerAction's time has passed."""

    def __init__(self, *, timer_action: base.Action) -> None:
        self.timer_action = timer_action


class RunningProcessEvent(base.Event):
    """An event of one running process."""

    def __init__(self, *, action: base.Action, name: str, cmd: list[str], cwd: Optional[str],
                 env: Optional[dict[str, str]], pid: int) -> None:
        self.action, self.process_name, self.cmd, self.cwd, self.env, self.pid = action, name, cmd, cwd, env, pid


class ProcessStarted(RunningProcessEvent):
    """The process runs."""


class ProcessExited(RunningProcessEvent):
    """The process ended; returncode is -N after signal N."""

    def __init__(self, *, returncode: int, **kwargs) -> None:
        super().__init__(**kwargs)
        self.returncode = returncode
