# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Parameters and parameter files of a node."""

from pathlib import Path
from typing import Any, get_args, get_origin

import yaml
from launch.base import SomeSubstitutionsType as Text, SomeSubstitutionsType_types_tuple, Substitution
from launch.utilities import ensure_argument_type, normalize_to_list_of_substitutions, perform_substitutions

_SCALARS = (bool, int, float, str)


def _evaluate(context, value: Any, value_type: Any) -> Any:
    """Perform substitutions and read their text as the type, or (None) by YAML's rules; TypeError or ValueError where
    the result is not of the type."""
    is_list, scalar = get_origin(value_type) is list, (get_args(value_type) or [value_type])[0]
    parts = list(value) if isinstance(value, (list, tuple)) else [value]
    if any(isinstance(part, Substitution) for part in parts):
        text = perform_substitutions(context, normalize_to_list_of_substitutions(value))
        value = scalar(text) if scalar in (str, int, float) and not is_list else yaml.safe_load(text)
    elif isinstance(value, (list, tuple)):
        value = [part if isinstance(part, _SCALARS) else _evaluate(context, part, scalar) for part in parts]
    if isinstance(value, list) and (scalar is float or any(type(x) is float for x in value)):
        value = [float(x) if type(x) is int else x for x in value]
    wrong = [x for x in (value if isinstance(value, list) else [value]) if scalar and not isinstance(x, scalar)]
    if wrong or (value_type and isinstance(value, list) != is_list):
        raise TypeError(f"the parameter value '{value}' is of {type(value)}, not {value_type}")
    return value


class ParameterValue:
    """A value, coerced to value_type (int, float, bool, str or a List of one; None for YAML's rules)."""

    def __init__(self, value: Any, *, value_type: Any = None) -> None:
        self.value, self.value_type = value, value_type

    def evaluate(self, context) -> Any:
        return _evaluate(context, self.value, self.value_type)


class Parameter(ParameterValue):
    """A parameter's name and value."""

    def __init__(self, name: Text, value: Any, *, value_type: Any = None) -> None:
        ensure_argument_type(name, SomeSubstitutionsType_types_tuple, 'name')
        super().__init__(value, value_type=value_type)
        self.name = normalize_to_list_of_substitutions(name)

    def evaluate(self, context) -> tuple[str, Any]:
        return perform_substitutions(context, self.name), super().evaluate(context)


class ParameterFile:
    """A parameter file."""

    def __init__(self, param_file: Text) -> None:
        ensure_argument_type(param_file, SomeSubstitutionsType_types_tuple, 'param_file', 'ParameterFile()')
        self.param_file = normalize_to_list_of_substitutions(param_file)

    def evaluate(self, context) -> Path:
        return Path(perform_substitutions(context, self.param_file))
