# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""The LiDAR-only networks. A new one is one file and one line in STUDENTS."""

from __future__ import annotations

from typing import Callable

from torch import nn

from ros_kd.students.adapted import AdaptedStudent
from ros_kd.students.adapters import AdapterSpec
from ros_kd.students.minkunet import minkunet14, minkunet18, minkunet34c
from ros_kd.students.spvcnn import spvcnn
from ros_kd.students.twodpass import twodpass64, twodpass128

STUDENTS: dict[str, Callable[[int, int, float], nn.Module]] = {
    'minkunet14': minkunet14,
    'minkunet18': minkunet18,
    'minkunet34c': minkunet34c,
    'spvcnn': spvcnn,
    'twodpass64': twodpass64,
    'twodpass128': twodpass128,
}


def build_student(architecture: str, in_channels: int, num_classes: int, width: float = 1.0,
                  adapter: AdapterSpec | None = None) -> nn.Module:
    """Return an untrained student: it takes a VoxelBatch and returns logits [V, num_classes], a row for each voxel.

    Every student has `features(batch)` [V, channels] before its `head`, and `levels(batch)`, tensors at several strides
    with `level_channels` channels; `features_of(levels, batch)` makes the former of the latter.
    in_channels: len(InputSpec.columns). num_classes: len(taxonomy), so that a class id is the index of its logit.
    width: multiplies the standard numbers of channels. adapter: what follows the features, see AdapterSpec. Raises
    ValueError naming the architectures that exist.
    """
    if architecture not in STUDENTS:
        raise ValueError(f'unknown student architecture "{architecture}"; known: {sorted(STUDENTS)}')
    if in_channels < 1 or num_classes < 1 or not width > 0:
        raise ValueError(f'a student with {in_channels} input channels, {num_classes} classes and width {width}: '
                         'all must be positive')
    student = STUDENTS[architecture](in_channels, num_classes, width)
    return student if adapter is None else AdaptedStudent(student, adapter, num_classes)
