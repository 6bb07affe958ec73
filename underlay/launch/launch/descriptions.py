# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""What a process is started with."""

import itertools
import os
import re
import shlex
from collections.abc import Iterable
from typing import Optional

from ._module_aliases import alias_modules
from .base import Action, SomeSubstitutionsType, Substitution
from .substitutions import LaunchConfiguration
from .utilities import normalize_to_list_of_substitutions, perform_substitutions

_counter = itertools.count(1)
_Pairs = Optional[list[tuple[list[Substitution], list[Substitution]]]]


def _normalize_pairs(env: Optional[dict[SomeSubstitutionsType, SomeSubstitutionsType]]) -> _Pairs:
    return None if env is None else [(normalize_to_list_of_substitutions(name), normalize_to_list_of_substitutions(
        value)) for name, value in env.items()]


class Executable:
    """A command with its working directory and environment; the final_* members are set by prepare()."""

    def __init__(self, *, cmd: Iterable[SomeSubstitutionsType], prefix: Optional[SomeSubstitutionsType] = None,
                 name: Optional[SomeSubstitutionsType] = None, cwd: Optional[SomeSubstitutionsType] = None,
                 env: Optional[dict[SomeSubstitutionsType, SomeSubstitutionsType]] = None,
                 additional_env: Optional[dict[SomeSubstitutionsType, SomeSubstitutionsType]] = None,
                 arguments: Optional[Iterable[SomeSubstitutionsType]] = None) -> None:
        self.cmd = [normalize_to_list_of_substitutions(x) for x in (*cmd, *(arguments or ()))]
        self.arguments = arguments
        self.prefix = normalize_to_list_of_substitutions(
            LaunchConfiguration('launch-prefix', default='') if prefix is None else prefix)
        self._is_prefix_filtered = prefix is None
        self.name = None if name is None else normalize_to_list_of_substitutions(name)
        self.cwd = None if cwd is None else normalize_to_list_of_substitutions(cwd)
        self.env, self.additional_env = _normalize_pairs(env), _normalize_pairs(additional_env)
        self.final_cmd: Optional[list[str]] = None
        self.final_cwd: Optional[str] = None
        self.final_env: Optional[dict[str, str]] = None
        self.final_name: Optional[str] = None

    def prepare(self, context, action: Action) -> None:
        """Perform the substitutions."""
        cmd = [perform_substitutions(context, x) for x in self.cmd]
        prefix_filter = context.launch_configurations.get('launch-prefix-filter', '')
        if not self._is_prefix_filtered or re.match(prefix_filter, os.path.basename(cmd[0])):
            cmd = shlex.split(perform_substitutions(context, self.prefix)) + cmd
        self.final_cmd = cmd
        name = os.path.basename(cmd[0]) if self.name is None else perform_substitutions(context, self.name)
        self.final_name = f'{name}-{next(_counter)}'
        self.final_cwd = None if self.cwd is None else perform_substitutions(context, self.cwd)
        self.final_env = dict(context.environment) if self.env is None else {}
        for key, value in (*(self.env or ()), *(self.additional_env or ())):
            self.final_env[perform_substitutions(context, key)] = perform_substitutions(context, value)


alias_modules(__name__)
