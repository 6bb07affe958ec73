# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""Frames, what is known of their points, and images, as tensors for a training step."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Sequence

import numpy as np
import torch
from torch import Tensor

from ros_kd.frames import PairedFrame
from ros_kd.taxonomy import IGNORE
from training.frames.augmentation import Sample
from training.frames.targets import Targets, join_targets
from training.images.looking import ImageBatch


@dataclass(frozen=True, eq=False)
class PointTargets:
    """Targets of the points of a batch (see targets.Targets).

    index: int64 [M], rows of all frames' points one after the other. values: float32 [M, D]. weight: float32 [M].
    group: int64 [M], unique within the batch, or None.
    """

    index: Tensor
    values: Tensor
    weight: Tensor
    group: Tensor | None = None

    @classmethod
    def of(cls, targets: Sequence[Targets], points: Sequence[int]) -> PointTargets:
        """Join the targets of frames with so many points."""
        joined = join_targets(targets, points)
        group = None if joined.group is None else torch.from_numpy(joined.group.astype(np.int64))
        return cls(torch.from_numpy(joined.index), torch.from_numpy(joined.values.astype(np.float32)),
                   torch.from_numpy(joined.weight.astype(np.float32)), group)

    def __len__(self) -> int:
        return len(self.index)

    def hard(self, points: int) -> np.ndarray:
        """Return uint8 [points], the likeliest class, IGNORE for points of which nothing is known."""
        label = np.full(points, IGNORE, np.uint8)
        label[self.index.cpu().numpy()] = self.values.argmax(1).cpu().numpy()
        return label

    def to(self, device: torch.device | str) -> PointTargets:
        """Return them on another device."""
        return PointTargets(*(None if tensor is None else tensor.to(device)
                              for tensor in (self.index, self.values, self.weight, self.group)))


@dataclass(frozen=True, eq=False)
class Batch:
    """Frames and what the method asked to know of them: see targets.Knowledge, and Looking for images.

    None is what was not asked; labels without rows are those of frames that have none.
    """

    frames: tuple[PairedFrame, ...]
    labels: PointTargets | None = None
    classes: PointTargets | None = None
    features: PointTargets | None = None
    images: ImageBatch | None = None

    @classmethod
    def of(cls, samples: Sequence[Sample]) -> Batch:
        """Join samples."""
        points = [len(sample.frame.scan) for sample in samples]

        def joined(name: str) -> PointTargets | None:
            parts = [getattr(sample.known, name) for sample in samples]
            return None if parts[0] is None else PointTargets.of(parts, points)

        return cls(tuple(sample.frame for sample in samples), joined('labels'), joined('classes'), joined('features'),
                   ImageBatch.of([sample.looks for sample in samples], points))

    def to(self, device: torch.device | str) -> Batch:
        """Return the batch with all but its frames on another device; scans become voxels there."""
        moved = {name: value.to(device) for name, value in vars(self).items() if hasattr(value, 'to')}
        return replace(self, **moved)
