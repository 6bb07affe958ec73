# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Actions on launch arguments, launch configurations and the environment, and their scopes."""

from collections.abc import Iterable
from typing import Optional

from .. import logging
from ..base import Action, LaunchDescriptionEntity, normalize_to_list_of_substitutions, perform_substitutions, Text


class DeclareLaunchArgument(Action):
    """An argument of the launch file; without default_value it must be given, and be one of the choices if any."""

    def __init__(self, name: str, *, default_value: Optional[Text] = None, description: Optional[str] = None,
                 choices: Optional[list[str]] = None, **kwargs) -> None:
        super().__init__(**kwargs)
        self.name, self.choices = name, choices
        self._conditionally_included = False
        self.default_value = None if default_value is None else normalize_to_list_of_substitutions(default_value)
        self.description = 'no description given' if description is None else description
        if choices is not None:
            if not choices:
                self._fail('Provided choices arg is empty. Use None to ignore the choice list.')
            if isinstance(default_value, str) and default_value not in choices:
                self._fail(f'Provided default_value "{default_value}" is not in provided choices "{choices}".')
            self.description = f'One of: {choices}' if description is None else \
                f"{description}{'' if description.endswith('.') else '.'} Valid choices are: {choices}"

    def _fail(self, message: str) -> None:
        logging.get_logger(__name__).error(message)
        raise RuntimeError(message)

    def execute(self, context) -> None:
        if self.name not in context.launch_configurations:
            if self.default_value is None:
                self._fail(f'Required launch argument "{self.name}" was not provided.')
            context.launch_configurations[self.name] = perform_substitutions(context, self.default_value)
        value = context.launch_configurations[self.name]
        if self.choices is not None and value not in self.choices:
            self._fail(f'Argument "{self.name}" provided value "{value}" is not valid. '
                       f'Valid options are: {self.choices}')


class UnsetEnvironmentVariable(Action):
    """Removes an environment variable, if set."""

    def __init__(self, name: Text, **kwargs) -> None:
        super().__init__(**kwargs)
        self.name = normalize_to_list_of_substitutions(name)

    def execute(self, context) -> None:
        context.environment.pop(perform_substitutions(context, self.name), None)


class SetEnvironmentVariable(Action):
    """Sets an environment variable."""

    def __init__(self, name: Text, value: Text, **kwargs) -> None:
        super().__init__(**kwargs)
        self.name, self.value = normalize_to_list_of_substitutions(name), normalize_to_list_of_substitutions(value)

    def execute(self, context) -> None:
        context.environment[perform_substitutions(context, self.name)] = perform_substitutions(context, self.value)


class SetLaunchConfiguration(SetEnvironmentVariable):
    """Sets a launch configuration."""

    def execute(self, context) -> None:
        name = perform_substitutions(context, self.name)
        context.launch_configurations[name] = perform_substitutions(context, self.value)


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

    def __init__(self, launch_configurations: Optional[dict[Text, Text]] = None, **kwargs) -> None:
        super().__init__(**kwargs)
        self._kept = [SetLaunchConfiguration(*item) for item in (launch_configurations or {}).items()]

    def execute(self, context) -> None:
        kept = {perform_substitutions(context, item.name): perform_substitutions(context, item.value)
                for item in self._kept}
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


class GroupAction(Action):
    """Actions whose configurations and environment end with the group (scoped) or begin anew (not forwarding)."""

    def __init__(self, actions: Iterable[Action], *, scoped: bool = True, forwarding: bool = True,
                 launch_configurations: Optional[dict[Text, Text]] = None, **left_over_kwargs) -> None:
        super().__init__(**left_over_kwargs)
        begin = [SetLaunchConfiguration(*item) for item in (launch_configurations or {}).items()]
        end: list[Action] = []
        if scoped:
            if not forwarding:
                begin = [ResetEnvironment(), ResetLaunchConfigurations(launch_configurations)]
            begin = [PushLaunchConfigurations(), PushEnvironment(), *begin]
            end = [PopEnvironment(), PopLaunchConfigurations()]
        self._entities = [*begin, *actions, *end]

    def get_sub_entities(self) -> list[LaunchDescriptionEntity]:
        return self._entities

    def execute(self, context) -> list[LaunchDescriptionEntity]:
        return self._entities
