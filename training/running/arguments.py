# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""Command lines that change one value of a student that a recipe names as a whole."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Sequence

import yaml

from ros_kd.students.checkpoint import SUFFIX
from ros_kd.students.presets import student_spec

_STUDENT = ('--model.student', '--model.init_args.student')


def with_whole_student(arguments: Sequence[str]) -> list[str]:
    """Return the arguments with a preset written out if they change one of its values.

    jsonargparse would take such a value for one of a new student with defaults. Raises ValueError if the student is a
    checkpoint, or a preset that does not exist.
    """
    changed = [argument for argument in arguments if argument.startswith(tuple(f'{name}.' for name in _STUDENT))]
    student, behind = _named(arguments)
    if not changed or not isinstance(student, str):
        return list(arguments)
    if student.endswith(SUFFIX):
        raise ValueError(f'{changed[0]}: the student starts from {student}, whose weights belong to its description: '
                         'leave it as it is, or describe a new student by architecture, width and inputs')
    whole = json.dumps(asdict(student_spec(student)))
    return [*arguments[:behind], _STUDENT[0], whole, *arguments[behind:]]


def _named(arguments: Sequence[str]) -> tuple[object, int]:
    """Return the student that the last recipe or argument gives as a whole, and the place behind that argument."""
    student, behind = None, 0
    for place, argument in enumerate(arguments):
        name, joined, value = argument.partition('=')
        end = place + (1 if joined else 2)
        value = value if joined else ''.join(arguments[place + 1:end])
        if name in _STUDENT:
            student, behind = yaml.safe_load(value), end
        elif name in ('--config', '-c') and Path(value).is_file():
            model = (yaml.safe_load(Path(value).read_text()) or {}).get('model')
            given = model.get('init_args') if isinstance(model, dict) else None
            if given and 'student' in given:
                student, behind = given['student'], end
    return student, behind
