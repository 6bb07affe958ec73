# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""Training with 3D labels, the baseline of every distillation."""

from __future__ import annotations

from training.methods.soft_labels import SoftLabels
from training.targets import LabelTargets, TargetMaker
from training.teachers import Teacher


class Supervised(SoftLabels):
    """Cross-entropy with the scans' own 3D labels: soft labels that are one-hot. A teacher is not asked."""

    def targets(self, teacher: Teacher | None) -> TargetMaker:
        """See Method."""
        return LabelTargets(self.taxonomy)
