# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""PPKT (Liu et al. 2021, "Learning from 2D: Contrastive Pixel-to-Point Knowledge Transfer for 3D Pretraining") and,
with superpixels, SLidR (Sautier et al. 2022): pre-training of a student with nothing but a network's image features."""

from __future__ import annotations

from ros_kd.students.adapters import AdapterSpec
from ros_kd.students.presets import StudentSpec
from training.frames.projected import Projecting
from training.methods import Optimisation
from training.methods.contrastive import Contrast, Contrastive


class PPKT(Contrastive):
    """A linear layer from the student's features to `width` embeddings; UDAKD's control without its DA module.

    With contrast.superpixels it is SLidR's loss. Further arguments: see Contrastive.
    """

    def __init__(self, taxonomy: str, student: StudentSpec | str = 'fast',
                 optimisation: Optimisation = Optimisation(), projecting: Projecting = Projecting(),
                 contrast: Contrast = Contrast(), width: int = 64, most: int | None = 8192) -> None:
        adapter = AdapterSpec('none', layers=0, width=width)
        super().__init__(taxonomy, student, optimisation, adapter, projecting, contrast, most)
