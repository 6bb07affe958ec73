# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""Distillation beside 3D labels (Hinton et al. 2015; the comparator "Hinton KD" of 2DPASS): a frozen image network's
soft labels teach at the points that cameras see."""

from __future__ import annotations

from torch import Tensor

from ros_kd.students.presets import StudentSpec
from training.frames.batches import Batch
from training.frames.projected import ClassTargets, Projecting
from training.frames.targets import LabelTargets, Makers
from training.losses.divergence import kl_divergence
from training.methods import Answer, Optimisation
from training.methods.supervised import Supervised
from training.teachers import Teacher, needed


class Hinton(Supervised):
    """S(student) + distillation * T^2 KL(softmax(z / T) || softmax(student / T)), z: the teacher's scores, S: the
    losses of Supervised. Frames without 3D labels have the second term only.

    temperature: T. projecting: how images are looked up.
    """

    learns_without_labels = True

    def __init__(self, taxonomy: str, student: StudentSpec | str = 'fast',
                 optimisation: Optimisation = Optimisation(), projecting: Projecting = Projecting(),
                 temperature: float = 2.0, distillation: float = 1.0, lovasz: float = 1.0,
                 balance: float = 1 / 3) -> None:
        super().__init__(taxonomy, student, optimisation, lovasz, balance)
        if not temperature > 0:
            raise ValueError(f'temperature {temperature}: must be positive (1 leaves soft labels as they are)')
        self.projecting, self.softness, self.distillation = projecting, temperature, distillation

    def makers(self, teacher: Teacher | None) -> Makers:
        """See Method."""
        teacher = needed(teacher, 'distillation needs a teacher')
        return Makers(LabelTargets(self.taxonomy), ClassTargets(teacher, self.taxonomy, self.projecting))

    def losses(self, batch: Batch, answer: Answer) -> dict[str, Tensor]:
        """See Method."""
        logits, inside = answer.at(batch.classes.index)
        # Logarithms of probabilities are the scores but for a constant; those of kept classes reach down to 1e-7.
        scores = batch.classes.values[inside].clamp(min=1e-7).log()
        divergence = kl_divergence(teacher_logits=scores, student_logits=logits, temperature=self.softness,
                                   weight=batch.classes.weight[inside])
        return {'labels': self.supervision(batch, answer), 'distillation': self.distillation * divergence}
