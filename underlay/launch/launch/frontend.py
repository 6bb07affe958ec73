# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Substitutions written as text, ``$(name argument 'argument with spaces' ...)``, e.g. in parameter files."""

import re
import shlex
from collections.abc import Callable
from typing import Any

from ._module_aliases import alias_modules
from .base import Substitution
from .substitutions import EnvironmentVariable, LaunchConfiguration, PythonExpression, TextSubstitution
from .substitutions import ThisLaunchFileDir

Arguments = list[list[Substitution]]
_parsers: dict[str, Callable[[Arguments], tuple[Callable[..., Substitution], dict[str, Any]]]] = {
    'var': lambda args: (LaunchConfiguration, {'variable_name': args[0], 'default': args[1] if args[1:] else None}),
    'env': lambda args: (EnvironmentVariable, {'name': args[0], 'default_value': args[1] if args[1:] else None}),
    'eval': lambda args: (PythonExpression, {'expression': args[0]}),
    'dirname': lambda args: (ThisLaunchFileDir, {}),
}


def expose_substitution(name: str) -> Callable:
    """Decorate a function of the arguments that returns a substitution class and its keyword arguments."""
    def register(parse: Callable) -> Callable:
        _parsers[name] = getattr(parse, 'parse', parse)
        return parse
    return register


_TOKEN = re.compile(
    r'(?P<literal>(?:(?!\$\([\w-]).)+)|\$\((?P<name>[\w-]+)(?P<arguments>[^()]*(?:\([^()]*\)[^()]*)*)\)', re.DOTALL)


def parse_substitution(text: str) -> list[Substitution]:
    """Return the text as substitutions (none within another); ValueError for an unknown or unfinished one."""
    parts: list[Substitution] = []
    position = 0
    while position < len(text):
        token = _TOKEN.match(text, position)
        if token is None or not (token['literal'] or token['name'] in _parsers):
            raise ValueError(f"no substitution: '{text[position:position + 40]}', expected one of {list(_parsers)}")
        if token['literal']:
            parts.append(TextSubstitution(text=token['literal']))
        else:
            substitution, kwargs = _parsers[token['name']](
                [[TextSubstitution(text=argument)] for argument in shlex.split(token['arguments'])])
            parts.append(substitution(**kwargs))
        position = token.end()
    return parts


alias_modules(__name__, 'parse_substitution')
