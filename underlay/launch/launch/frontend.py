# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Substitutions written as text, ``$(name argument 'argument with spaces' ...)``, e.g. in parameter files."""

import re
from collections.abc import Callable
from typing import Any

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


def parse_substitution(text: str) -> list[Substitution]:
    """Return the text as substitutions; ValueError for an unknown one or a missing bracket."""
    return _parse(text, 0, '')[0]


def _parse(text: str, start: int, end: str) -> tuple[list[Substitution], int]:
    """Parse until a character of ``end`` (or the end of the text); return also where that is."""
    parts: list[Substitution] = []
    literal = start
    while start < len(text) and text[start] not in end:
        if text.startswith('$(', start):
            if literal < start:
                parts.append(TextSubstitution(text=text[literal:start]))
            part, start = _parse_call(text, start + 2)
            parts.append(part)
            literal = start
        else:
            start += 1
    if literal < start:
        parts.append(TextSubstitution(text=text[literal:start]))
    return parts, start


def _parse_call(text: str, start: int) -> tuple[Substitution, int]:
    """Parse what follows ``$(``."""
    name = re.compile(r'[\w-]+').match(text, start)
    if name is None or name.group() not in _parsers:
        raise ValueError(f"unknown substitution at '{text[start - 2:start + 30]}', expected one of {list(_parsers)}")
    start, args = name.end(), []
    while start < len(text) and text[start] != ')':
        if text[start].isspace():
            start += 1
        elif text[start] in '\'"':
            argument, start = _parse(text, start + 1, text[start])
            args, start = [*args, argument], start + 1
        else:
            argument, start = _parse(text, start, ' \t\n)')
            args.append(argument)
    if start >= len(text):
        raise ValueError(f"substitution '$({name.group()}' lacks its closing bracket")
    substitution, kwargs = _parsers[name.group()](args)
    return substitution(**kwargs), start + 1
