# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""Training with 3D labels, the baseline of every distillation."""

from __future__ import annotations

from training.methods.soft_labels import SoftLabels
from training.targets import LabelTargets, Makers
from training.teachers import Teacher


class Supervised(SoftLabels):
    """Cross-entropy with the scans' own 3D labels: soft labels that are one-hot. A teacher is not asked."""

    learns_without_labels = False
    kind = 'labels'

    def makers(self, teacher: Teacher | None) -> Makers:
        """See Method."""
        return Makers(labels=LabelTargets(self.taxonomy))
