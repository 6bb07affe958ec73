# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Conditions under which an action is carried out."""

from typing import Optional

from ._module_aliases import alias_modules
from .base import Condition, SomeSubstitutionsType, Substitution
from .utilities import normalize_to_list_of_substitutions, perform_substitutions

_TRUTHS = {'true': True, '1': True, 'false': False, '0': False}


class InvalidConditionExpressionError(ValueError):
    """An expression is neither true nor false."""

    def __init__(self, expression: str, unexpanded_expression: list[Substitution],
                 valid_expressions: list[str]) -> None:
        super().__init__("invalid condition expression, expected one of [{}] but got '{}', expanded from '{}'".format(
            ', '.join(valid_expressions), expression, ' + '.join(sub.describe() for sub in unexpanded_expression)))


def evaluate_condition_expression(context, expression: list[Substitution]) -> bool:
    """Return the truth of true, 1, false or 0 in any case; InvalidConditionExpressionError for anything else."""
    expanded = perform_substitutions(context, expression).strip().lower()
    if expanded not in _TRUTHS:
        raise InvalidConditionExpressionError(expanded, expression, list(_TRUTHS))
    return _TRUTHS[expanded]


class IfCondition(Condition):
    """Holds where the expression is true."""

    _wanted = True

    def __init__(self, predicate_expression: SomeSubstitutionsType) -> None:
        self.predicate_expression = normalize_to_list_of_substitutions(predicate_expression)
        super().__init__(
            predicate=lambda context: evaluate_condition_expression(context, self.predicate_expression) is self._wanted)

    def describe(self) -> str:
        return f'{type(self).__name__}({" + ".join(sub.describe() for sub in self.predicate_expression)})'


class UnlessCondition(IfCondition):
    """Holds where the expression is false."""

    _wanted = False


class LaunchConfigurationEquals(Condition):
    """Holds where a launch configuration has the value, or (None) is not set."""

    _wanted = True

    def __init__(self, launch_configuration_name: str, expected_value: Optional[SomeSubstitutionsType]) -> None:
        self._name = launch_configuration_name
        self._expected = None if expected_value is None else normalize_to_list_of_substitutions(expected_value)
        super().__init__(predicate=lambda context: self._equal(context) is self._wanted)

    def _equal(self, context) -> bool:
        expected = None if self._expected is None else perform_substitutions(context, self._expected)
        return context.launch_configurations.get(self._name) == expected


class LaunchConfigurationNotEquals(LaunchConfigurationEquals):
    """Holds where a launch configuration has another value or is not set, or (None) is set."""

    _wanted = False


alias_modules(__name__)
