# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Conditions under which an action is carried out."""

from .base import Condition, SomeSubstitutionsType, Substitution
from .utilities import describe_substitutions, normalize_to_list_of_substitutions, perform_substitutions

_TRUTHS = {'true': True, '1': True, 'false': False, '0': False}


class InvalidConditionExpressionError(ValueError):
    """An expression is neither true nor false."""


def is_true(text: str) -> bool:
    """Return the truth of true, 1, false or 0 in any case; InvalidConditionExpressionError for anything else."""
    if text.strip().lower() not in _TRUTHS:
        raise InvalidConditionExpressionError(
            f"invalid condition expression, expected one of [{', '.join(_TRUTHS)}] but got '{text}'")
    return _TRUTHS[text.strip().lower()]


def evaluate_condition_expression(context, expression: list[Substitution]) -> bool:
    return is_true(perform_substitutions(context, expression))


class IfCondition(Condition):
    """Holds where the expression is true."""

    _wanted = True

    def __init__(self, predicate_expression: SomeSubstitutionsType) -> None:
        self.predicate_expression = normalize_to_list_of_substitutions(predicate_expression)
        super().__init__(
            predicate=lambda context: evaluate_condition_expression(context, self.predicate_expression) is self._wanted)

    def describe(self) -> str:
        return f'{type(self).__name__}({describe_substitutions(self.predicate_expression)})'


class UnlessCondition(IfCondition):
    """Holds where the expression is false."""

    _wanted = False
