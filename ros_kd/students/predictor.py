# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Cloud in, labels out."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from threading import Lock
from time import perf_counter

import numpy as np
import torch
from torch import Tensor, nn

from ros_kd.frames import Scan
from ros_kd.memory import keep_freed_memory
from ros_kd.sparse import choose_backend
from ros_kd.students.checkpoint import CheckpointError, CheckpointInfo, load_checkpoint
from ros_kd.students.folding import fold
from ros_kd.students.inputs import InputSpec
from ros_kd.students.nearest import nearest_logits
from ros_kd.students.turning import turns

PRECISIONS = ('auto', 'float32', 'bfloat16')


@dataclass(frozen=True)
class StageTimes:
    """Seconds of a prediction. prepare: from the scan to voxels. network: the student, kernel maps included. assign:
    from logits to labels of points, those out of range included."""

    prepare: float = 0.0
    network: float = 0.0
    assign: float = 0.0


@dataclass(frozen=True, eq=False)
class Prediction:
    """label: uint8 [N], class ids. confidence: float32 [N], the label's probability; 0 where there is no point."""

    label: np.ndarray
    confidence: np.ndarray
    times: StageTimes = StageTimes()


@dataclass(frozen=True, eq=False)
class _View:
    """One view of a scan: its points float32 [N, 3], their voxels (see VoxelBatch), those voxels' keys and logits."""

    points: np.ndarray
    point_voxel: Tensor
    keys: Tensor
    logits: Tensor


