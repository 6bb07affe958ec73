# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Names, parameters and remappings of nodes, checked when described and evaluated when launched."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Optional, Union, get_args, get_origin

import yaml
from launch.base import ensure_argument_type, normalize_to_list_of_substitutions, perform_substitutions
from launch.base import SomeSubstitutionsType_types_tuple, Substitution, Text

_SCALARS = (bool, int, float, str)
_HINT = ('If the parameter is meant to be a string, try wrapping it in '
         'launch_ros.parameter_descriptions.ParameterValue(value, value_type=str)')


def _is_text(value: Any) -> bool:
    """Return whether the value is a substitution or a sequence with one among its parts, which form one text."""
    return isinstance(value, Substitution) or (
        isinstance(value, (list, tuple)) and any(isinstance(part, Substitution) for part in value))


def _evaluate(context, value: Any, value_type: Any = None) -> Any:
    """Perform substitutions and read their text as the type, or (None) by YAML's rules."""
    scalar, is_list = (get_args(value_type) or [value_type])[0], get_origin(value_type) is list
    if _is_text(value):
        text = perform_substitutions(context, normalize_to_list_of_substitutions(value))
        return scalar(text) if scalar in (str, int, float) and not is_list else yaml.safe_load(text or "''")
    if isinstance(value, (list, tuple)):
        value = [_evaluate(context, part, scalar) if isinstance(part, (list, Substitution)) else part for part in value]
        if scalar is float or {type(x) for x in value} == {int, float}:
            return [float(x) if type(x) is int else x for x in value]
    return value


class ParameterValue:
    """A value, coerced to value_type (int, float, bool, str or a List of one; None for YAML's rules)."""

    def __init__(self, value: Any, *, value_type: Any = None) -> None:
        self.value, self.value_type = value, value_type

    def evaluate(self, context) -> Any:
        """Return the value; ValueError or TypeError where it is not of the type."""
        value, scalar = _evaluate(context, self.value, self.value_type), (get_args(self.value_type) or [
            self.value_type])[0]
        if self.value_type is not None and not (
                isinstance(value, list) == (scalar is not self.value_type)
                and all(isinstance(x, scalar) for x in (value if isinstance(value, list) else [value]))):
            raise TypeError(f"the parameter value '{value}' is of {type(value)}, not {self.value_type}")
        return value


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


def prefix_namespace(base_ns: Optional[str], ns: Optional[str]) -> Optional[str]:
    """Return a relative namespace below the base, an absolute one (or the only one given) as it is."""
    if ns is None or base_ns is None:
        combined = base_ns if ns is None else ns
    else:
        combined = ns if not base_ns or ns.startswith('/') else f"{'' if base_ns == '/' else base_ns}/{ns}"
    return combined if combined in (None, '/') else combined.rstrip('/')


def make_namespace_absolute(ns: Optional[str]) -> Optional[str]:
    return ns if ns is None or ns.startswith('/') else '/' + ns


def normalize_remap_rules(remappings: Iterable[tuple[Text, Text]]) -> list[tuple]:
    """Return pairs of lists of substitutions; TypeError unless pairs are given."""
    ensure_argument_type(remappings, (list, tuple), 'remappings')
    for rule in remappings:
        if not isinstance(rule, tuple) or len(rule) != 2:
            raise TypeError(f'remapping rules must be pairs (from, to), got {rule!r}')
    return [tuple(normalize_to_list_of_substitutions(side) for side in rule) for rule in remappings]


def normalize_parameter_dict(parameters: Mapping, _prefix: tuple = ()) -> dict[tuple[Substitution, ...], Any]:
    """Return dotted names and their values; TypeError for what cannot be a parameter."""
    normalized: dict[tuple[Substitution, ...], Any] = {}
    for key, value in parameters.items():
        ensure_argument_type(key, SomeSubstitutionsType_types_tuple, 'parameter name')
        name = (*_prefix, *normalize_to_list_of_substitutions(key))
        if isinstance(value, Mapping):
            normalized.update(normalize_parameter_dict(value, (*name, *normalize_to_list_of_substitutions('.'))))
            continue
        ensure_argument_type(value, (*_SCALARS, bytes, list, tuple, Substitution, ParameterValue), 'parameter value')
        for item in value if isinstance(value, (list, tuple)) else ():
            if not _is_text(item):
                ensure_argument_type(item, _SCALARS, 'parameter value in a sequence')
        normalized[name] = value
    return normalized


def normalize_parameters(parameters: Iterable) -> tuple[Union[ParameterFile, Parameter, dict], ...]:
    """Return files, parameters and normalized dicts; TypeError for anything else or no list."""
    ensure_argument_type(parameters, (list, tuple), 'parameters')
    return tuple(normalize_parameter_dict(param) if isinstance(param, Mapping) else
                 param if isinstance(param, (ParameterFile, Parameter)) else ParameterFile(param)
                 for param in parameters)


def _evaluate_parameter(context, name: str, value: Any) -> Any:
    """Evaluate a value of a dict, which must be of a type that ROS has for parameters; TypeError otherwise."""
    if isinstance(value, ParameterValue):
        return value.evaluate(context)
    try:
        value = _evaluate(context, value)
    except yaml.YAMLError as error:
        raise TypeError(f'Unable to parse the value of parameter {name} as yaml. {_HINT}') from error
    if isinstance(value, list):
        if len({type(item) for item in value}) != 1 or type(value[0]) not in _SCALARS:
            raise TypeError('Expected a non-empty sequence, with items of uniform type. Allowed sequence item types '
                            f'are bool, int, float, str. Got inconsistent input for "{name}"')
        return tuple(value)
    if type(value) not in (*_SCALARS, bytes):
        raise TypeError('Allowed value types are bytes, bool, int, float, str, Sequence[bool], Sequence[int], '
                        f'Sequence[float], Sequence[str]. Got {type(value)} for "{name}". {_HINT}')
    return value


def evaluate_parameters(context, parameters: Iterable) -> tuple[Union[Path, Parameter, dict[str, Any]], ...]:
    """Return paths, parameters and dicts of what normalize_parameters() returned."""
    def evaluate(param: Any) -> Union[Path, Parameter, dict[str, Any]]:
        if not isinstance(param, dict):
            return param.evaluate(context) if isinstance(param, ParameterFile) else param
        names = {key: perform_substitutions(context, key) for key in param}
        return {names[key]: _evaluate_parameter(context, names[key], value) for key, value in param.items()}
    return tuple(evaluate(param) for param in parameters)
