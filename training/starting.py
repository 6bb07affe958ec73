# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""The student that a training begins with: a new one, or one that has learnt something already."""

from __future__ import annotations

from torch import nn

from ros_kd.students import build_student
from ros_kd.students.checkpoint import SUFFIX, load_checkpoint
from ros_kd.students.presets import StudentSpec, student_spec
from ros_kd.taxonomy import Taxonomy


def starting_student(student: StudentSpec | str, taxonomy: Taxonomy) -> tuple[nn.Module, StudentSpec]:
    """Return the student and its description.

    student: a preset's name, a description, or a checkpoint file (*.safetensors) to start from, whose head is made anew
    if its classes are others. Raises CheckpointError or ValueError.
    """
    if isinstance(student, str) and student.endswith(SUFFIX):
        trained, info = load_checkpoint(student)
        spec = StudentSpec(info.architecture, info.width, info.inputs)
        if info.taxonomy.names != taxonomy.names:
            trained = _with_new_head(spec, taxonomy, trained)
        return trained.train(), spec
    spec = student_spec(student)
    return build_student(spec.architecture, len(spec.inputs.columns), len(taxonomy), spec.width), spec


def _with_new_head(spec: StudentSpec, taxonomy: Taxonomy, trained: nn.Module) -> nn.Module:
    fresh = build_student(spec.architecture, len(spec.inputs.columns), len(taxonomy), spec.width)
    weights = {name: value for name, value in trained.state_dict().items() if not name.startswith('head.')}
    fresh.load_state_dict(weights, strict=False)
    return fresh
