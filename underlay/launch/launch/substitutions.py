# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Text that launch files compose and that is known when the launch runs."""

import importlib
import math
import os
import shutil
from collections.abc import Callable, Iterable
from typing import Any, Optional

from ._module_aliases import alias_modules
from .base import SomeSubstitutionsType, Substitution
from .utilities import ensure_argument_type, normalize_to_list_of_substitutions, perform_substitutions
from .utilities.type_utils import is_substitution, perform_typed_substitution


class SubstitutionFailure(Exception):
    """A substitution could not be performed."""


def _describe(substitutions: Iterable[Substitution]) -> str:
    return ' + '.join(sub.describe() for sub in substitutions)


def _perform_bool(context, value: list[Substitution]) -> bool:
    try:
        text = perform_substitutions(context, value)
        return {'1': True, '0': False}[text] if text in ('0', '1') else perform_typed_substitution(
            context, value, bool)
    except (TypeError, ValueError) as error:
        raise SubstitutionFailure(error) from error


class TextSubstitution(Substitution):
    """Text that stays as it is."""

    def __init__(self, *, text: str) -> None:
        ensure_argument_type(text, str, 'text', 'TextSubstitution')
        self.text = text

    def describe(self) -> str:
        return f"'{self.text}'"

    def perform(self, context) -> str:
        return self.text


class LaunchConfiguration(Substitution):
    """The value of a launch configuration, e.g. of a declared launch argument."""

    def __init__(self, variable_name: SomeSubstitutionsType, *, default: Optional[Any] = None) -> None:
        self.variable_name = normalize_to_list_of_substitutions(variable_name)
        if default is not None:
            items = default if isinstance(default, Iterable) and not isinstance(default, str) else [default]
            default = normalize_to_list_of_substitutions(
                [item if isinstance(item, (str, Substitution)) else str(item) for item in items])
        self.default = default

    def describe(self) -> str:
        return f'LaunchConfig({_describe(self.variable_name)})'

    def perform(self, context) -> str:
        name = perform_substitutions(context, self.variable_name)
        if name in context.launch_configurations:
            return context.launch_configurations[name]
        if self.default is None:
            raise SubstitutionFailure(f"launch configuration '{name}' does not exist")
        return perform_substitutions(context, self.default)


class EnvironmentVariable(Substitution):
    """The value of an environment variable."""

    def __init__(self, name: SomeSubstitutionsType, *, default_value: Optional[SomeSubstitutionsType] = None) -> None:
        self.name = normalize_to_list_of_substitutions(name)
        self.default_value = None if default_value is None else normalize_to_list_of_substitutions(default_value)

    def describe(self) -> str:
        return f'EnvVar({_describe(self.name)})'

    def perform(self, context) -> str:
        name = perform_substitutions(context, self.name)
        if name in context.environment:
            return context.environment[name]
        if self.default_value is None:
            raise SubstitutionFailure(f"environment variable '{name}' does not exist")
        return perform_substitutions(context, self.default_value)


class PathJoinSubstitution(Substitution):
    """Path components joined; a component may be a list of parts, which are concatenated."""

    def __init__(self, substitutions: Iterable[SomeSubstitutionsType]) -> None:
        self.substitutions = [normalize_to_list_of_substitutions(component) for component in substitutions]

    def describe(self) -> str:
        return f"LocalVar('{' + '.join(_describe(component) for component in self.substitutions)}')"

    def perform(self, context) -> str:
        return os.path.join(*[perform_substitutions(context, component) for component in self.substitutions])


class PythonExpression(Substitution):
    """The value of a Python expression over the modules named."""

    def __init__(self, expression: SomeSubstitutionsType, python_modules: SomeSubstitutionsType = ('math',)) -> None:
        self.expression = normalize_to_list_of_substitutions(expression)
        self.python_modules = normalize_to_list_of_substitutions(python_modules)

    def describe(self) -> str:
        modules = ', '.join(sub.describe() for sub in self.python_modules)
        return f'PythonExpr({_describe(self.expression)}, [{modules}])'

    def perform(self, context) -> str:
        names: dict[str, Any] = {}
        for sub in self.python_modules:
            module = importlib.import_module(context.perform_substitution(sub))
            if module is math:
                names.update(vars(math))
            names[module.__name__] = module
        return str(eval(perform_substitutions(context, self.expression), {}, names))


