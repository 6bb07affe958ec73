# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""The student that a training begins with: a new one, or one that has learnt something already."""

from __future__ import annotations

from dataclasses import replace

from torch import nn

from ros_kd.students import build_student
from ros_kd.students.checkpoint import SUFFIX, load_checkpoint
from ros_kd.students.presets import StudentSpec, student_spec
from ros_kd.taxonomy import Taxonomy


def starting_student(student: StudentSpec | str, taxonomy: Taxonomy) -> tuple[nn.Module, StudentSpec]:
    """Return the student and its description.

    student: a preset's name, a description, or a checkpoint file (*.safetensors) to start from, whose head is made anew
    if its classes are others. An image network's classifier stays as it is (see SharedHead), all else is trained; where
    the classes are others, a head of the student's own replaces it. Raises CheckpointError or ValueError.
    """
    if isinstance(student, str) and student.endswith(SUFFIX):
        trained, info = load_checkpoint(student)
        spec = StudentSpec(info.architecture, info.width, info.inputs, info.adapter)
        if info.taxonomy.names != taxonomy.names:
            trained, spec = _with_new_head(spec, taxonomy, trained)
        return trained.train(), spec
    spec = student_spec(student)
    return built(spec, taxonomy), spec


def built(spec: StudentSpec, taxonomy: Taxonomy) -> nn.Module:
    """Return an untrained student of the description."""
    return build_student(spec.architecture, len(spec.inputs.columns), len(taxonomy), spec.width, spec.adapter)


def _with_new_head(spec: StudentSpec, taxonomy: Taxonomy, trained: nn.Module) -> tuple[nn.Module, StudentSpec]:
    if spec.adapter is not None:
        spec = replace(spec, adapter=replace(spec.adapter, classes=()))
    fresh = built(spec, taxonomy)
    weights = {name: value for name, value in trained.state_dict().items() if not name.startswith('head.')}
    fresh.load_state_dict(weights, strict=False)
    return fresh, spec
