# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Stand-in for the part of ROS 2 launch that Python launch files use, where no ROS distribution is installed."""

from . import actions, conditions, event_handlers, events, logging, substitutions  # noqa: F401
from ._module_aliases import alias_modules
from .base import (  # noqa: F401
    Action, Condition, Event, EventHandler, LaunchDescriptionEntity, SomeActionsType, SomeEntitiesType,
    SomeSubstitutionsType, SomeSubstitutionsType_types_tuple, Substitution)
from .launch_context import LaunchContext  # noqa: F401
from .launch_description import LaunchDescription, LaunchDescriptionSource  # noqa: F401
from .launch_service import LaunchService  # noqa: F401

for _package in ('actions', 'conditions', 'event_handlers', 'events', 'substitutions'):
    alias_modules(f'{__name__}.{_package}')
alias_modules(__name__, 'some_actions_type', 'some_entities_type', 'some_substitutions_type', to='launch.base')
alias_modules(__name__, 'launch_description_sources', to='launch.launch_description')
alias_modules('launch.actions', 'shutdown_action')
alias_modules('launch.events', 'process')
