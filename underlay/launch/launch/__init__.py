# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Stand-in for the part of ROS 2 launch that Python launch files use, where no ROS distribution is installed."""

from . import actions, events, logging, substitutions  # noqa: F401
from ._module_aliases import alias_modules
from .base import (  # noqa: F401
    Action, Condition, Event, EventHandler, LaunchContext, LaunchDescriptionEntity, SomeEntitiesType,
    SomeSubstitutionsType, SomeSubstitutionsType_types_tuple, Substitution)
from .launch_description import LaunchDescription, LaunchDescriptionSource  # noqa: F401
from .launch_service import LaunchService  # noqa: F401

alias_modules('launch', 'launch.base', 'utilities', 'some_entities_type', 'some_substitutions_type')
alias_modules('launch', 'launch.launch_description', 'launch_description_sources')
alias_modules('launch', 'launch.substitutions', 'conditions')
alias_modules('launch', 'launch.events', 'event_handlers')
alias_modules('launch.actions', 'launch.actions', 'shutdown_action')
for _package in ('conditions', 'substitutions', 'events', 'event_handlers', 'launch_description_sources'):
    alias_modules(f'launch.{_package}', f'launch.{_package}', 'process')
