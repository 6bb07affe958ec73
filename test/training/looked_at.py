# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Small batches with images, and methods that learn from them for a few steps."""

from __future__ import annotations

from dataclasses import replace
from typing import Sequence

import numpy as np
import torch
from streets import BUILDING, street
from torch import Tensor

from ros_kd.frames import PairedFrame
from ros_kd.images import RawPixels
from ros_kd.students.inputs import InputSpec
from ros_kd.students.presets import StudentSpec
from training.frames.augmentation import Sample
from training.frames.batches import Batch
from training.frames.targets import Knowledge, Targets
from training.images.backbone import ResNetSpec
from training.images.branch import ImageBranch
from training.images.looking import Looking, look_all
from training.methods import Method
from training.teachers import Teacher
from training.teachers.frame_labels import FrameLabels

TINY = ImageBranch(ResNetSpec((1, 1, 1, 1), (8, 8, 16, 16), stem=8), width=8)
LOOKING = Looking((48, 64), jitter=0, flip=False)
INPUTS = InputSpec(0.5, (-20, -20, -4), (20, 20, 4), ('z', 'intensity', 'dx', 'dy', 'dz'))
ARCHITECTURES = ('minkunet14', 'spvcnn', 'twodpass64', 'twodpass128')


def student(architecture: str = 'minkunet14') -> StudentSpec:
    """A narrow student."""
    return StudentSpec(architecture, 0.125, INPUTS)


def coloured(seed: int) -> PairedFrame:
    """A street whose image shows what is what: road is dark, buildings are bright."""
    frame = street(seed)
    view = frame.views[0]
    image = np.repeat(np.where(view.labels() == BUILDING, 220, 40).astype(np.uint8)[..., None], 3, 2)
    return replace(frame, views=(replace(view, pixels=RawPixels(image)),))


def batch_of(method: Method, seeds: Sequence[int], unlabelled: Sequence[int] = (), teacher: Teacher | None = None,
             images: bool = True) -> Batch:
    """Frames as the method would be given them: streets of `seeds`, and of `unlabelled` without their 3D labels."""
    makers = method.makers(teacher or FrameLabels('cityscapes'))
    samples = []
    for seed in [*seeds, *unlabelled]:
        frame = coloured(seed)
        known = {kind: None if maker is None else maker(frame) for kind, maker in vars(makers).items()}
        if known['labels'] is not None and seed in unlabelled:
            known['labels'] = Targets.none(makers.labels.width)
        looks = look_all(frame, method.looking) if images and method.looking is not None else ()
        samples.append(Sample(frame, Knowledge(**known), looks))
    return Batch.of(samples)


def learn(method: Method, batch: Batch, steps: int = 12) -> list[float]:
    """Return the loss before each of so many steps."""
    optimizer = torch.optim.AdamW([value for value in method.parameters() if value.requires_grad], 5e-3)
    method.train()
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        total = sum(method.losses(batch, method.answer(batch)).values())
        total.backward()
        optimizer.step()
        losses.append(float(total.detach()))
    return losses


def gradients(method: Method, loss: Tensor) -> dict[str, float]:
    """Return the largest gradient of each parameter that the loss reaches, whatever its size."""
    names, values = zip(*((name, value) for name, value in method.named_parameters() if value.requires_grad))
    found = torch.autograd.grad(loss, values, allow_unused=True, retain_graph=True)
    return {name: float(value.abs().max()) for name, value in zip(names, found) if value is not None}
