# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""Distillation of soft labels: the student matches the teacher's class probabilities at the points that cameras see."""

from __future__ import annotations

import torch
from torch import Tensor

from ros_kd.students.presets import StudentSpec
from training.batches import Batch
from training.methods import Answer, Method, Optimisation
from training.projected import ClassTargets, Projecting
from training.targets import Makers
from training.teachers import Teacher


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


class SoftLabels(Method):
    """Hinton distillation across sensors (Hinton et al. 2015; 2DPASS table 6, "Hinton KD", without its 3D labels).

    projecting: how images are looked up. balance: exponent of the class balance, 0 = none. kind: what is learnt, of
    targets.Knowledge.
    """

    kind = 'classes'

    def __init__(self, taxonomy: str, student: StudentSpec | str = 'fast',
                 optimisation: Optimisation = Optimisation(), projecting: Projecting = Projecting(),
                 balance: float = 0.0) -> None:
        super().__init__(taxonomy, student, optimisation)
        self.projecting, self.exponent = projecting, balance
        self.register_buffer('class_weight', torch.ones(len(self.taxonomy)), persistent=False)

    def makers(self, teacher: Teacher | None) -> Makers:
        """See Method."""
        if teacher is None:
            raise ValueError('distillation needs a teacher: give data.teacher in the recipe')
        return Makers(classes=ClassTargets(teacher, self.taxonomy, self.projecting))

    def on_fit_start(self) -> None:
        """Balance classes by their frequency in the training targets."""
        if self.exponent:
            mass = torch.from_numpy(self.trainer.datamodule.class_mass(self.kind, len(self.taxonomy))).float()
            self.class_weight.copy_(balance(mass, self.exponent))

    def losses(self, batch: Batch, answer: Answer) -> dict[str, Tensor]:
        """Return the soft cross-entropy over the points with targets."""
        targets = getattr(batch, self.kind)
        logits, inside = answer.at(targets.index)
        weight = targets.weight[inside, None] * self.class_weight
        return {self.kind: soft_cross_entropy(logits, targets.values[inside], weight)}
