# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""Kullback-Leibler divergence from a teacher P to a student Q, and cross-entropy with soft labels.

D(P || Q) = sum_c p_c log(p_c / q_c). The teacher is always P, the student always Q, and the gradient always goes
through the student alone. Both are given by name only, so that the two sides cannot be swapped unseen.
"""

from __future__ import annotations

import torch
from torch import Tensor

from training.losses.reduction import weighted_mean


def kl_divergence(*, teacher_logits: Tensor, student_logits: Tensor, temperature: float = 1.0,
                  weight: Tensor | None = None) -> Tensor:
    """Return T^2 times the mean over the points of D(softmax(teacher / T) || softmax(student / T)), logits [M, C].

    2DPASS eq. 7 (teacher: the fused scores, student: the 3D ones), xMUDA eq. 3 and FSKD's semantic loss with T = 1;
    Hinton et al. 2015 with others, whose T^2 keeps the size of the gradient. Of probabilities p, log p are logits.
    weight: float32 [M], how much each point counts.
    """
    teacher = (teacher_logits.detach() / temperature).softmax(1)
    student = (student_logits / temperature).log_softmax(1)
    return temperature ** 2 * weighted_mean(_divergence(teacher, student), weight)


def kl_divergence_per_entry(*, teacher_logits: Tensor, student_logits: Tensor) -> Tensor:
    """Return the mean of the divergence over points and classes, C times less than `kl_divergence`.

    So 2DPASS was released (`F.kl_div` with its default reduction), beside what its paper says.
    """
    divergence = kl_divergence(teacher_logits=teacher_logits, student_logits=student_logits)
    return divergence / student_logits.shape[1]


def _divergence(probabilities: Tensor, log_probabilities: Tensor) -> Tensor:
    """D(P || Q) [M] of P [M, C] and log Q [M, C]; classes without probability in P add nothing."""
    return (torch.xlogy(probabilities, probabilities) - probabilities * log_probabilities).sum(1)


def soft_cross_entropy(logits: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Return sum_i sum_c w_ic p_ic (-log q_ic) / sum_ic w_ic p_ic, for q = softmax(logits) [M, C], p = target [M, C].

    weight: [M, C], or [M, 1]. 0 (with a gradient) without points.
    """
    mass = weight * target
    return -(mass * logits.log_softmax(1)).sum() / mass.sum().clamp(min=1e-6)


def balance(mass: Tensor, exponent: float) -> Tensor:
    """Return weights [C] (mean 1 over the targets) that grow for rare classes: (max mass / mass) ** exponent.

    2DPASS uses the exponent 1/3. Classes without mass weigh as much as one of a ten-thousandth.
    """
    weight = (mass.max() / mass.clamp(min=1e-4 * float(mass.max()))) ** exponent
    return weight / (weight * mass).sum().clamp(min=1e-6)
