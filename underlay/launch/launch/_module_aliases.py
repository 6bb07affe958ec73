# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Importable names for the one-class-a-module layout of the real package."""

import re
import sys


def alias_modules(package: str, *extra: str, to: str = '') -> None:
    """Make `package.snake_case`, for each launch class of module `to` (or package), and each extra, that module."""
    owner, module = sys.modules[package], sys.modules[to or package]
    classes = [member.__name__ for member in vars(module).values()
               if isinstance(member, type) and member.__module__.startswith('launch')]
    for name in (*(re.sub(r'(?<!^)(?=[A-Z])', '_', name).lower() for name in classes), *extra):
        sys.modules.setdefault(f'{package}.{name}', module)
        if not hasattr(owner, name):
            setattr(owner, name, module)
