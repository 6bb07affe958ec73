# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Text that launch files compose, and conditions on it, known when the launch runs (also `launch.conditions`)."""

import importlib
import math
import os
from collections.abc import Iterable
from typing import Any, Optional, Union

from .base import Condition, describe_substitutions, normalize_to_list_of_substitutions, perform_substitutions
from .base import Substitution, Text, TextSubstitution  # noqa: F401


class SubstitutionFailure(Exception):
    """A substitution could not be performed."""


class LaunchConfiguration(Substitution):
    """The value of a launch configuration, e.g. of a declared launch argument."""

    def __init__(self, variable_name: Text, *, default: Optional[Any] = None) -> None:
        self.variable_name = normalize_to_list_of_substitutions(variable_name)
        if default is not None:
            items = default if isinstance(default, Iterable) and not isinstance(default, str) else [default]
            default = normalize_to_list_of_substitutions(
                [item if isinstance(item, (str, Substitution)) else str(item) for item in items])
        self.default = default

    def describe(self) -> str:
        return f'LaunchConfig({describe_substitutions(self.variable_name)})'

    def perform(self, context) -> str:
        name = perform_substitutions(context, self.variable_name)
        if name in context.launch_configurations:
            return context.launch_configurations[name]
        if self.default is None:
            raise SubstitutionFailure(f"launch configuration '{name}' does not exist")
        return perform_substitutions(context, self.default)


class EnvironmentVariable(Substitution):
    """The value of an environment variable."""

    def __init__(self, name: Text, *, default_value: Optional[Text] = None) -> None:
        self.name = normalize_to_list_of_substitutions(name)
        self.default_value = None if default_value is None else normalize_to_list_of_substitutions(default_value)

    def describe(self) -> str:
        return f'EnvVar({describe_substitutions(self.name)})'

    def perform(self, context) -> str:
        name = perform_substitutions(context, self.name)
        if name in context.environment:
            return context.environment[name]
        if self.default_value is None:
            raise SubstitutionFailure(f"environment variable '{name}' does not exist")
        return perform_substitutions(context, self.default_value)


class PathJoinSubstitution(Substitution):
    """Path components joined; a component may be a list of parts, which are concatenated."""

    def __init__(self, substitutions: Iterable[Text]) -> None:
        self.substitutions = [normalize_to_list_of_substitutions(component) for component in substitutions]

    def describe(self) -> str:
        return f"LocalVar('{' + '.join(map(describe_substitutions, self.substitutions))}')"

    def perform(self, context) -> str:
        return os.path.join(*[perform_substitutions(context, component) for component in self.substitutions])


class PythonExpression(Substitution):
    """The value of a Python expression over the modules named."""

    def __init__(self, expression: Text, python_modules: Text = ('math',)) -> None:
        self.expression = normalize_to_list_of_substitutions(expression)
        self.python_modules = normalize_to_list_of_substitutions(python_modules)

    def describe(self) -> str:
        modules = ', '.join(sub.describe() for sub in self.python_modules)
        return f'PythonExpr({describe_substitutions(self.expression)}, [{modules}])'

    def perform(self, context) -> str:
        names: dict[str, Any] = {}
        for sub in self.python_modules:
            module = importlib.import_module(context.perform_substitution(sub))
            names.update({**(vars(math) if module is math else {}), module.__name__: module})
        return str(eval(perform_substitutions(context, self.expression), {}, names))


class ThisLaunchFileDir(Substitution):
    """The directory of the launch file being run."""

    _local = 'current_launch_file_directory'

    def describe(self) -> str:
        return f'{type(self).__name__}()'

    def perform(self, context) -> str:
        if self._local not in context.get_locals_as_dict():
            raise SubstitutionFailure(f'{type(self).__name__} used outside of a launch file (in a script)')
        return context.get_locals_as_dict()[self._local]


class ThisLaunchFile(ThisLaunchFileDir):
    """The path of the launch file being run."""

    _local = 'current_launch_file_path'


_TRUTHS = {'true': True, '1': True, 'false': False, '0': False}


class InvalidConditionExpressionError(ValueError):
    """An expression is neither true nor false."""


def is_true(text: str) -> bool:
    """Return the truth of true, 1, false or 0 in any case; InvalidConditionExpressionError for anything else."""
    if text.strip().lower() not in _TRUTHS:
        raise InvalidConditionExpressionError(
            f"invalid condition expression, expected one of [{', '.join(_TRUTHS)}] but got '{text}'")
    return _TRUTHS[text.strip().lower()]


def text_of_bool(value: Union[bool, Text]) -> Text:
    return str(value) if isinstance(value, bool) else value


def evaluate_condition_expression(context, expression: list[Substitution]) -> bool:
    return is_true(perform_substitutions(context, expression))


class IfCondition(Condition):
    """Holds where the expression is true."""

    _wanted = True

    def __init__(self, predicate_expression: Text) -> None:
        self.predicate_expression = normalize_to_list_of_substitutions(predicate_expression)
        super().__init__(
            predicate=lambda context: evaluate_condition_expression(context, self.predicate_expression) is self._wanted)

    def describe(self) -> str:
        return f'{type(self).__name__}({describe_substitutions(self.predicate_expression)})'


class UnlessCondition(IfCondition):
    """Holds where the expression is false."""

    _wanted = False
