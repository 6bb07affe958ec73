# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""How students learn: one file for each method. A new one is one file here; recipes name its class."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningModule
from torch import Tensor

from ros_kd.label_sets import get_taxonomy
from ros_kd.scores import Confusion
from ros_kd.students import build_student
from ros_kd.students.presets import StudentSpec, student_spec
from ros_kd.students.voxels import VoxelBatch
from training.calibration import TemperatureFit
from training.data import Batch
from training.targets import TargetMaker, truth
from training.teachers import Teacher


@dataclass(frozen=True)
class Optimisation:
    """AdamW with one cycle: rate: the highest learning rate. decay: weight decay. warmup: share of the steps that the
    rate rises for."""

    rate: float = 2e-3
    decay: float = 0.01
    warmup: float = 0.1


@dataclass(frozen=True, eq=False)
class Answer:
    """The student's answer to a batch. voxels: its input. logits: float32 [V, C], one row for each voxel."""

    voxels: VoxelBatch
    logits: Tensor

    def at(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits [M', C] of those points int64 [M] that are in range, and bool [M] which they are."""
        voxel = self.voxels.point_voxel[index]
        inside = voxel >= 0
        return self.logits[voxel[inside]], inside


class Method(LightningModule):
    """Given a batch of paired frames, a teacher and a student: named losses. What a method adds for training stays in
    it; only `student` is exported.

    student: the network to train, by a preset's name ("fast", "accurate") or described. needs_images: whether batches
    must carry the frames' views.
    """

    needs_images = False

    def __init__(self, taxonomy: str, student: StudentSpec | str = 'fast',
                 optimisation: Optimisation = Optimisation()) -> None:
        super().__init__()
        self.taxonomy = get_taxonomy(taxonomy)
        self.spec, self.optimisation = (spec := student_spec(student)), optimisation
        channels = len(spec.inputs.columns)
        self.student = build_student(spec.architecture, channels, len(self.taxonomy), spec.width)
        self.recipe = ''
        self.temperature = 1.0
        self._confusions: dict[str, Confusion] = {}
        self._calibration = TemperatureFit(self.taxonomy)

    @abstractmethod
    def targets(self, teacher: Teacher | None) -> TargetMaker:
        """Return what computes the targets of a frame, once. Raises ValueError if a teacher is missing."""

    @abstractmethod
    def losses(self, batch: Batch, answer: Answer) -> dict[str, Tensor]:
        """Return the weighted losses by name; their sum is minimised."""

    def answer(self, batch: Batch) -> Answer:
        """Run the student."""
        voxels = self.spec.inputs.prepare([frame.scan for frame in batch.frames], self.device)
        return Answer(voxels, self.student(voxels))

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the sum of the losses, logging each."""
        losses = self.losses(batch, self.answer(batch))
        total = torch.stack(list(losses.values())).sum()
        size = len(batch.frames)
        self.log('loss', total, prog_bar=True, on_step=True, on_epoch=True, batch_size=size, sync_dist=True)
        if len(losses) > 1:
            self.log_dict({f'loss/{name}': loss for name, loss in losses.items()}, on_epoch=True, batch_size=size)
        return total

    def on_validation_epoch_start(self) -> None:
        """Forget the last epoch's counts."""
        self._confusions = {name: Confusion.empty(len(self.taxonomy)) for name in ('', '_labels')}
        self._calibration = TemperatureFit(self.taxonomy)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Count how the student agrees with the targets, and with 3D labels where there are any."""
        voxel = (answer := self.answer(batch)).voxels.point_voxel
        best = answer.logits.argmax(1)
        label = torch.cat([best, best.new_full((1,), 255)])[voxel].cpu().numpy()  # -1, the last one, is for no voxel
        expected = np.full(len(label), 255, np.uint8)
        expected[batch.index.cpu().numpy()] = batch.values.argmax(1).cpu().numpy()
        self._confusions[''].add(expected, label)
        truths = [truth(frame, self.taxonomy) for frame in batch.frames]
        if all(one is not None for one in truths):
            self._confusions['_labels'].add(np.concatenate(truths), label)
        logits, inside = answer.at(batch.index)
        self._calibration.add(logits, batch.values[inside])

    def on_validation_epoch_end(self) -> None:
        """Log val/miou and val/accuracy against the targets, val/miou_labels ... against 3D labels; calibrate."""
        for suffix, confusion in self._confusions.items():
            counts = self.all_gather(torch.from_numpy(confusion.counts).to(self.device))
            confusion = Confusion(counts.reshape(-1, *confusion.counts.shape).sum(0).cpu().numpy())
            if confusion.total:
                self.log(f'val/miou{suffix}', confusion.mean_iou, prog_bar=True, sync_dist=True)
                self.log(f'val/accuracy{suffix}', confusion.accuracy, sync_dist=True)
        if self.trainer.sanity_checking:
            return
        calibrated = self._calibration.fit()
        own = (0.0,) * 4 if calibrated is None else (1.0, calibrated.temperature, calibrated.after, calibrated.before)
        # All processes take part, also those whose frames had nothing to calibrate on.
        count, *sums = self.all_gather(torch.tensor(own, device=self.device)).reshape(-1, 4).sum(0).tolist()
        if count:
            self.temperature, after, before = (value / count for value in sums)
            self.log('val/calibration_error', after)
            self.log('val/calibration_error_before', before)

    def configure_optimizers(self) -> dict[str, Any]:
        """Return AdamW and its one-cycle schedule over all steps of the training."""
        optimizer = torch.optim.AdamW(self.parameters(), self.optimisation.rate, weight_decay=self.optimisation.decay)
        steps = int(self.trainer.estimated_stepping_batches)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, self.optimisation.rate, steps,
                                                       pct_start=self.optimisation.warmup)
        return {'optimizer': optimizer, 'lr_scheduler': {'scheduler': schedule, 'interval': 'step'}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what export needs to build the student without the recipe's classes."""
        inputs = {name: list(value) if isinstance(value, tuple) else value
                  for name, value in asdict(self.spec.inputs).items()}
        checkpoint['student'] = {'architecture': self.spec.architecture, 'width': self.spec.width, 'inputs': inputs,
                                 'taxonomy': self.taxonomy.name, 'recipe': self.recipe, 'temperature': self.temperature}