class FindExecutable(Substitution):
    """The path of an executable on PATH."""

    def __init__(self, *, name: SomeSubstitutionsType) -> None:
        self.name = normalize_to_list_of_substitutions(name)

    def describe(self) -> str:
        return f'FindExec({_describe(self.name)})'

    def perform(self, context) -> str:
        name = perform_substitutions(context, self.name)
        path = shutil.which(name)
        if path is None:
            raise SubstitutionFailure(f"executable '{name}' not found on the PATH")
        return path


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


class _Logical(Substitution):
    """A function of truth values, as 'true' or 'false'."""

    _function: Callable[[list[bool]], bool] = all

    def __init__(self, *args: SomeSubstitutionsType) -> None:
        self.args = [normalize_to_list_of_substitutions(arg) for arg in args]

    def describe(self) -> str:
        return f'{type(self).__name__}({" ".join(_describe(arg) for arg in self.args)})'

    def perform(self, context) -> str:
        return str(type(self)._function([_perform_bool(context, arg) for arg in self.args])).lower()


class AllSubstitution(_Logical):
    """'true' if every input is."""


class AnySubstitution(_Logical):
    """'true' if any input is."""

    _function = any


class NotSubstitution(_Logical):
    """'true' if the input is not."""

    _function = staticmethod(lambda values: not values[0])

    def __init__(self, value: SomeSubstitutionsType) -> None:
        super().__init__(value)


class AndSubstitution(AllSubstitution):
    """'true' if both inputs are."""

    def __init__(self, left: SomeSubstitutionsType, right: SomeSubstitutionsType) -> None:
        super().__init__(left, right)


class OrSubstitution(AnySubstitution):
    """'true' if one of the inputs is."""

    def __init__(self, left: SomeSubstitutionsType, right: SomeSubstitutionsType) -> None:
        super().__init__(left, right)


class EqualsSubstitution(Substitution):
    """'true' if the inputs are equal, as truth values or numbers (relative 1e-9) where both are such."""

    def __init__(self, left: Any, right: Any) -> None:
        def text(side: Any) -> list[Substitution]:
            if not is_substitution(side):
                side = '' if side is None else str(side).lower() if isinstance(side, bool) else str(side)
            return normalize_to_list_of_substitutions(side)
        self.left, self.right = text(left), text(right)

    def describe(self) -> str:
        return f'{type(self).__name__}({_describe(self.left)} {_describe(self.right)})'

    def _equal(self, context) -> bool:
        left, right = (perform_substitutions(context, side) for side in (self.left, self.right))
        truths = {'true': True, '1': True, 'false': False, '0': False}
        if left.lower() in truths and right.lower() in truths:
            return truths[left.lower()] == truths[right.lower()]
        try:
            return math.isclose(float(left), float(right))
        except ValueError:
            return left == right

    def perform(self, context) -> str:
        return str(self._equal(context)).lower()


class NotEqualsSubstitution(EqualsSubstitution):
    """'true' if the inputs are not equal."""

    def perform(self, context) -> str:
        return str(not self._equal(context)).lower()


class IfElseSubstitution(Substitution):
    """One of two values, chosen by a condition."""

    def __init__(self, condition: SomeSubstitutionsType, if_value: SomeSubstitutionsType = '',
                 else_value: SomeSubstitutionsType = '') -> None:
        if if_value == else_value == '':
            raise RuntimeError('One of if_value and else_value must be specified')
        self.condition, self.if_value, self.else_value = (
            normalize_to_list_of_substitutions(x) for x in (condition, if_value, else_value))

    def describe(self) -> str:
        return f'IfElseSubstitution({", ".join(map(_describe, (self.condition, self.if_value, self.else_value)))})'

    def perform(self, context) -> str:
        return perform_substitutions(context, self.if_value if _perform_bool(context, self.condition)
                                     else self.else_value)


alias_modules(__name__, 'boolean_substitution')
