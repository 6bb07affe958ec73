# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Names, parameters and remappings of nodes, normalized when described and evaluated when launched."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Optional, Union

import yaml
from launch.base import SomeSubstitutionsType as Text, SomeSubstitutionsType_types_tuple, Substitution
from launch.substitutions import TextSubstitution
from launch.utilities import ensure_argument_type, normalize_to_list_of_substitutions, perform_substitutions

from .descriptions import Parameter, ParameterFile, ParameterValue

NormalizedDict = dict[tuple[Substitution, ...], Any]
SomeParameters = Sequence[Union[ParameterFile, Parameter, Text, Mapping]]
_SCALARS = (bool, int, float, str)
_HINT = ('If the parameter is meant to be a string, try wrapping it in '
         'launch_ros.parameter_descriptions.ParameterValue(value, value_type=str)')


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


def _normalize_list(value: Sequence) -> tuple:
    for item in value:
        ensure_argument_type(item, (*_SCALARS, *SomeSubstitutionsType_types_tuple), 'subvalue')
    kinds = {next((kind for kind in (Substitution, *_SCALARS) if isinstance(item, kind)), list) for item in value}
    if kinds in ({int}, {bool}):
        return tuple(value)
    if kinds in ({float}, {int, float}):
        return tuple(float(item) for item in value)
    if Substitution in kinds and kinds <= {str, Substitution}:
        return tuple(normalize_to_list_of_substitutions(value))  # one text, concatenated
    return tuple(normalize_to_list_of_substitutions(yaml.dump(item) if isinstance(item, _SCALARS) else item)
                 for item in value)


def normalize_parameter_dict(parameters: Mapping, *, _prefix: Sequence[Substitution] = ()) -> NormalizedDict:
    """Return dotted names and values with their substitutions as lists; TypeError for what cannot be a parameter."""
    normalized: NormalizedDict = {}
    for key, value in parameters.items():
        ensure_argument_type(key, SomeSubstitutionsType_types_tuple, 'parameter name')
        name = (*_prefix, *([TextSubstitution(text='.')] if _prefix else []), *normalize_to_list_of_substitutions(key))
        if isinstance(value, Mapping):
            normalized.update(normalize_parameter_dict(value, _prefix=name))
        elif isinstance(value, (str, Substitution)):
            text = yaml.dump(value) if isinstance(value, str) else value  # quoted where YAML would not read a string
            normalized[name] = tuple(normalize_to_list_of_substitutions(text))
        elif isinstance(value, (bool, int, float, bytes, ParameterValue)):
            normalized[name] = value
        elif isinstance(value, Sequence):
            normalized[name] = _normalize_list(value)
        else:
            raise TypeError(f'Unexpected type for parameter value {value!r}')
    return normalized


def normalize_parameters(parameters: SomeParameters) -> tuple[Union[ParameterFile, Parameter, NormalizedDict], ...]:
    """Return files, parameters and normalized dicts; TypeError for anything else or no list."""
    if isinstance(parameters, str) or not isinstance(parameters, Sequence):
        raise TypeError(f'Expecting list of parameters, got {parameters}')
    return tuple(normalize_parameter_dict(param) if isinstance(param, Mapping) else
                 param if isinstance(param, (ParameterFile, Parameter)) else ParameterFile(param)
                 for param in parameters)


def _uniform(name: str, values: Sequence) -> tuple:
    if not values or type(values[0]) not in _SCALARS or any(type(value) is not type(values[0]) for value in values):
        raise TypeError('Expected a non-empty sequence, with items of uniform type. Allowed sequence item types are '
                        f'bool, int, float, str. Got inconsistent input for "{name}"')
    return tuple(values)


def _evaluate(context, name: str, value: Any) -> Any:
    if isinstance(value, ParameterValue):
        return value.evaluate(context)
    if not isinstance(value, tuple) or not value or type(value[0]) in _SCALARS:
        return value
    if isinstance(value[0], list):
        return _uniform(name, [yaml.safe_load(perform_substitutions(context, item)) for item in value])
    try:
        evaluated = yaml.safe_load(perform_substitutions(context, value) or "''")
    except yaml.YAMLError as error:
        raise TypeError(f'Unable to parse the value of parameter {name} as yaml. {_HINT}') from error
    if isinstance(evaluated, list):
        return _uniform(name, evaluated)
    if type(evaluated) not in (*_SCALARS, bytes):
        raise TypeError('Allowed value types are bytes, bool, int, float, str, Sequence[bool], Sequence[int], '
                        f'Sequence[float], Sequence[str]. Got {type(evaluated)} for "{name}". {_HINT}')
    return evaluated


def evaluate_parameter_dict(context, parameters: NormalizedDict) -> dict[str, Any]:
    """Perform names and values, these typed by YAML's rules; TypeError where the value is of no parameter type."""
    names = {key: perform_substitutions(context, key) for key in parameters}
    return {names[key]: _evaluate(context, names[key], value) for key, value in parameters.items()}


def evaluate_parameters(context, parameters: Iterable) -> tuple[Union[Path, Parameter, dict[str, Any]], ...]:
    """Return paths, parameters and dicts of what normalize_parameters() returned."""
    return tuple(param.evaluate(context) if isinstance(param, ParameterFile) else
                 evaluate_parameter_dict(context, param) if isinstance(param, dict) else param
                 for param in parameters)
