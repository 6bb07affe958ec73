# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""The teacher that a recipe names, without the rest of it."""

from __future__ import annotations

from pathlib import Path

import yaml
from jsonargparse import ArgumentParser

from training.teachers import Teacher


def teacher_of(recipe: Path, root: Path | None = None) -> Teacher:
    """Return the teacher of a recipe. root: where its relative paths start (None: as the recipe's data.root says).

    Raises ValueError if the recipe names none.
    """
    data = (yaml.safe_load(Path(recipe).read_text()) or {}).get('data') or {}
    if not data.get('teacher'):
        raise ValueError(f'{recipe} names no teacher: expected data.teacher with class_path and init_args')
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(Teacher, 'teacher')
    teacher = parser.instantiate_classes(parser.parse_object({'teacher': data['teacher']})).teacher
    teacher.locate(Path(root if root is not None else data.get('root', '.')).expanduser())
    return teacher
