# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Actions on launch arguments, launch configurations and the environment."""

import os
from typing import Optional, Union

from .. import logging
from ..base import Action, SomeSubstitutionsType, Substitution
from ..utilities import normalize_to_list_of_substitutions, perform_substitutions
from ..utilities.type_utils import normalize_typed_substitution, perform_typed_substitution


class DeclareLaunchArgument(Action):
    """An argument of the launch file; without default_value it must be given, and be one of the choices if any."""

    def __init__(self, name: str, *, default_value: Optional[SomeSubstitutionsType] = None,
                 description: Optional[str] = None, choices: Optional[list[str]] = None, **kwargs) -> None:
        super().__init__(**kwargs)
        self.name, self.choices = name, choices
        self._logger = logging.get_logger(__name__)
        self._conditionally_included = False
        self.default_value = None if default_value is None else normalize_to_list_of_substitutions(default_value)
        if choices is not None:
            if not choices:
                self._fail('Provided choices arg is empty. Use None to ignore the choice list.')
            is_fixed = default_value is not None and not isinstance(default_value, (Substitution, list))
            if is_fixed and default_value not in choices:
                self._fail(f'Provided default_value "{default_value}" is not in provided choices "{choices}".')
        if description is None:
            self.description = 'no description given' if choices is None else f'One of: {choices}'
        else:
            self.description = description if choices is None else (
                f"{description}{'' if description.endswith('.') else '.'} Valid choices are: {choices}")

    def _fail(self, message: str, logged: Optional[str] = None) -> None:
        self._logger.error(message if logged is None else logged)
        raise RuntimeError(message)

    def execute(self, context) -> None:
        if self.name not in context.launch_configurations:
            if self.default_value is None:
                self._fail(f'Required launch argument "{self.name}" was not provided.',
                           f'Required launch argument "{self.name}" (description: "{self.description}") '
                           'was not provided')
            context.launch_configurations[self.name] = perform_substitutions(context, self.default_value)
        value = context.launch_configurations[self.name]
        if self.choices is not None and value not in self.choices:
            self._fail(f'Argument "{self.name}" provided value "{value}" is not valid. '
                       f'Valid options are: {self.choices}')


class _NamedAction(Action):
    """An action on the launch configuration or environment variable of that name."""

    def __init__(self, name: SomeSubstitutionsType, **kwargs) -> None:
        super().__init__(**kwargs)
        self.name = normalize_to_list_of_substitutions(name)


class _NamedValueAction(_NamedAction):
    """An action that gives a value to that name."""

    def __init__(self, name: SomeSubstitutionsType, value: SomeSubstitutionsType, **kwargs) -> None:
        super().__init__(name, **kwargs)
        self.value = normalize_to_list_of_substitutions(value)


class SetLaunchConfiguration(_NamedValueAction):
    """Sets a launch configuration."""

    def execute(self, context) -> None:
        name = perform_substitutions(context, self.name)
        context.launch_configurations[name] = perform_substitutions(context, self.value)


class UnsetLaunchConfiguration(_NamedAction):
    """Removes a launch configuration, if set."""

    def execute(self, context) -> None:
        context.launch_configurations.pop(perform_substitutions(context, self.name), None)


class SetEnvironmentVariable(_NamedValueAction):
    """Sets an environment variable."""

    def execute(self, context) -> None:
        context.environment[perform_substitutions(context, self.name)] = perform_substitutions(context, self.value)


class UnsetEnvironmentVariable(_NamedAction):
    """Removes an environment variable, if set."""

    def execute(self, context) -> None:
        context.environment.pop(perform_substitutions(context, self.name), None)


class AppendEnvironmentVariable(_NamedValueAction):
    """Appends to (or prepends to) an environment variable, or sets it."""

    def __init__(self, name: SomeSubstitutionsType, value: SomeSubstitutionsType,
                 prepend: Union[bool, SomeSubstitutionsType] = False, separator: SomeSubstitutionsType = os.pathsep,
                 **kwargs) -> None:
        super().__init__(name, value, **kwargs)
        self.prepend = normalize_typed_substitution(prepend, bool)
        self.separator = normalize_to_list_of_substitutions(separator)

    def execute(self, context) -> None:
        name, value = perform_substitutions(context, self.name), perform_substitutions(context, self.value)
        parts = [context.environment[name], value] if name in context.environment else [value]
        if perform_typed_substitution(context, self.prepend, bool):
            parts.reverse()
        context.environment[name] = perform_substitutions(context, self.separator).join(parts)


class PushLaunchConfigurations(Action):
    """Keeps the launch configurations to come back to."""

    def execute(self, context) -> None:
        context._push_launch_configurations()


class PopLaunchConfigurations(Action):
    """Returns to the launch configurations kept last."""

    def execute(self, context) -> None:
        context._pop_launch_configurations()


class ResetLaunchConfigurations(Action):
    """Removes all launch configurations but those given, which are evaluated before."""

    def __init__(self, launch_configurations: Optional[dict[SomeSubstitutionsType, SomeSubstitutionsType]] = None,
                 **kwargs) -> None:
        super().__init__(**kwargs)
        self._kept = [(normalize_to_list_of_substitutions(name), normalize_to_list_of_substitutions(value))
                      for name, value in (launch_configurations or {}).items()]

    def execute(self, context) -> None:
        kept = {perform_substitutions(context, name): perform_substitutions(context, value)
                for name, value in self._kept}
        context.launch_configurations.clear()
        context.launch_configurations.update(kept)


class PushEnvironment(Action):
    """Keeps the environment to come back to."""

    def execute(self, context) -> None:
        context._push_environment()


class PopEnvironment(Action):
    """Returns to the environment kept last."""

    def execute(self, context) -> None:
        context._pop_environment()


class ResetEnvironment(Action):
    """Returns to the environment that the launch started with."""

    def execute(self, context) -> None:
        context._reset_environment()
