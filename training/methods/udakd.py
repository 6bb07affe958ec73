# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""UDAKD (2025), unsupervised domain-adaptive knowledge distillation: pre-training with a network's image features, to
which a module between the student and the contrast translates; the student itself stays a LiDAR network."""

from __future__ import annotations

from ros_kd.students.adapters import AdapterSpec
from ros_kd.students.presets import StudentSpec
from training.frames.projected import Projecting
from training.methods import Optimisation
from training.methods.contrastive import Contrast, Contrastive


class UDAKD(Contrastive):
    """The student's features pass through the DA module, which is not exported, to pseudo-image features.

    adapter: the module ("da"), its control ("mlp", as many parameters; "none"), layers and ratio; its width is that of
    the embeddings. What the paper leaves open is as in PPKT and SLidR: embeddings of 64 numbers and length 1,
    temperature 0.07, from points to pixels, 4096 pairs a step. Further arguments: see Contrastive.
    """

    def __init__(self, taxonomy: str, student: StudentSpec | str = 'fast',
                 optimisation: Optimisation = Optimisation(), adapter: AdapterSpec = AdapterSpec(),
                 projecting: Projecting = Projecting(), contrast: Contrast = Contrast(),
                 most: int | None = 8192) -> None:
        super().__init__(taxonomy, student, optimisation, adapter, projecting, contrast, most)
