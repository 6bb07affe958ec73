# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""A trained student with its batch normalisations taken into weights and biases: fewer passes, the same answers."""

from __future__ import annotations

from copy import deepcopy

from torch import nn

from ros_kd.students.adapted import AdaptedStudent
from ros_kd.students.blocks import ConvNorm, LinearNorm, NormLinear


def fold(student: nn.Module) -> nn.Module:
    """Return a copy of the student for inference, without batch normalisations; layers take them, what is added and
    the activation along. It may be converted to bfloat16 as a whole, which batch normalisations would not survive."""
    student = deepcopy(student).eval().requires_grad_(False)
    for block in student.modules():
        if isinstance(block, (ConvNorm, LinearNorm, NormLinear)) and block.norm is not None:
            block.fold()
    if isinstance(student, AdaptedStudent):
        student.fold()
    return student
