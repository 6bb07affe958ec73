# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""How far a student's features are from a teacher's at the same points. The gradient goes through the student alone."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from training.losses.reduction import weighted_mean

SHORTEST = 1e-3
"""Shorter vectors are not brought to length 1: the gradient of a vector of length 0 would be without bound."""


def unit(vectors: Tensor) -> Tensor:
    """Return vectors [M, D] of length 1 (shorter, where they are shorter than SHORTEST), at least float32."""
    return functional.normalize(vectors.to(torch.promote_types(vectors.dtype, torch.float32)), dim=1, eps=SHORTEST)


def cosine_distance(*, teacher_features: Tensor, student_features: Tensor, weight: Tensor | None = None) -> Tensor:
    """Return the mean over the points of 1 - cos(teacher, student), 0..2; features [M, D], weight: float32 [M]."""
    return weighted_mean(1 - (unit(teacher_features.detach()) * unit(student_features)).sum(1), weight)


def squared_distance(*, teacher_features: Tensor, student_features: Tensor, weight: Tensor | None = None) -> Tensor:
    """Return the mean over points and channels of (teacher - student)^2; features [M, D], weight: float32 [M]."""
    return weighted_mean((teacher_features.detach() - student_features).square().mean(1), weight)
