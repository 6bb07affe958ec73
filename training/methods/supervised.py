# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""Training with 3D labels, the baseline of every distillation."""

from __future__ import annotations

import torch
from torch import Tensor

from ros_kd.students.presets import StudentSpec
from training.batches import Batch
from training.losses.segmentation import SegmentationLoss
from training.methods import Answer, Method, Optimisation
from training.targets import LabelTargets, Makers
from training.teachers import Teacher


class Supervised(Method):
    """Learns the scans' own 3D labels. A teacher is not asked.

    lovasz: weight of the Lovász-softmax loss beside the cross-entropy. balance: rare classes weigh (most frequent / own
    frequency) ** balance in the latter; 0: all alike. Both of all classifiers that methods build upon this one.
    """

    learns_without_labels = False

    def __init__(self, taxonomy: str, student: StudentSpec | str = 'fast',
                 optimisation: Optimisation = Optimisation(), lovasz: float = 1.0, balance: float = 1 / 3) -> None:
        super().__init__(taxonomy, student, optimisation)
        self.exponent = balance
        self.segmentation = SegmentationLoss(len(self.taxonomy), lovasz)

    def makers(self, teacher: Teacher | None) -> Makers:
        """See Method."""
        return Makers(labels=LabelTargets(self.taxonomy))

    def on_fit_start(self) -> None:
        """Balance classes by their frequency in the training labels. Raises ValueError without any."""
        if self.exponent:
            mass = torch.from_numpy(self.trainer.datamodule.class_mass('labels', len(self.taxonomy))).float()
            if not mass.any():
                raise ValueError(f'no labelled points to train on, but {type(self).__name__} needs 3D labels: choose a '
                                 'data set with labels, and data.labels.share above 0')
            self.segmentation.balance(mass, self.exponent)

    def supervision(self, batch: Batch, answer: Answer) -> Tensor:
        """Return the student's loss at the labelled points in range."""
        logits, inside = answer.at(batch.labels.index)
        return self.segmentation(logits, batch.labels.values[inside], batch.labels.weight[inside])

    def losses(self, batch: Batch, answer: Answer) -> dict[str, Tensor]:
        """See Method."""
        return {'labels': self.supervision(batch, answer)}
