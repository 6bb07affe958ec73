# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""What happens to a launched process, and what shall happen to it."""

import signal
from collections.abc import Callable
from typing import Optional, Union

from .. import base
from .._module_aliases import alias_modules


class RunningProcessEvent(base.Event):
    """An event of one running process."""

    def __init__(self, *, action: base.Action, name: str, cmd: list[str], cwd: Optional[str],
                 env: Optional[dict[str, str]], pid: int) -> None:
        self.action, self.process_name, self.pid = action, name, pid
        self.cmd, self.cwd, self.env = cmd, cwd, env


class ProcessStarted(RunningProcessEvent):
    """The process runs."""


class ProcessExited(RunningProcessEvent):
    """The process ended; returncode is -N after signal N."""

    def __init__(self, *, returncode: int, **kwargs) -> None:
        super().__init__(**kwargs)
        self.returncode = returncode


class ShutdownProcess(base.Event):
    """The processes whose action the matcher accepts shall stop."""

    def __init__(self, *, process_matcher: Callable[[base.Action], bool]) -> None:
        self.process_matcher = process_matcher


class SignalProcess(base.Event):
    """The processes whose action the matcher accepts shall get a signal."""

    def __init__(self, *, signal_number: Union[str, int, signal.Signals],
                 process_matcher: Callable[[base.Action], bool]) -> None:
        self.process_matcher = process_matcher
        self.signal = signal.Signals[signal_number] if isinstance(signal_number, str) else signal.Signals(signal_number)
        self.signal_name = self.signal.name


alias_modules(__name__)
