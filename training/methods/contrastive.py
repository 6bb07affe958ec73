# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""What methods share that let points find their pixels among others: no labels, and no classes of a teacher."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from ros_kd.students.adapters import Adapter, AdapterSpec
from ros_kd.students.presets import StudentSpec
from training.frames.batches import Batch
from training.frames.projected import FeatureTargets, Projecting
from training.frames.superpixels import Superpixels
from training.frames.targets import Makers
from training.losses.contrast import Pairs, draw, draw_apart, info_nce, pooled, retrieval
from training.methods import Answer, Method, Optimisation
from training.teachers import FeatureTeacher, Teacher


@dataclass(frozen=True)
class Contrast:
    """temperature: of the InfoNCE. pairs: at most so many a step, drawn without replacement from the batch's, no two
    points of one voxel, which the student cannot tell apart.

    superpixels: how images are cut up, where pairs are the means of a superpixel's points and of their pixels (SLidR);
    None: pairs are points and their pixels (PPKT).
    """

    temperature: float = 0.07
    pairs: int = 4096
    superpixels: Superpixels | None = None

    def __post_init__(self) -> None:
        if not self.temperature > 0 or self.pairs < 2:
            raise ValueError(f'contrast of {self.pairs} pairs at temperature {self.temperature}: expected 2 pairs or '
                             'more, and a temperature above 0')


class Contrastive(Method):
    """Student's features -> adapter -> embeddings, image features -> linear projection -> embeddings, InfoNCE of both.

    Adapter and projection are trained, and stay here; the image network is frozen. What is exported is a backbone: its
    head has not learnt anything. Validation logs val/retrieval, the share of points that find their own pixel first
    among those of as many pairs as a step has, and val/loss.
    adapter: what follows the student's features; its width is that of the embeddings. projecting: how images are looked
    up. most: of how many points of a frame image features are kept, see FeatureTargets; None: all.
    """

    backbone = True
    monitor = 'val/loss'  # smoother than the retrieval, whose best is one of the first epochs' by chance

    def __init__(self, taxonomy: str, student: StudentSpec | str, optimisation: Optimisation, adapter: AdapterSpec,
                 projecting: Projecting, contrast: Contrast, most: int | None) -> None:
        super().__init__(taxonomy, student, optimisation)
        self.projecting, self.contrast, self.most = projecting, contrast, most
        self.student.head.requires_grad_(False)
        self.pseudo = Adapter(self.student.channels, adapter)
        self.projection: nn.Linear | None = None

    def makers(self, teacher: Teacher | None) -> Makers:
        """See Method. The first call makes the projection, of as many features as the teacher has."""
        if not isinstance(teacher, FeatureTeacher):
            found = 'no teacher' if teacher is None else f'{type(teacher).__name__}, which has none'
            raise ValueError(f'{type(self).__name__} needs a teacher with features (FeatureFiles, or a network), got '
                             f'{found}: give one as data.teacher in the recipe')
        if self.projection is None:
            self.projection = nn.Linear(teacher.width, self.pseudo.out.out_features).to(self.device)
        return Makers(features=FeatureTargets(teacher, self.projecting, self.most, self.contrast.superpixels))

    def losses(self, batch: Batch, answer: Answer) -> dict[str, Tensor]:
        """See Method. The seed and the step draw the pairs, so that a training that is resumed draws the same."""
        state = np.random.SeedSequence((torch.initial_seed(), self.global_step)).generate_state(1, np.uint64)
        pairs = self.pairs(batch, answer, torch.Generator().manual_seed(int(state[0] >> 1)))
        return {'contrast': info_nce(pairs, self.contrast.temperature)}

    def pairs(self, batch: Batch, answer: Answer, generator: torch.Generator) -> Pairs:
        """Return at most `contrast.pairs` pairs of embeddings, of points in range that count."""
        targets, cut = batch.features, self.contrast.superpixels is not None
        voxel = answer.voxels.point_voxel[targets.index]
        rows = ((voxel >= 0) & (targets.weight > 0)).nonzero()[:, 0]
        if not cut:
            rows = rows[draw_apart(voxel[rows], self.contrast.pairs, generator)]
        tensor = answer.voxels.tensor.with_features(answer.features)
        points = self.pseudo.out(self.pseudo.hidden(tensor)[voxel[rows]], answer.voxels.backend)
        pairs = Pairs(points, self.projection(targets.values[rows]), targets.weight[rows])
        if not cut:
            return pairs
        # Targets of no point at all have no groups either.
        group = rows.new_empty(0) if targets.group is None else targets.group[rows]
        pairs = pooled(pairs, group)
        return pairs.at(draw(len(pairs), self.contrast.pairs, generator))

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Log how well points find their pixels, always among the same ones. Frames without pairs do not count."""
        pairs = self.pairs(batch, self.answer(batch), torch.Generator().manual_seed(batch_idx))
        shown = {'val/retrieval': retrieval(pairs).nan_to_num(0),
                 'val/loss': info_nce(pairs, self.contrast.temperature)}
        self.log_dict(shown, prog_bar=True, batch_size=len(pairs), sync_dist=True)
