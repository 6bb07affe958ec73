# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Values that are typed once their substitutions are known, by YAML's rules."""

import collections.abc
from typing import Any, List, Optional, Union, get_args, get_origin

import yaml

from . import ensure_argument_type, normalize_to_list_of_substitutions, perform_substitutions
from ..base import SomeSubstitutionsType, Substitution

ScalarTypesTuple = (int, float, bool, str)
ScalarValueType = Union[int, float, bool, str]
AllowedValueType = Union[ScalarValueType, List[int], List[float], List[bool], List[str]]
AllowedTypesType = Any  # one of the scalar types, or typing.List of one
SomeValueType = Union[SomeSubstitutionsType, AllowedValueType]
NormalizedValueType = Union[List[Substitution], AllowedValueType, list]


def extract_type(data_type: AllowedTypesType) -> tuple[type, bool]:
    """Return the scalar type and whether a list of it is meant; ValueError for any other type."""
    is_list = get_origin(data_type) is list
    scalar = get_args(data_type)[0] if is_list else data_type
    if scalar not in ScalarTypesTuple:
        raise ValueError(f'Unrecognized data type: {data_type}')
    return scalar, is_list


def is_instance_of_valid_type(value: Any) -> bool:
    if not isinstance(value, list):
        return isinstance(value, ScalarTypesTuple)
    return not value or (len({type(x) for x in value}) == 1 and isinstance(value[0], ScalarTypesTuple))


def is_instance_of(value: Any, data_type: Optional[AllowedTypesType] = None) -> bool:
    """Return whether the value is of the type, or (None) of any allowed one."""
    if data_type is None:
        return is_instance_of_valid_type(value)
    scalar, is_list = extract_type(data_type)
    if is_list:
        return isinstance(value, list) and all(isinstance(x, scalar) for x in value)
    return isinstance(value, scalar)


def coerce_to_type(value: str, data_type: Optional[AllowedTypesType] = None) -> AllowedValueType:
    """Read the text as the type, or (None) by YAML's rules; ValueError where it does not fit."""
    ensure_argument_type(value, str, 'value', 'coerce_to_type')
    scalar, is_list = extract_type(data_type) if data_type is not None else (None, False)
    if not is_list and scalar is str:
        return value
    if not is_list and scalar in (int, float):
        return scalar(value)
    message = f"Cannot convert value '{value}' to '{data_type}'"
    try:
        output = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise ValueError(f'{message}: yaml.safe_load() failed\n{error}') from error
    if not is_instance_of(output, data_type):
        raise ValueError(f'{message}: got {output!r} of type {type(output)}')
    return output


def is_substitution(x: Any) -> bool:
    """Return whether x is a substitution or a mix of text and at least one substitution."""
    return isinstance(x, Substitution) or (
        isinstance(x, collections.abc.Iterable) and not isinstance(x, str)
        and all(isinstance(item, (Substitution, str)) for item in x)
        and any(isinstance(item, Substitution) for item in x))


def normalize_typed_substitution(value: SomeValueType,
                                 data_type: Optional[AllowedTypesType]) -> NormalizedValueType:
    """Return a scalar or list, its substitutions as lists of them; TypeError where it cannot become the type."""
    if isinstance(value, ScalarTypesTuple):
        if not is_instance_of(value, data_type):
            raise TypeError(f"value='{value}' is not an instance of {data_type}")
        return value
    if is_substitution(value):
        return normalize_to_list_of_substitutions(value)
    if not isinstance(value, collections.abc.Iterable):
        raise TypeError(f'expected a scalar, a substitution or a list of these, got value={value} of {type(value)}')
    items = [normalize_to_list_of_substitutions(x) if is_substitution(x) else x for x in value]
    scalar, is_list = extract_type(data_type) if data_type is not None else (None, True)
    found = {type(x) for x in items if not isinstance(x, list)}
    if found == {int, float} or (found == {int} and scalar is float):
        items, found = [float(x) if type(x) is int else x for x in items], {float}
    if not is_list or len(found) > 1 or not found <= set(ScalarTypesTuple if scalar is None else (scalar,)):
        raise TypeError(f"value='{value}' cannot become {data_type}")
    return items


def perform_typed_substitution(context, value: NormalizedValueType,
                               data_type: Optional[AllowedTypesType]) -> AllowedValueType:
    """Perform a normalized value; TypeError or ValueError where the result is not of the type."""
    if isinstance(value, ScalarTypesTuple):
        if not is_instance_of(value, data_type):
            raise TypeError(f'value=`{value}` is a scalar and not an instance of `{data_type}`')
        return value
    if value and all(isinstance(x, Substitution) for x in value):
        return coerce_to_type(perform_substitutions(context, value), data_type)
    scalar, is_list = extract_type(data_type) if data_type is not None else (None, True)
    if not is_list:
        raise ValueError(f"The input value is a list, cannot convert it to a scalar. Got value='{value}'")
    return [coerce_to_type(perform_substitutions(context, x), scalar) if isinstance(x, list) else x for x in value]
