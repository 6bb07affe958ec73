# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""Few 3D labels and a teacher: what people labelled where they did, what the teacher sees in the images elsewhere."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from ros_kd.students.presets import StudentSpec
from training.frames.batches import Batch, PointTargets
from training.frames.projected import ClassTargets, Projecting
from training.frames.targets import LabelTargets, Makers
from training.images.branch import ImageBranch
from training.images.looking import Looking
from training.methods import Answer, Optimisation
from training.methods.supervised import Supervised
from training.methods.two_d_pass import TwoDPASS
from training.methods.with_images import in_labelled_frames
from training.teachers import Teacher, needed


def filled(batch: Batch, answer: Answer) -> Batch:
    """Return the batch with the teacher's classes as the labels of those frames that have no 3D labels."""
    taught = batch.classes  # whose likeliest class counts, as that of one-hot labels
    chosen = ~in_labelled_frames(batch, answer, taught.index)
    index = torch.cat([batch.labels.index, taught.index[chosen]])
    order = index.argsort()
    values, weight = (torch.cat([getattr(batch.labels, name), getattr(taught, name)[chosen]])[order]
                      for name in ('values', 'weight'))
    return replace(batch, labels=PointTargets(index[order], values, weight))


class _Filled(Supervised):
    """Makes of a method one that is told the teacher's classes where there are no labels. Classes are balanced by the
    teacher's frequencies: a few labelled frames lack some."""

    projecting: Projecting
    balanced_by = 'classes'

    def makers(self, teacher: Teacher | None) -> Makers:
        """See Method."""
        teacher = needed(teacher, f'{type(self).__name__} asks a teacher about frames without 3D labels')
        return Makers(LabelTargets(self.taxonomy), ClassTargets(teacher, self.taxonomy, self.projecting))

    def losses(self, batch: Batch, answer: Answer) -> dict[str, Tensor]:
        """See Method."""
        return super().losses(filled(batch, answer), answer)


class FewLabels(_Filled):
    """The losses of Supervised with 3D labels where frames have any, and a teacher's likeliest classes elsewhere.

    The control of FewLabelTwoDPASS: all that it is told, without its images. projecting: how images are looked up for
    the teacher.
    """

    learns_without_labels = True

    def __init__(self, taxonomy: str, student: StudentSpec | str = 'fast',
                 optimisation: Optimisation = Optimisation(), projecting: Projecting = Projecting(),
                 lovasz: float = 1.0, balance: float = 1 / 3) -> None:
        super().__init__(taxonomy, student, optimisation, lovasz, balance)
        self.projecting = projecting


class FewLabelTwoDPASS(_Filled, TwoDPASS):
    """2DPASS whose classifiers learn from a teacher's likeliest classes, too, in frames without 3D labels.

    With few labelled frames the fused classifiers of 2DPASS know little more than the student that they teach; an image
    network that was trained on labelled images does. projecting: see FewLabels. Further ones: see TwoDPASS.
    """

    def __init__(self, taxonomy: str, student: StudentSpec | str = 'fast',
                 optimisation: Optimisation = Optimisation(), image: ImageBranch = ImageBranch(),
                 looking: Looking = Looking(), hidden: int = 64, divergence: float = 0.05, lovasz: float = 1.0,
                 balance: float = 1 / 3, projecting: Projecting = Projecting()) -> None:
        super().__init__(taxonomy, student, optimisation, image, looking, hidden=hidden, divergence=divergence,
                         lovasz=lovasz, balance=balance)
        self.projecting = projecting
