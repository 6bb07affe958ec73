# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""What happens during a launch."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .. import base
from .._module_aliases import alias_modules


@dataclass(eq=False)
class IncludeLaunchDescription(base.Event):
    """A launch description shall be visited."""

    launch_description: base.LaunchDescriptionEntity


class Shutdown(base.Event):
    """The launched system shall stop."""

    def __init__(self, *, reason: str = 'reason not given', due_to_sigint: bool = False) -> None:
        self.reason, self.due_to_sigint = reason, due_to_sigint


class TimerEvent(base.Event):
    """A TimerAction's time has passed."""

    def __init__(self, *, timer_action: base.Action) -> None:
        self.timer_action = timer_action


def matches_action(target_action: base.Action) -> Callable[[Any], bool]:
    """Return a matcher of that very action."""
    return lambda action: action is target_action


alias_modules(__name__, 'matchers')

from . import process  # noqa: E402,F401 (it imports the names above)
