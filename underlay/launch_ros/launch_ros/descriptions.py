# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Parameters and parameter files of a node."""

import atexit
import contextlib
import os
import tempfile
from pathlib import Path
from typing import Optional, Union

import yaml
from launch.base import SomeSubstitutionsType, SomeSubstitutionsType_types_tuple
from launch.frontend import parse_substitution
from launch.substitutions import SubstitutionFailure
from launch.utilities import ensure_argument_type, normalize_to_list_of_substitutions, perform_substitutions
from launch.utilities.type_utils import (
    AllowedTypesType, AllowedValueType, SomeValueType, normalize_typed_substitution, perform_typed_substitution)


def write_parameter_file(text: str) -> Path:
    """Write the text to a temporary file that this process removes when it ends."""
    with tempfile.NamedTemporaryFile(mode='w', prefix='launch_params_', delete=False) as file:
        file.write(text)

    def remove() -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(file.name)
    atexit.register(remove)
    return Path(file.name)


class ParameterValue:
    """A value, coerced to value_type (int, float, bool, str or a List of one; None for YAML's rules)."""

    def __init__(self, value: SomeValueType, *, value_type: Optional[AllowedTypesType] = None) -> None:
        self._value = normalize_typed_substitution(value, value_type)
        self._evaluated: Optional[AllowedValueType] = None
        self.value_type = value_type

    @property
    def value(self) -> SomeValueType:
        """The value evaluated, or before that as given."""
        return self._value if self._evaluated is None else self._evaluated

    def evaluate(self, context) -> AllowedValueType:
        self._evaluated = perform_typed_substitution(context, self._value, self.value_type)
        return self._evaluated


class Parameter(ParameterValue):
    """A parameter's name and value."""

    def __init__(self, name: SomeSubstitutionsType, value: SomeValueType, *,
                 value_type: Optional[AllowedTypesType] = None) -> None:
        ensure_argument_type(name, SomeSubstitutionsType_types_tuple, 'name')
        super().__init__(value, value_type=value_type)
        self.name = normalize_to_list_of_substitutions(name)

    def evaluate(self, context) -> tuple[str, AllowedValueType]:
        return perform_substitutions(context, self.name), super().evaluate(context)


class ParameterFile:
    """A parameter file, in which substitutions as ``$(var name)`` are performed if allow_substs."""

    def __init__(self, param_file: Union[str, os.PathLike, SomeSubstitutionsType], *,
                 allow_substs: Union[bool, SomeSubstitutionsType] = False) -> None:
        ensure_argument_type(param_file, SomeSubstitutionsType_types_tuple, 'param_file', 'ParameterFile()')
        self.param_file: Union[Path, list] = normalize_to_list_of_substitutions(param_file)
        self.allow_substs = normalize_typed_substitution(allow_substs, bool)

    def evaluate(self, context) -> Path:
        """Return the file's path; SubstitutionFailure where the substituted text is not YAML."""
        if isinstance(self.param_file, Path):
            return self.param_file
        self.param_file = Path(perform_substitutions(context, self.param_file))
        if perform_typed_substitution(context, self.allow_substs, bool):
            text = perform_substitutions(context, parse_substitution(self.param_file.read_text()))
            try:
                yaml.safe_load(text)
            except yaml.YAMLError as error:
                raise SubstitutionFailure('The substituted parameter file is not a valid yaml file') from error
            self.param_file = write_parameter_file(text)
        return self.param_file
