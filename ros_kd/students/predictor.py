# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Cloud in, labels out."""

from __future__ import annotations

import os
from dataclasses import dataclass
from threading import Lock

import numpy as np
import torch
from torch import Tensor, nn

from ros_kd.frames import Scan
from ros_kd.sparse import SparseTensor
from ros_kd.sparse import keys as packing
from ros_kd.students.checkpoint import CheckpointInfo, load_checkpoint

BLOCK = 16
_ROWS = 1024


@dataclass(frozen=True, eq=False)
class Prediction:
    """label: uint8 [N], class ids. confidence: float32 [N], the label's probability; 0 where there is no point."""

    label: np.ndarray
    confidence: np.ndarray


class Predictor:
    """A student ready to run.

    info: what its checkpoint says. device: where it runs. backend: of its sparse convolutions, by name.
    """

    def __init__(self, student: nn.Module, info: CheckpointInfo, device: torch.device | str = 'auto',
                 backend: str = 'auto') -> None:
        """Move the student to `device` ("auto": the GPU if there is one). Raises ValueError if there is none."""
        self.info = info
        self.device = _device(device)
        self.backend = backend
        self._student = student.to(self.device).eval()
        self._unused = torch.tensor([name is None for name in info.taxonomy.names], device=self.device)
        self._lock = Lock()

    @classmethod
    def load(cls, path: str | os.PathLike, device: torch.device | str = 'auto', backend: str = 'auto') -> Predictor:
        """Read a checkpoint. Raises CheckpointError, or ValueError for a device that is not there."""
        device = _device(device)
        return cls(*load_checkpoint(path), device, backend)

    def predict(self, scan: Scan) -> Prediction:
        """Return the label and confidence of every point of a scan; may be called from any thread.

        A point beyond the student's range gets the label of the nearest occupied block of 16 x 16 x 16 voxels (the mean
        of its logits). Points that are NaN or infinite, and all points if none is in range, get label 0 and
        confidence 0. Raises InputError if the scan lacks a column.
        """
        self.info.inputs.check(scan)
        with self._lock, torch.inference_mode():
            batch = self.info.inputs.prepare([scan], self.device, self.backend)
            if not len(batch.tensor):
                return Prediction(np.zeros(len(scan), np.uint8), np.zeros(len(scan), np.float32))
            logits = self._student(batch.tensor).float()
            label, confidence = (values[batch.point_voxel] for values in self._classify(logits))
            outside = (batch.point_voxel < 0).nonzero().squeeze(1)
            if len(outside):
                label[outside], confidence[outside] = 0, 0
                points = torch.from_numpy(scan.points[outside.cpu().numpy()]).to(self.device)
                beyond = outside[torch.isfinite(points).all(1)]
                if len(beyond):
                    finite = points[torch.isfinite(points).all(1)]
                    label[beyond], confidence[beyond] = self._classify(self._nearest(finite, batch.tensor, logits))
            return Prediction(label.cpu().numpy(), confidence.cpu().numpy())

    def _classify(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """Return the best class uint8 [V] among those that the taxonomy uses, and its probability [V]."""
        scores = (logits / self.info.temperature).masked_fill(self._unused, -torch.inf)
        confidence, label = scores.softmax(1).max(1)
        return label.to(torch.uint8), confidence

    def _nearest(self, points: Tensor, tensor: SparseTensor, logits: Tensor) -> Tensor:
        """Return for each point [M, 3] the mean logits [M, K] of the nearest block that holds voxels.

        Whole blocks on both sides, since there are some thousand times fewer pairs of them than of points and voxels.
        """
        edge = self.info.inputs.voxel_size * BLOCK
        furthest = packing.HIGHEST / BLOCK * edge
        cells = (points.clamp(-furthest, furthest) / edge).floor().long()
        cells, cell_of_point = torch.unique(packing.pack_unchecked(cells), return_inverse=True)
        blocks = torch.div(tensor.coordinates, BLOCK, rounding_mode='floor')
        blocks, block_of_voxel = torch.unique(packing.pack_unchecked(blocks), return_inverse=True)
        means = logits.new_zeros(len(blocks), logits.shape[1]).index_add_(0, block_of_voxel, logits)
        means /= torch.bincount(block_of_voxel, minlength=len(blocks))[:, None]
        cells, blocks = packing.unpack(cells).float(), packing.unpack(blocks).float()
        nearest = torch.cat([torch.cdist(rows, blocks).argmin(1) for rows in cells.split(_ROWS)])
        return means[nearest[cell_of_point]]


def _device(device: torch.device | str) -> torch.device:
    if device == 'auto':
        return torch.device('cuda' if torch.cuda.is_available() else 'cpu')
    try:
        chosen = torch.device(device)
    except RuntimeError:
        raise ValueError(f'unknown device "{device}"; choose "auto", "cpu" or "cuda"') from None
    if chosen.type == 'cuda' and not torch.cuda.is_available():
        raise ValueError(f'device "{device}": torch finds no CUDA GPU here; choose "auto" or "cpu"')
    return chosen
