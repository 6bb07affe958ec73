# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""Training with 3D labels, the baseline of every distillation."""

from __future__ import annotations

from torch import Tensor

from ros_kd.students.presets import StudentSpec
from training.frames.batches import Batch, PointTargets
from training.frames.targets import LabelTargets, Makers
from training.losses.segmentation import Labelled, SegmentationLoss
from training.methods import Answer, Method, Optimisation
from training.teachers import Teacher


class Supervised(Method):
    """Learns the scans' own 3D labels. A teacher is not asked.

    lovasz: weight of the Lovász-softmax loss beside the cross-entropy. balance: rare classes weigh (most frequent / own
    frequency) ** balance in the latter; 0: all alike. Both of all classifiers that methods build upon this one.
    kind: what is learnt, of targets.Knowledge. balanced_by: what frequencies are counted in; None: in what is learnt.
    """

    learns_without_labels = False
    kind = 'labels'
    balanced_by: str | None = None

    def __init__(self, taxonomy: str, student: StudentSpec | str = 'fast',
                 optimisation: Optimisation = Optimisation(), lovasz: float = 1.0, balance: float = 1 / 3) -> None:
        super().__init__(taxonomy, student, optimisation)
        self.exponent = balance
        self.segmentation = SegmentationLoss(len(self.taxonomy), lovasz)

    def makers(self, teacher: Teacher | None) -> Makers:
        """See Method."""
        return Makers(labels=LabelTargets(self.taxonomy))

    def on_fit_start(self) -> None:
        """Balance classes by their frequency in what is learnt. Raises ValueError if that is nothing."""
        kind = self.balanced_by or self.kind
        mass = self.class_mass(kind)
        if not mass.any():
            raise ValueError(f'{type(self).__name__} learns from {kind} of points, but not one point has any: '
                             'choose a data set with 3D labels and data.labels.share above 0, or a teacher that knows '
                             'the classes')
        if self.exponent:
            self.segmentation.balance(mass, self.exponent)

    def compared(self, batch: Batch) -> PointTargets:
        """See Method."""
        return getattr(batch, self.kind)

    def supervision(self, batch: Batch, answer: Answer) -> Tensor:
        """Return the student's loss at the points in range whose class is known."""
        return self.segmentation.at(answer.logits, self.labelled(batch, answer))

    def labelled(self, batch: Batch, answer: Answer) -> Labelled:
        """Return the student's voxels that points of known class lie in; of soft labels the likeliest class counts."""
        targets = self.compared(batch)
        voxels, inside = answer.rows(targets.index)
        return Labelled.of(voxels, targets.values[inside].argmax(1), targets.weight[inside])

    def losses(self, batch: Batch, answer: Answer) -> dict[str, Tensor]:
        """See Method."""
        return {self.kind: self.supervision(batch, answer)}
