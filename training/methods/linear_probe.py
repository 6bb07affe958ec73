# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""Linear probing: how much of the classes a frozen student's features hold already."""

from __future__ import annotations

from torch import nn

from ros_kd.students.presets import StudentSpec
from training.methods import Optimisation
from training.methods.supervised import Supervised


class LinearProbe(Supervised):
    """A new head learns the 3D labels from the features of a student that does not change, nor do its statistics.

    student: the checkpoint to probe (*.safetensors); a preset or a description makes an untrained student, the control.
    lovasz, balance: see Supervised; PPKT and SLidR probe with both losses.
    """

    def __init__(self, taxonomy: str, student: StudentSpec | str, optimisation: Optimisation = Optimisation(),
                 lovasz: float = 1.0, balance: float = 0.0) -> None:
        super().__init__(taxonomy, student, optimisation, lovasz, balance)
        self.student.eval().requires_grad_(False)  # Lightning leaves modes as they are when a training begins
        if not isinstance(self.student.head, nn.Linear):
            raise ValueError(f'{student} classifies with a {type(self.student.head).__name__}: a linear probe needs a '
                             'student with a linear head of its own')
        self.student.head.requires_grad_(True).reset_parameters()

    def train(self, mode: bool = True) -> LinearProbe:
        """Set the mode of all but the student, which always runs as it will on the vehicle."""
        super().train(mode)
        self.student.eval()
        return self
