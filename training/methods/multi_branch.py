# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""Multi-branch fusion: an image and a LiDAR network, joined at the head. Cameras are needed at run time, too."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from ros_kd.students.presets import StudentSpec
from training.frames.batches import Batch
from training.images.branch import ImageBranch
from training.images.looking import Looking
from training.methods import Answer, Optimisation
from training.methods.fusion_scales import classifier
from training.methods.with_images import Seen, WithImages


class MultiBranch(WithImages):
    """Learns 3D labels from the student's features, concatenated with the mean of the image's features over the points
    of the voxel that are in view and with the share of its points that are: 0 and 0 where no camera sees any.

    hidden: channels of the joint head. Further ones: see WithImages.
    """

    cameras = True

    def __init__(self, taxonomy: str, student: StudentSpec | str = 'fast',
                 optimisation: Optimisation = Optimisation(), image: ImageBranch = ImageBranch(),
                 looking: Looking = Looking(cameras=0), hidden: int = 128, lovasz: float = 1.0,
                 balance: float = 1 / 3) -> None:
        super().__init__(taxonomy, student, optimisation, image, looking, lovasz, balance)
        self.student.head.requires_grad_(False)  # the joint one answers instead
        self.joint = classifier(self.student.channels + self.images.width + 1, len(self.taxonomy), hidden)

    def answer(self, batch: Batch) -> Answer:
        """Run both branches and the joint head."""
        answer = super().answer(batch)
        joined = torch.cat([answer.features, self._in_voxels(batch, answer)], 1)
        return replace(answer, logits=self.joint(joined).float())

    def _in_voxels(self, batch: Batch, answer: Answer) -> Tensor:
        """Return [V, C + 1], the image's features and the share of points in view."""
        seen: Seen = self.seen(batch, answer.voxels.point_voxel)
        features = seen.at(seen.maps.fused)
        size = len(answer.features)
        total = features.new_zeros(size, features.shape[1]).index_add(0, seen.voxels, features)
        looks = torch.bincount(seen.voxels, minlength=size)
        rows = seen.rows.unique()  # overlapping images show a point twice
        points = torch.bincount(answer.voxels.point_voxel[rows], minlength=size)
        share = points / answer.voxels.voxels.count
        return torch.cat([total / looks.clamp(min=1)[:, None], share[:, None].to(total.dtype)], 1)
