# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""2DPASS (Yan et al. 2022): 3D labels, and images that help while training; the student runs on LiDAR alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from ros_kd.sparse import SparseTensor
from ros_kd.students.cells import cells
from ros_kd.students.presets import StudentSpec
from training.frames.batches import Batch
from training.images.branch import ImageBranch
from training.images.looking import Looking
from training.losses.divergence import kl_divergence, kl_divergence_per_entry
from training.methods import Answer, Optimisation
from training.methods.fusion_scales import (
    FusionScale, ImageOnly, ReleasedScale, ScaleAnswer, WithoutLearner, classifier, majority)
from training.methods.with_images import Seen, WithImages, in_labelled_frames, labels_at

PARTS: dict[str, type[nn.Module]] = {'kl': ImageOnly, 'fusion': WithoutLearner, 'learner': FusionScale}


@dataclass(frozen=True, eq=False)
class _Scale:
    """One scale's answer. level: int64 [V], the row of each of the student's voxels in its level of `size` voxels."""

    answer: ScaleAnswer
    level: Tensor
    size: int


class TwoDPASS(WithImages):
    """Fusion-to-single knowledge distillation at every scale (MSFSKD), as the paper has it. With S(f) the segmentation
    loss (cross-entropy + Lovász) of the scores f, and L scales,

        S(student) + sum_l S(3D_l) + 1/L sum_l S(2D3D_l) + S(all 2D3D) + divergence/L sum_l KL(2D3D_l || 3D_l)

    where the KL's gradient goes through the 3D side only (eq. 7). See fusion_scales.FusionScale for the scales.

    The student's finest level meets the image's finest scale and so on; further levels meet its coarsest one.
    parts: how much of it, as the rows of the paper's ablation: "kl" (the image's own scores teach), "fusion", "learner"
    (all). hidden: channels of its layers. divergence: weight of the KL. unlabelled: frames without 3D labels take part
    in the KL: the fused classifiers, trained on labelled ones, teach there, too. Two terms beyond the paper:
    auxiliary: weight of all S but the student's own, which coarse voxels can make outweigh it; 1: as in the paper.
    consistency: weight of KL(all 2D3D || student) at the points in view of frames without labels, so that the exported
    head learns there, too; 0: none. Further ones: see WithImages.
    """

    def __init__(self, taxonomy: str, student: StudentSpec | str = 'fast',
                 optimisation: Optimisation = Optimisation(), image: ImageBranch = ImageBranch(),
                 looking: Looking = Looking(), parts: Literal['kl', 'fusion', 'learner'] = 'learner', hidden: int = 64,
                 divergence: float = 0.05, lovasz: float = 1.0, balance: float = 1 / 3, unlabelled: bool = True,
                 auxiliary: float = 1.0, consistency: float = 0.0) -> None:
        super().__init__(taxonomy, student, optimisation, image, looking, lovasz, balance)
        self.divergence, self.auxiliary, self.consistency = divergence, auxiliary, consistency
        self.learns_without_labels = unlabelled
        channels, classes = self.student.level_channels, len(self.taxonomy)
        self.scales = nn.ModuleList(self.scale(parts)(own, self.images.width, classes, hidden) for own in channels)
        width = hidden * len(channels)
        self.together = classifier(width, classes)

    def scale(self, parts: str) -> type[nn.Module]:
        """Return the module of one scale. Raises ValueError naming the parts that there are."""
        if parts not in PARTS:
            raise ValueError(f'2DPASS with parts "{parts}": expected one of {list(PARTS)}')
        return PARTS[parts]

    def losses(self, batch: Batch, answer: Answer) -> dict[str, Tensor]:
        """Return the terms of the sum above."""
        seen = self.seen(batch, answer.voxels.point_voxel)
        scales = self.fused(answer, seen)
        label = labels_at(batch, answer, seen.rows)
        known = label >= 0
        label = label[known]
        together = self.together(torch.cat([scale.answer.features for scale in scales], 1))
        fused = sum(self.segmentation(scale.answer.fused[known], label) for scale in scales)
        divergence = self._divergence(scales, batch, answer, seen)
        return {'labels': self.supervision(batch, answer),
                'lidar': self.auxiliary * self.lidar_loss(scales, batch, answer),
                'fused': self.auxiliary / len(scales) * fused,
                'together': self.auxiliary * self.segmentation(together[known], label),
                'divergence': self.divergence / len(scales) * divergence,
                **self._consistency(together, batch, answer, seen)}

    def fused(self, answer: Answer, seen: Seen) -> list[_Scale]:
        """Return the answers of all scales, finest first."""
        rows = {level.stride: _rows(level, answer) for level in answer.levels}
        found = []
        order = sorted(range(len(answer.levels)), key=lambda i: answer.levels[i].stride)
        for place, i in enumerate(order):
            level, voxels = answer.levels[i], rows[answer.levels[i].stride]
            image = seen.at(seen.maps.scales[min(place, len(seen.maps.scales) - 1)])
            said = self.scales[i](level.features, voxels[seen.voxels], image)
            found.append(_Scale(said, voxels, len(level)))
        return found

    def lidar_loss(self, scales: list[_Scale], batch: Batch, answer: Answer) -> Tensor:
        """Return sum_l S(3D_l) over the labelled points, which have the scores of their voxel of the scale."""
        labelled = self.labelled(batch, answer)
        return sum(self.segmentation.at(scale.answer.lidar, labelled.at(scale.level)) for scale in scales)

    def agreement(self, fused: Tensor, lidar: Tensor) -> Tensor:
        """Return KL(fused || lidar) of logits [M, K], the mean over the points (eq. 7)."""
        return kl_divergence(teacher_logits=fused.float(), student_logits=lidar.float())

    def _consistency(self, together: Tensor, batch: Batch, answer: Answer, seen: Seen) -> dict[str, Tensor]:
        if not self.consistency:
            return {}
        others = ~in_labelled_frames(batch, answer, seen.rows)
        student = answer.logits[seen.voxels[others]].float()
        divergence = kl_divergence(teacher_logits=together[others].float(), student_logits=student)
        return {'consistency': self.consistency * divergence}

    def _divergence(self, scales: list[_Scale], batch: Batch, answer: Answer, seen: Seen) -> Tensor:
        if self.learns_without_labels:
            taught = slice(None)
        else:
            taught = in_labelled_frames(batch, answer, seen.rows)
        voxels = seen.voxels[taught]
        return sum(self.agreement(scale.answer.fused[taught], scale.answer.lidar[scale.level[voxels]])
                   for scale in scales)


