# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""Confidences that mean what they say: the temperature that logits are divided by (Guo et al. 2017)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from ros_kd.datasets import open_dataset
from ros_kd.students.checkpoint import CheckpointInfo
from ros_kd.taxonomy import IGNORE, Taxonomy
from training.frames.targets import truth
from training.scores.metrics import Calibration

COLDEST, HOTTEST = 0.05, 20.0
PER_FRAME = 8192
_GOLDEN = (5 ** 0.5 - 1) / 2


@dataclass(frozen=True)
class Calibrated:
    """temperature: to divide logits by. before, after: expected calibration error without and with it. points: seen."""

    temperature: float
    before: float
    after: float
    points: int


class TemperatureFit:
    """Collects answers and truths of points, at most 8192 of a frame, and finds the temperature."""

    def __init__(self, taxonomy: Taxonomy) -> None:
        self._used = torch.tensor([i for i, name in enumerate(taxonomy.names) if name is not None])
        self._logits: list[Tensor] = []
        self._target: list[Tensor] = []

    def add(self, logits: Tensor, target: Tensor) -> None:
        """Take logits [M, K] and the probabilities of the true class [M, K] of a frame's points."""
        chosen = torch.linspace(0, len(logits) - 1, min(len(logits), PER_FRAME)).long().to(logits.device)
        self._logits.append(logits[chosen].detach().float().cpu()[:, self._used])
        self._target.append(target[chosen].float().cpu()[:, self._used])

    def fit(self) -> Calibrated | None:
        """Return the temperature of the least mean cross-entropy, None without points.

        The cross-entropy is convex in 1 / temperature, so that a golden-section search finds its minimum.
        """
        logits, target = (torch.cat(parts) if parts else torch.empty(0, 1) for parts in (self._logits, self._target))
        if not len(logits):
            return None
        low, high = np.log(COLDEST), np.log(HOTTEST)
        while high - low > 1e-3:
            width = _GOLDEN * (high - low)
            if _cross_entropy(logits, target, high - width) < _cross_entropy(logits, target, low + width):
                high = low + width
            else:
                low = high - width
        temperature = round(float(np.exp((low + high) / 2)), 4)
        return Calibrated(temperature, _error(logits, target), _error(logits / temperature, target), len(logits))


def _cross_entropy(logits: Tensor, target: Tensor, log_temperature: float) -> float:
    return -float((target * (logits / np.exp(log_temperature)).log_softmax(1)).sum(1).mean())


def _error(logits: Tensor, target: Tensor) -> float:
    confidence, label = logits.softmax(1).max(1)
    calibration = Calibration.empty()
    calibration.add(target.argmax(1).numpy(), label.numpy(), confidence.numpy())
    return calibration.error


def one_hot(label: np.ndarray, classes: int) -> tuple[Tensor, Tensor]:
    """Return the rows int64 [M] of labels uint8 [N] that are known, and float32 [M, classes]."""
    rows = torch.from_numpy(np.nonzero(label != IGNORE)[0])
    return rows, nn.functional.one_hot(torch.from_numpy(label).long()[rows], classes).float()


@torch.inference_mode()
def calibrate(student: nn.Module, info: CheckpointInfo, datasets: list[str]) -> Calibrated:
    """Fit the temperature of a student, on the CPU, to the 3D labels of datasets given by specification.

    Raises DatasetError, or ValueError if there are no labels.
    """
    fit = TemperatureFit(info.taxonomy)
    for specification in datasets:
        for frame in open_dataset(specification):
            label = truth(frame, info.taxonomy)
            if label is None:
                raise ValueError(f'frame {frame.key} of {specification} has no 3D labels to calibrate with')
            batch = info.inputs.prepare([frame.scan])
            label[(batch.point_voxel < 0).numpy()] = IGNORE
            rows, target = one_hot(label, len(info.taxonomy))
            fit.add(student.eval()(batch)[batch.point_voxel[rows]], target)
    found = fit.fit()
    if found is None:
        raise ValueError(f'no labelled points in range to calibrate with in {datasets}')
    return found
