# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""A student that speaks the language of an image network: its adapted features meet that network's own classifier."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ros_kd.sparse import Backend, Linear, SparseTensor
from ros_kd.students.adapters import Adapter, AdapterSpec
from ros_kd.students.blocks import frozen_like
from ros_kd.students.voxels import VoxelBatch

UNTAUGHT = -8.0
"""Log-odds of a class that the image network does not know, against all that it knows: less than any of up to 2,900."""


class SharedHead(nn.Module):
    """The frozen linear classifier of an image network, answering in the student's classes (FSKD).

    The image network's classes that are one class of the student add their probabilities: its logit is the logsumexp of
    theirs. Classes that are none of the student's (sky) are dropped. A class c of the student that no class of the
    image network is gets u_c + UNTAUGHT + the logsumexp of all others, with u_c a linear layer of the features that is
    0 until it is fine-tuned with labels: it never wins before.
    """

    def __init__(self, spec: AdapterSpec, num_classes: int) -> None:
        """Raises ValueError if a class is out of range, or if all classes are none of the student's."""
        super().__init__()
        members = [[k for k, own in enumerate(spec.classes) if own == c] for c in range(num_classes)]
        if not any(members) or max(spec.classes) >= num_classes:
            raise ValueError(f'a shared classifier whose classes are {list(spec.classes)} of the student: expected '
                             f'some of 0..{num_classes - 1}, and -1 for the others')
        self.classifier = Linear(spec.width, len(spec.classes)).requires_grad_(False)
        reached = [c for c, own in enumerate(members) if own]
        others = [c for c, own in enumerate(members) if not own]
        self.others = Linear(spec.width, len(others)) if others else None
        if others:
            nn.init.zeros_(self.others.weight), nn.init.zeros_(self.others.bias)
        self.reached, self.sizes = tuple(reached), tuple(len(members[c]) for c in reached)
        self.register_buffer('sorted', torch.tensor([k for c in reached for k in members[c]]), persistent=False)
        place = {c: i for i, c in enumerate([*reached, *others])}
        self.register_buffer('place', torch.tensor([place[c] for c in range(num_classes)]), persistent=False)

    def logits(self, features: Tensor, backend: Backend) -> Tensor:
        """Return [V, K] in the image network's classes for features [V, width]."""
        return self.classifier(features, backend)

    def joined(self, logits: Tensor, others: Tensor | None) -> Tensor:
        """Return [V, C] in the student's classes for logits [V, K]. others: u of the classes without one, [V, C']."""
        logits = logits[:, self.sorted]
        reached = logits
        if any(size > 1 for size in self.sizes):
            reached = torch.stack([part.logsumexp(1) for part in logits.split(self.sizes, 1)], 1)
        if others is None:
            return reached[:, self.place]
        known = reached.logsumexp(1, keepdim=True)
        return torch.cat([reached, others + (known + UNTAUGHT)], 1)[:, self.place]

    def forward(self, features: Tensor, backend: Backend) -> Tensor:
        """Return [V, C] in the student's classes for features [V, width]."""
        return self.joined(self.logits(features, backend),
                           None if self.others is None else self.others(features, backend))


class AdaptedStudent(nn.Module):
    """A student, an adapter, and the head that classifies the adapter's features: used as any other student.

    channels: of `features`, the image network's. level_channels: of the student's `levels`.
    """

    def __init__(self, student: nn.Module, spec: AdapterSpec, num_classes: int) -> None:
        """Take the student without its head. Raises ValueError if the specification's classes do not fit."""
        super().__init__()
        self.base, self.adapter = student, Adapter(student.channels, spec)
        self.base.head = nn.Identity()
        self.head = SharedHead(spec, num_classes) if spec.classes else Linear(spec.width, num_classes)
        self.channels, self.level_channels, self.num_classes = spec.width, student.level_channels, num_classes
        self.folded: Linear | None = None

    def levels(self, batch: VoxelBatch) -> tuple[SparseTensor, ...]:
        """Return the student's levels."""
        return self.base.levels(batch)

    def features_of(self, levels: tuple[SparseTensor, ...], batch: VoxelBatch) -> Tensor:
        """Return the features [V, channels] that the head classifies, as `features`, from the student's levels."""
        return self.adapter(batch.tensor.with_features(self.base.features_of(levels, batch)))

    def features(self, batch: VoxelBatch) -> Tensor:
        """Return the features [V, channels] that the head classifies, one row for each voxel of the batch."""
        return self.adapter(batch.tensor.with_features(self.base.features(batch)))

    def forward(self, batch: VoxelBatch) -> Tensor:
        """Return logits [V, num_classes], one row for each voxel of the batch."""
        if self.folded is None:
            return self.head(self.features(batch), batch.backend)
        hidden = self.adapter.hidden(batch.tensor.with_features(self.base.features(batch)))
        logits = self.folded(hidden, batch.backend)
        if not isinstance(self.head, SharedHead):
            return logits
        known = self.head.classifier.out_features
        return self.head.joined(logits[:, :known], None if self.head.others is None else logits[:, known:])

    def fold(self) -> None:
        """Take the adapter's last layer into the head's, for `forward`: an image network's features are many."""
        layers = [self.head] if isinstance(self.head, Linear) else [self.head.classifier, self.head.others]
        weight, bias = (torch.cat([getattr(layer, name).detach().double() for layer in layers if layer is not None])
                        for name in ('weight', 'bias'))
        last = self.adapter.out
        self.folded = Linear(last.in_features, len(weight))
        self.folded.weight = frozen_like(weight @ last.weight.double(), last.weight)
        self.folded.bias = frozen_like(bias + weight @ last.bias.double(), last.bias)
