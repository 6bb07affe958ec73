# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""Distillation of soft labels: the student matches the teacher's class probabilities at the points that cameras see."""

from __future__ import annotations

import torch
from torch import Tensor

from ros_kd.students.presets import StudentSpec
from training.frames.batches import Batch
from training.frames.projected import ClassTargets, Projecting
from training.frames.targets import Makers, reachable
from training.losses.divergence import balance, soft_cross_entropy
from training.losses.segmentation import Labelled, lovasz_at
from training.methods import Answer, Method, Optimisation
from training.teachers import Teacher, needed


class SoftLabels(Method):
    """Hinton distillation across sensors (Hinton et al. 2015; 2DPASS table 6, "Hinton KD", without its 3D labels).

    projecting: how images are looked up. balance: exponent of the class balance, 0 = none. lovasz: weight of the
    Lovász-softmax loss against the teacher's likeliest classes beside the soft cross-entropy.
    """

    def __init__(self, taxonomy: str, student: StudentSpec | str = 'fast',
                 optimisation: Optimisation = Optimisation(), projecting: Projecting = Projecting(),
                 balance: float = 0.0, lovasz: float = 0.0) -> None:
        super().__init__(taxonomy, student, optimisation)
        self.projecting, self.exponent, self.lovasz = projecting, balance, lovasz
        self.register_buffer('class_weight', torch.ones(len(self.taxonomy)), persistent=False)

    def makers(self, teacher: Teacher | None) -> Makers:
        """See Method."""
        teacher = needed(teacher, 'distillation needs a teacher')
        self.taught = reachable(teacher.taxonomy, self.taxonomy)
        return Makers(classes=ClassTargets(teacher, self.taxonomy, self.projecting))

    def on_fit_start(self) -> None:
        """Balance classes by their frequency in the training targets."""
        if self.exponent:
            self.class_weight.copy_(balance(self.class_mass('classes'), self.exponent))

    def losses(self, batch: Batch, answer: Answer) -> dict[str, Tensor]:
        """Return the losses over the points with targets."""
        targets = batch.classes
        voxels, inside = answer.rows(targets.index)
        values, weight = targets.values[inside], targets.weight[inside]
        found = {'classes': soft_cross_entropy(answer.logits[voxels], values, weight[:, None] * self.class_weight)}
        if self.lovasz:
            known = Labelled.of(voxels, values.argmax(1), weight)
            found['lovasz'] = self.lovasz * lovasz_at(answer.logits, known)
        return found
