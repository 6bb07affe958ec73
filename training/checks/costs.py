# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""What a training takes: memory of a step, of the frames, of the cache, and time."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import Iterator, Sequence

import numpy as np
import torch

from ros_kd.frames import Scan
from training.checks import Check, Grade, Part, size
from training.checks.teaching import Answers
from training.frames.cache import free_space
from training.frames.data import Frames
from training.methods import Method

_SAMPLE = 10_000  # voxels that a step is measured with
_STATE = 16  # bytes of a parameter: itself, its gradient and two moments of AdamW, float32
_SPARE = 0.85  # of the memory; the rest is for what is not measured


@dataclass(frozen=True)
class StepCost:
    """A training step of the student alone. fixed: bytes of weights and optimiser. scan: bytes that are kept of one
    scan for the backward pass, in float32. voxels: of a scan. seconds: for one scan, here, without a GPU."""

    fixed: float
    scan: float
    voxels: int
    seconds: float

    def bytes(self, batch: int) -> float:
        """Return the bytes of a step with so many scans."""
        return self.fixed + batch * self.scan

    def fits(self, memory: float) -> int:
        """Return the largest batch for so many bytes."""
        return max(int((_SPARE * memory - self.fixed) / max(self.scan, 1)), 0)


def measure(method: Method, scan: Scan) -> StepCost:
    """Run the student forwards and backwards on a sector of a scan, and scale to all of its voxels."""
    inputs = method.spec.inputs
    voxels = len(inputs.prepare([scan]).tensor)
    part = _sector(scan, min(_SAMPLE / max(voxels, 1), 1))
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor
    student = method.student.train()
    weights = {parameter.untyped_storage().data_ptr() for parameter in student.parameters()}
    seconds = float('inf')
    for _ in range(3):  # libraries are loaded the first time, others may be at work the next
        kept.clear()
        batch, began = inputs.prepare([part]), time.monotonic()
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            features = student.features_of(student.levels(batch), batch)
            logits = student.head(features, batch.backend)
        logits.float().square().mean().backward()
        seconds = min(seconds, time.monotonic() - began)
        student.zero_grad(set_to_none=True)
    scale = voxels / max(len(batch.tensor), 1)
    saved = sum(count for place, count in kept.items() if place not in weights)
    parameters = sum(parameter.numel() for parameter in method.parameters())
    return StepCost(_STATE * parameters, scale * saved, voxels, scale * seconds)


def _sector(scan: Scan, share: float) -> Scan:
    """Return a sector of a scan with about `share` of its points: as dense as the whole."""
    if share >= 1:
        return scan
    azimuth = np.arctan2(scan.points[:, 1], scan.points[:, 0])
    with np.errstate(invalid='ignore'):
        return scan.only(azimuth <= np.nanquantile(azimuth, share))


def check_step(method: Method, data: Frames, parts: Sequence[Part]) -> Iterator[Check]:
    """Judge the memory of a step, and which batch would fit."""
    scans = sorted((frame.scan for part in parts for frame in part.frames if len(frame.scan)), key=len)
    if not scans:
        return
    cost = measure(method, scans[len(scans) // 2])
    others = '' if method.looking is None else '; the images that the method looks at come on top'
    yield Check('memory of a step', Grade.OK, f'at least {size(cost.bytes(data.batch_size))} for a batch of '
                f'{data.batch_size} with {cost.voxels} voxels each, the student alone in float32{others}')
    gpu = torch.cuda.is_available()
    memory = torch.cuda.get_device_properties(0).total_memory if gpu else available_memory()
    fits, where = cost.fits(memory), torch.cuda.get_device_name(0) if gpu else 'no GPU'
    enough = fits >= data.batch_size
    found = f'{where}, {size(memory)}{"" if gpu else " of memory"}: batches of up to about {fits} scans fit'
    if not gpu:
        found += f'; a step takes about {cost.seconds * data.batch_size:.1f} s'
    advice = '' if enough else (f'--data.batch_size {max(fits, 1)} --trainer.accumulate_grad_batches '
                                f'{-(-data.batch_size // max(fits, 1))}, or larger voxels')
    grade = Grade.PROBLEM if fits == 0 else Grade.OK if enough and gpu else Grade.WARNING
    yield Check('device', grade, found, advice or ('' if gpu else 'a GPU is faster by far'))


def check_keeping(data: Frames, parts: Sequence[Part], answers: Sequence[Answers], images: bool) -> Iterator[Check]:
    """Judge where frames and targets are kept: memory, or the cache's disk."""
    frames = sum(part.count for part in parts)
    looked = sum(len(part) for part in parts)
    if not looked:
        return
    if answers and answers[0].asked:
        each = sum(answer.seconds for answer in answers) / looked
        yield Check('teacher\'s time', Grade.OK, f'about {_duration(each * frames)} for {frames} frames on this '
                    'machine, once')
    targets = frames * sum(answer.bytes for answer in answers)
    if data.cache is None:
        needed = targets + frames / looked * sum(_kept(frame, images) for part in parts for frame in part.frames)
        free = available_memory()
        tight = needed > _SPARE * free
        yield Check('memory of the frames', Grade.PROBLEM if tight else Grade.OK, f'about {size(needed)} for {frames} '
                    f'frames without a cache; {size(free)} available', '--data.cache DIR keeps them on disk'
                    if tight else '')
        return
    free = free_space(data.cache)
    full = targets > free
    yield Check('cache', Grade.PROBLEM if full else Grade.OK, f'about {size(targets)} for {frames} frames; '
                f'{size(free)} free at {data.cache}', 'choose another disk (--data.cache DIR)' if full else '')


def available_memory() -> float:
    """Return bytes that programs can have without swapping."""
    try:
        with open('/proc/meminfo', encoding='ascii') as file:
            return 1024.0 * next(int(line.split()[1]) for line in file if line.startswith('MemAvailable'))
    except (OSError, StopIteration):
        return float(os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES'))


def _kept(frame: object, images: bool) -> int:
    """Bytes of a frame in memory."""
    scan = frame.scan
    columns = sum(column.nbytes for column in (scan.points, scan.intensity, scan.time, scan.ring, scan.label)
                  if column is not None)
    return columns + (sum(3 * view.camera.width * view.camera.height for view in frame.views) if images else 0)


def _duration(seconds: float) -> str:
    return f'{seconds / 3600:.1f} h' if seconds > 5400 else f'{seconds / 60:.0f} min' if seconds > 90 else \
        f'{seconds:.0f} s'
