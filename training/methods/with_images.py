# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""What methods share that look at images while they train: the image network, and its features at the points."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ros_kd.students.presets import StudentSpec
from training.frames.batches import Batch
from training.images.branch import ImageBranch
from training.images.looking import Looking
from training.images.network import ImageFeatures, sample
from training.methods import Answer, Optimisation
from training.methods.supervised import Supervised


@dataclass(frozen=True, eq=False)
class Seen:
    """The points in view and in range, M of them; one that two images show counts twice.

    rows: int64 [M], rows of the batch's points. voxels: int64 [M], of the student's voxels. maps: what the image
    network sees in the images. image: int64 [M], uv: float32 [M, 2], size: the pixels, see images.network.sample.
    """

    rows: Tensor
    voxels: Tensor
    maps: ImageFeatures
    image: Tensor
    uv: Tensor
    size: tuple[int, int]

    def at(self, maps: Tensor) -> Tensor:
        """Return [M, C] of maps [I, C, h, w] of the images."""
        return sample(maps, self.image, self.uv, self.size)


class WithImages(Supervised):
    """A method that is given 3D labels and images. What looks at images is `images`, beside the student.

    image: the image network. looking: what is shown to it.
    """

    def __init__(self, taxonomy: str, student: StudentSpec | str, optimisation: Optimisation, image: ImageBranch,
                 looking: Looking, lovasz: float, balance: float) -> None:
        super().__init__(taxonomy, student, optimisation, lovasz, balance)
        self.image, self.looking = image, looking
        self.images = image.build()

    def train(self, mode: bool = True) -> WithImages:
        """Set the mode; a frozen image network stays in evaluation: its statistics do not change either."""
        super().train(mode)
        if self.image.frozen:
            self.images.eval()
        return self

    def trained(self) -> list[tuple[float, list[Tensor]]]:
        """See Method; the image network learns at a share of its own."""
        together = super().trained()
        if self.image.frozen or self.image.rate == 1:
            return together
        images = [value for value in self.images.parameters() if value.requires_grad]
        own = {id(value) for value in images}
        return [*((share, [value for value in values if id(value) not in own]) for share, values in together),
                (self.image.rate, images)]

    def seen(self, batch: Batch, voxel: Tensor) -> Seen:
        """Look at the batch's images; without any, nothing is seen, with a gradient of 0 for the image network.

        voxel: int64 [sum N], the student's voxel of each of the batch's points, -1 for those without one.
        """
        looks = batch.images
        if looks is None:
            nothing = voxel.new_empty(0)
            return Seen(nothing, nothing, self._blank(), nothing, torch.empty(0, 2, device=voxel.device), (1, 1))
        voxels = voxel[looks.rows]
        inside = voxels >= 0
        return Seen(looks.rows[inside], voxels[inside], self.images(looks.images), looks.image[inside],
                    looks.uv[inside], tuple(looks.images.shape[2:]))

    def _blank(self) -> ImageFeatures:
        """Maps of no image, to which all parameters are tied: several processes wait for each other's gradients."""
        blank = torch.zeros(1, self.images.width, 1, 1, device=self.device)
        blank = sum((0 * own.sum() for own in self.images.parameters() if own.requires_grad), blank)
        return ImageFeatures((blank,) * len(self.images.encoder.channels), blank, None)


def labels_at(batch: Batch, answer: Answer, rows: Tensor) -> Tensor:
    """Return the labels int64 [M] of the batch's points int64 [M], -1 for those without one."""
    label = torch.full_like(answer.voxels.point_voxel, -1)
    label[batch.labels.index] = batch.labels.values.argmax(1)
    return label[rows]


def in_labelled_frames(batch: Batch, answer: Answer, rows: Tensor) -> Tensor:
    """Return bool [M]: which of the batch's points int64 [M] are of frames that have labels."""
    scan = answer.voxels.point_scan
    labelled = torch.zeros(len(batch.frames), dtype=torch.bool, device=scan.device)
    labelled[scan[batch.labels.index]] = True
    return labelled[scan[rows]]
