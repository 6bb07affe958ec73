# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Students by what they are for."""

from __future__ import annotations

from dataclasses import dataclass

from ros_kd.students.adapters import AdapterSpec
from ros_kd.students.inputs import InputSpec


@dataclass(frozen=True)
class StudentSpec:
    """A network. architecture, width, adapter: see ros_kd.students.build_student. inputs: what it sees of a scan."""

    architecture: str = 'minkunet14'
    width: float = 1.0
    inputs: InputSpec = InputSpec()
    adapter: AdapterSpec | None = None


# No x, y or range: cameras that look one way label one direction, so that positions would be learnt by heart.
_COLUMNS = ('z', 'intensity', 'dx', 'dy', 'dz')

PRESETS: dict[str, StudentSpec] = {
    'fast': StudentSpec('minkunet14', 0.5, InputSpec(0.1, (-60, -60, -4), (60, 60, 4), _COLUMNS)),
    'accurate': StudentSpec('minkunet34c', 1.0, InputSpec(0.05, (-60, -60, -4), (60, 60, 4), _COLUMNS)),
}
"""fast: 120,000 points ten times a second on two CPU cores, with half of their time to spare. accurate: for a GPU, or
for robots that can wait. Both for a LiDAR some 2 m above the ground."""


def student_spec(student: StudentSpec | str) -> StudentSpec:
    """Return the student that is called by a preset's name, or described. Raises ValueError naming the presets."""
    if isinstance(student, StudentSpec):
        return student
    if student not in PRESETS:
        raise ValueError(f'unknown preset "{student}" of students; choose one of {list(PRESETS)}, or describe one by '
                         'architecture, width and inputs')
    return PRESETS[student]