class ReleasedTwoDPASS(TwoDPASS):
    """2DPASS as its code was released, where that differs from the paper: the fused features are without F2D's
    residual, F3D without the learner's; the KL is averaged over points and classes, so that its weight counts a K-th;
    the 3D classifiers learn from their voxels' majority labels. lovasz: 0.1 for SemanticKITTI, 1 for nuScenes.
    """

    def __init__(self, taxonomy: str, student: StudentSpec | str = 'fast',
                 optimisation: Optimisation = Optimisation(), image: ImageBranch = ImageBranch(),
                 looking: Looking = Looking(), hidden: int = 64, divergence: float = 0.05, lovasz: float = 0.1,
                 balance: float = 1 / 3, unlabelled: bool = True) -> None:
        super().__init__(taxonomy, student, optimisation, image, looking, 'learner', hidden, divergence, lovasz,
                         balance, unlabelled)

    def scale(self, parts: str) -> type[nn.Module]:
        """Return the released one."""
        return ReleasedScale

    def lidar_loss(self, scales: list[_Scale], batch: Batch, answer: Answer) -> Tensor:
        """Return sum_l S(3D_l) over the voxels of each scale that have a majority label."""
        points = torch.arange(len(answer.voxels.point_voxel), device=self.device)
        points = points[in_labelled_frames(batch, answer, points)]
        voxels, inside = answer.rows(points)
        label, total = labels_at(batch, answer, points[inside]), 0
        for scale in scales:
            chosen, own = majority(scale.level[voxels], label, scale.size)
            total = total + self.segmentation(scale.answer.lidar[chosen], own)
        return total

    def agreement(self, fused: Tensor, lidar: Tensor) -> Tensor:
        """Return KL(fused || lidar), the mean over points and classes."""
        return kl_divergence_per_entry(teacher_logits=fused.float(), student_logits=lidar.float())


def _rows(level: SparseTensor, answer: Answer) -> Tensor:
    """Return int64 [V]: the voxel of the level that each of the student's voxels lies in."""
    voxels = answer.voxels.tensor
    if level.stride == voxels.stride:
        return torch.arange(len(voxels), device=voxels.keys.device)
    return cells(voxels.geometry, voxels.stride, level.stride).index
