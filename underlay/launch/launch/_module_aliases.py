# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Importable names for the one-class-a-module layout of the real package."""

import re
import sys


def alias_modules(package: str, module: str, *extra: str) -> None:
    """Make `package.snake_case`, for each launch class in the module, and `package.extra` names of that module."""
    classes = [member.__name__ for member in vars(sys.modules[module]).values()
               if isinstance(member, type) and member.__module__.startswith('launch')]
    for name in (*(re.sub(r'(?<!^)(?=[A-Z])', '_', name).lower() for name in classes), *extra):
        sys.modules.setdefault(f'{package}.{name}', sys.modules[module])
        if not hasattr(sys.modules[package], name):
            setattr(sys.modules[package], name, sys.modules[module])
