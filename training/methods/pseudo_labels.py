# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""Pseudo-labels: what an image network calls the points that cameras see is taken for the truth."""

from __future__ import annotations

from ros_kd.students.presets import StudentSpec
from training.frames.projected import ClassTargets, Projecting
from training.frames.targets import Makers, reachable
from training.methods import Optimisation
from training.methods.supervised import Supervised
from training.teachers import Teacher, needed


class PseudoLabels(Supervised):
    """Trains as with 3D labels, on the likeliest class of the teacher's soft labels; no 3D label is needed.

    projecting: how images are looked up; its `confidence` leaves doubtful points out.
    """

    learns_without_labels = True
    kind = 'classes'

    def __init__(self, taxonomy: str, student: StudentSpec | str = 'fast',
                 optimisation: Optimisation = Optimisation(), projecting: Projecting = Projecting(confidence=0.5),
                 lovasz: float = 1.0, balance: float = 1 / 3) -> None:
        super().__init__(taxonomy, student, optimisation, lovasz, balance)
        self.projecting = projecting

    def makers(self, teacher: Teacher | None) -> Makers:
        """See Method."""
        teacher = needed(teacher, 'pseudo-labels need a teacher')
        self.taught = reachable(teacher.taxonomy, self.taxonomy)
        return Makers(classes=ClassTargets(teacher, self.taxonomy, self.projecting))