class Predictor:
    """A student ready to run.

    info: what its checkpoint says. device: where it runs. backend: of its sparse convolutions. precision: of its
    weights and features, "float32" or "bfloat16". tta: the number of views that probabilities are averaged over.
    """

    def __init__(self, student: nn.Module, info: CheckpointInfo, device: torch.device | str = 'auto',
                 backend: str = 'auto', precision: str = 'auto', tta: int = 1) -> None:
        """Take a copy of the student, with its batch normalisations folded, to `device` ("auto": the GPU if any).

        backend: see sparse.choose_backend. precision: "auto" is bfloat16 where the backend says that the processor
        multiplies it faster. tta: test-time augmentation, see turning.turns. Raises ValueError for what is not there.
        """
        if tta < 1:
            raise ValueError(f'tta {tta}: expected the number of views to average over, 1 or more')
        self.info = info
        self.device = chosen_device(device)
        self.backend = choose_backend(self.device, backend)
        self.precision = _precision(precision, getattr(self.backend, 'bfloat16_in_hardware', False))
        self.tta = tta
        if self.device.type == 'cpu':
            keep_freed_memory()
        self._turns = turns(tta)
        self._dtype = getattr(torch, self.precision)
        self._student = fold(student).to(self.device, self._dtype)
        self._offset = torch.tensor([0.0 if i in info.answers else -torch.inf for i in range(len(info.taxonomy))],
                                    device=self.device)
        self._lock = Lock()

    @classmethod
    def load(cls, path: str | os.PathLike, device: torch.device | str = 'auto', backend: str = 'auto',
             precision: str = 'auto', tta: int = 1) -> Predictor:
        """Read a checkpoint and run it once, so that the first scan does not wait for packed weights or GPU kernels.

        Raises CheckpointError, also for a backbone, or ValueError for a device or backend that is not there.
        """
        device = chosen_device(device)
        student, info = load_checkpoint(path)
        if info.backbone:
            raise CheckpointError(f'{path}: a pre-trained backbone, whose head was never trained to label points: '
                                  'fine-tune or probe it first (`student: FILE` in a recipe with 3D labels)')
        predictor = cls(student, info, device, backend, precision, tta)
        predictor.predict(_floor(predictor.info.inputs))
        return predictor

    @property
    def description(self) -> str:
        """What computes, in a line."""
        instructions = getattr(self.backend, 'instruction_set', '')
        views = f', {self.tta} views of each scan' if self.tta > 1 else ''
        return (f'{self.device}, backend {self.backend.name}{f" ({instructions})" if instructions else ""}, '
                f'{self.precision}{views}')

    def predict(self, scan: Scan) -> Prediction:
        """Return the label and confidence of every point of a scan; may be called from any thread.

        Points that are NaN, infinite or exactly 0 0 0, and all points if none is in range, get label 0 and confidence
        0. A point beyond the student's range gets the label of the nearest voxels (see nearest.py), or 0 and 0 if the
        checkpoint says that those are unlabelled. Raises InputError if the scan lacks a column.
        """
        self.info.inputs.check(scan)
        with self._lock, torch.inference_mode():
            watch = _Stopwatch(self.device)
            views = [self._view(scan, turn, watch) for turn in self._turns]
            views = [view for view in views if len(view.keys)]
            if not views:
                return Prediction(np.zeros(len(scan), np.uint8), np.zeros(len(scan), np.float32), watch.times)
            label, confidence = self._labels(views[0]) if self.tta == 1 else self._averaged(views)
            if self.info.inputs.beyond == 'nearest':
                self._label_beyond(views[0], label, confidence)
            label, confidence = label.cpu().numpy(), confidence.cpu().numpy()
            watch.lap('assign')
            return Prediction(label, confidence, watch.times)

    def _view(self, scan: Scan, turn: np.ndarray | None, watch: _Stopwatch) -> _View:
        if turn is not None:
            scan = replace(scan, points=scan.points @ turn.T)
        batch = self.info.inputs.prepare([scan], self.device, self.backend.name).cast(self._dtype)
        watch.lap('prepare')
        keys = batch.tensor.keys
        logits = self._student(batch) if len(keys) else torch.empty(0, len(self._offset), device=self.device)
        watch.lap('network')
        return _View(scan.points, batch.point_voxel, keys, logits)

    def _labels(self, view: _View) -> tuple[Tensor, Tensor]:
        """Return label uint8 [N] and confidence [N]; 0 and 0 for points without a voxel."""
        # The row of -1, the last one, is the answer for points without a voxel.
        return tuple(torch.cat([column, column.new_zeros(1)])[view.point_voxel]
                     for column in self._classify(view.logits))

    def _classify(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        return self.backend.classify(logits, self._offset, self.info.temperature)

    def _averaged(self, views: list[_View]) -> tuple[Tensor, Tensor]:
        """Return label and confidence as `_labels` does, of the mean probability over the views that see a point."""
        total = torch.zeros(len(views[0].points), len(self._offset) + 1, device=self.device)
        for view in views:
            seen = nn.functional.pad(self._probabilities(view.logits), (0, 1), value=1.0)  # the last column counts
            total += nn.functional.pad(seen, (0, 0, 0, 1))[view.point_voxel]
        confidence, label = (total[:, :-1] / total[:, -1:].clamp(min=1)).max(1)
        return torch.where(total[:, -1] > 0, label, 0).to(torch.uint8), confidence

    def _probabilities(self, logits: Tensor) -> Tensor:
        """Return [V, K], 0 for class ids that the taxonomy does not use."""
        return torch.add(self._offset, logits, alpha=1 / self.info.temperature).softmax(1)

    def _label_beyond(self, view: _View, label: Tensor, confidence: Tensor) -> None:
        """Label the points that exist and that no view has in a voxel."""
        rows = ((confidence == 0) & (view.point_voxel < 0)).nonzero().squeeze(1)
        if not len(rows):
            return
        points = torch.from_numpy(view.points[rows.cpu().numpy()]).to(self.device)
        exist = torch.isfinite(points).all(1) & (points != 0).any(1)
        if bool(exist.any()):
            logits = nearest_logits(points[exist], view.keys, view.logits, self.info.inputs.voxel_size, self.backend)
            rows = rows[exist]
            label[rows], confidence[rows] = self._classify(logits)


class _Stopwatch:
    """Sums up the seconds of stages that follow each other, work that a GPU has not finished included."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._seconds = {'prepare': 0.0, 'network': 0.0, 'assign': 0.0}
        self._last = perf_counter()

    def lap(self, stage: str) -> None:
        """Count the time since the last lap to `stage`."""
        if self._device.type == 'cuda':
            torch.cuda.synchronize(self._device)
        now = perf_counter()
        self._seconds[stage] += now - self._last
        self._last = now

    @property
    def times(self) -> StageTimes:
        """The sums so far."""
        return StageTimes(**self._seconds)


def _floor(inputs: InputSpec) -> Scan:
    """Return points in 64 x 64 voxels around the middle of the range."""
    steps = np.arange(-32, 32, dtype=np.float32)
    x, y = np.meshgrid(steps, steps)
    offsets = np.stack([x, y, np.zeros_like(x)], 2).reshape(-1, 3) * np.float32(inputs.voxel_size)
    points = offsets + np.float32([(low + high) / 2 for low, high in zip(inputs.lower, inputs.upper)])
    return Scan(0, points, np.zeros(len(points), np.float32))


def _precision(precision: str, fast: bool) -> str:
    if precision not in PRECISIONS:
        raise ValueError(f'precision "{precision}"; choose one of {list(PRECISIONS)}')
    return ('bfloat16' if fast else 'float32') if precision == 'auto' else precision


def chosen_device(device: torch.device | str) -> torch.device:
    """Return the device that is named; "auto": the GPU if there is any. Raises ValueError for one that is not there."""
    if device == 'auto':
        return torch.device('cuda' if torch.cuda.is_available() else 'cpu')
    try:
        chosen = torch.device(device)
    except RuntimeError:
        raise ValueError(f'unknown device "{device}"; choose "auto", "cpu" or "cuda"') from None
    if chosen.type == 'cuda' and not torch.cuda.is_available():
        raise ValueError(f'device "{device}": torch finds no CUDA GPU here; choose "auto" or "cpu"')
    return chosen
