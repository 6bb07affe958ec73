# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""PointPainting (Vora et al. 2020): cameras are needed at run time, too. What 2DPASS is to be compared with."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Sequence

import torch

from ros_kd.frames import PairedFrame
from ros_kd.students import build_student
from ros_kd.students.presets import StudentSpec, student_spec
from ros_kd.students.voxels import VoxelBatch
from training.frames.batches import Batch, PointTargets
from training.frames.projected import ClassTargets, Projecting
from training.frames.targets import LabelTargets, Makers, TargetMaker, Targets
from training.methods import Optimisation
from training.methods.supervised import Supervised
from training.teachers import Teacher, needed


@dataclass(frozen=True)
class OwnViews:
    """Targets from a frame's own cameras: what a vehicle would know at that moment, whatever training could."""

    maker: TargetMaker

    @property
    def identity(self) -> str:
        """See TargetMaker."""
        return f'{self.maker.identity}, own views'

    @property
    def width(self) -> int:
        """See TargetMaker."""
        return self.maker.width

    def __call__(self, frame: PairedFrame, others: Sequence[PairedFrame] = ()) -> Targets:
        """See TargetMaker."""
        return self.maker(frame)


class PointPainting(Supervised):
    """Learns 3D labels from points that carry, beside their columns, the scores of a frozen image network's classes at
    their pixels, 0 where no camera sees them. Such a student has more input channels: without cameras it cannot run.

    projecting: how images are looked up; scores are neither left out nor made less where the network is in doubt.
    """

    cameras = True

    def __init__(self, taxonomy: str, student: StudentSpec | str = 'fast',
                 optimisation: Optimisation = Optimisation(),
                 projecting: Projecting = Projecting(mapped=0.0, doubt=0.0),
                 lovasz: float = 1.0, balance: float = 1 / 3) -> None:
        spec = student_spec(student)
        super().__init__(taxonomy, spec, optimisation, lovasz, balance)
        self.projecting = projecting
        channels = len(spec.inputs.columns) + len(self.taxonomy)
        self.student = build_student(spec.architecture, channels, len(self.taxonomy), spec.width)

    def makers(self, teacher: Teacher | None) -> Makers:
        """See Method."""
        teacher = needed(teacher, 'painting points needs a teacher')
        scores = OwnViews(ClassTargets(teacher, self.taxonomy, self.projecting))
        return Makers(LabelTargets(self.taxonomy), scores)

    def voxels(self, batch: Batch) -> VoxelBatch:
        """Return the batch with painted points."""
        return painted(super().voxels(batch), batch.classes)


def painted(voxels: VoxelBatch, scores: PointTargets) -> VoxelBatch:
    """Return the batch with the scores [M, K] of some points, times their weights, as further columns."""
    paint = torch.zeros(len(voxels.point_voxel), scores.values.shape[1], device=voxels.points.device)
    paint[scores.index] = scores.values * scores.weight[:, None]
    points = torch.cat([voxels.points, paint[voxels.point_voxel >= 0]], 1)
    means = voxels.backend.mean(points, voxels.voxels)
    return replace(voxels, points=points, tensor=voxels.tensor.with_features(means))
