# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""How students learn: one file for each method. A new one is one file here; recipes name its class."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import asdict, dataclass
from typing import Any, Sequence

import numpy as np
import torch
from lightning.pytorch import LightningModule
from torch import Tensor

from ros_kd.label_sets import get_taxonomy
from ros_kd.scores import Confusion
from ros_kd.sparse import SparseTensor
from ros_kd.students.presets import StudentSpec
from ros_kd.students.voxels import VoxelBatch
from ros_kd.taxonomy import IGNORE
from training.frames.batches import Batch, PointTargets
from training.frames.targets import Makers, truth
from training.images.looking import Looking
from training.methods.starting import starting_student
from training.scores.calibration import TemperatureFit
from training.teachers import Teacher


@dataclass(frozen=True)
class Optimisation:
    """AdamW, or SGD with Nesterov momentum if that is given, and a rate that rises and falls in one cycle of cosines.

    rate: the highest learning rate. decay: weight decay. warmup: share of the steps that the rate rises for.
    momentum: of SGD; None: AdamW.
    """

    rate: float = 2e-3
    decay: float = 0.01
    warmup: float = 0.1
    momentum: float | None = None

    def over(self, steps: int, groups: Sequence[tuple[float, list[Tensor]]]) -> dict[str, Any]:
        """Return the optimiser and its schedule over so many steps, as Lightning takes them.

        groups: parameters, and the share of the rate that they learn at.
        """
        parameters = [{'params': values} for _, values in groups]
        if self.momentum is None:
            optimizer = torch.optim.AdamW(parameters, self.rate, weight_decay=self.decay)
        else:
            optimizer = torch.optim.SGD(parameters, self.rate, self.momentum, weight_decay=self.decay, nesterov=True)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, [self.rate * share for share, _ in groups], steps,
                                                       pct_start=self.warmup, cycle_momentum=self.momentum is None)
        return {'optimizer': optimizer, 'lr_scheduler': {'scheduler': schedule, 'interval': 'step'}}


@dataclass(frozen=True, eq=False)
class Answer:
    """The student's answer to a batch.

    voxels: its input. levels: its tensors at several strides (see students.build_student). features: [V, channels],
    what its head classifies. logits: [V, C], one row for each voxel.
    """

    voxels: VoxelBatch
    levels: tuple[SparseTensor, ...]
    features: Tensor
    logits: Tensor

    def rows(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """Return the voxels int64 [M'] of those points int64 [M] that are in range, and bool [M] which they are."""
        voxel = self.voxels.point_voxel[index]
        inside = voxel >= 0
        return voxel[inside], inside

    def at(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits [M', C] of those points int64 [M] that are in range, and bool [M] which they are."""
        voxel, inside = self.rows(index)
        return self.logits[voxel], inside

    @property
    def label(self) -> np.ndarray:
        """The likeliest class of every point, uint8 [sum N], IGNORE for those without a voxel."""
        best = self.logits.argmax(1)
        return torch.cat([best, best.new_full((1,), IGNORE)])[self.voxels.point_voxel].byte().cpu().numpy()


class Method(LightningModule):
    """Given a batch of paired frames, what a teacher knows of them and a student: named losses. What a method adds for
    training stays in it; only `student` is exported.

    student: the network to train, by a preset's name ("fast", "accurate"), described, or a checkpoint to start from.
    looking: how batches carry images, None if not at all. learns_without_labels: whether frames without 3D labels teach
    anything. backbone: whether the exported student has a head that was never trained. monitor: the figure of the
    validation that the best checkpoint is chosen by, a loss or the higher the better; None: the last is kept. cameras:
    whether answers need cameras, too: then nothing is exported for the segmenter. taught: ids of the classes that
    training can tell of, set by methods that learn from a teacher alone; None: all.
    """

    looking: Looking | None = None
    learns_without_labels = True
    backbone = False
    cameras = False
    monitor: str | None = 'val/miou'

    def __init__(self, taxonomy: str, student: StudentSpec | str = 'fast',
                 optimisation: Optimisation = Optimisation()) -> None:
        super().__init__()
        self.taxonomy = get_taxonomy(taxonomy)
        self.student, self.spec = starting_student(student, self.taxonomy)
        self.optimisation = optimisation
        self.recipe = ''
        self.taught: tuple[int, ...] | None = None
        self.temperature = 1.0
        self._confusions: dict[str, Confusion] = {}
        self._calibration = TemperatureFit(self.taxonomy)

    @abstractmethod
    def makers(self, teacher: Teacher | None) -> Makers:
        """Return what computes, once for each frame, what the method wants to know. Raises ValueError if a teacher is
        missing."""

    @abstractmethod
    def losses(self, batch: Batch, answer: Answer) -> dict[str, Tensor]:
        """Return the weighted losses by name; their sum is minimised."""

    def compared(self, batch: Batch) -> PointTargets | None:
        """Return what validation compares the student with: the teacher's classes, or the labels without a teacher."""
        return batch.labels if batch.classes is None else batch.classes

    def voxels(self, batch: Batch) -> VoxelBatch:
        """Return what the student sees of the batch."""
        return self.spec.inputs.prepare([frame.scan for frame in batch.frames], self.device)

    def answer(self, batch: Batch) -> Answer:
        """Run the student."""
        voxels = self.voxels(batch)
        levels = self.student.levels(voxels)
        features = self.student.features_of(levels, voxels)
        return Answer(voxels, levels, features, self.student.head(features, voxels.backend).float())

    def class_mass(self, kind: str) -> Tensor:
        """Return float32 [C], the share of each class in the "labels" or "classes" of the training frames."""
        return torch.from_numpy(self.trainer.datamodule.class_mass(kind, len(self.taxonomy))).float()

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
        """Count how the student agrees with what it is compared with, and with 3D labels where there are any."""
        answer = self.answer(batch)
        label, targets = answer.label, self.compared(batch)
        if targets is not None:
            self._confusions[''].add(targets.hard(len(label)), label)
            logits, inside = answer.at(targets.index)
            self._calibration.add(logits, targets.values[inside])
        truths = [truth(frame, self.taxonomy) for frame in batch.frames]
        if all(one is not None for one in truths):
            self._confusions['_labels'].add(np.concatenate(truths), label)

    def on_validation_epoch_end(self) -> None:
        """Log val/miou, val/accuracy and val/iou/CLASS against the targets, val/miou_labels ... against 3D labels;
        calibrate."""
        for suffix, confusion in self._confusions.items():
            counts = self.all_gather(torch.from_numpy(confusion.counts).to(self.device))
            confusion = Confusion(counts.reshape(-1, *confusion.counts.shape).sum(0).cpu().numpy())
            if confusion.total:
                self.log(f'val/miou{suffix}', confusion.mean_iou, prog_bar=True, sync_dist=True)
                self.log(f'val/accuracy{suffix}', confusion.accuracy, sync_dist=True)
                self.log_dict({f'val/iou{suffix}/{name}': iou for name, iou in zip(self.taxonomy.names, confusion.iou)
                               if not np.isnan(iou)}, sync_dist=True)
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

    def trained(self) -> list[tuple[float, list[Tensor]]]:
        """Return the parameters that are trained, those together that learn at the same share of the learning rate."""
        return [(1.0, [value for value in self.parameters() if value.requires_grad])]

    def configure_optimizers(self) -> dict[str, Any]:
        """Return the optimiser and its one-cycle schedule over all steps of the training."""
        return self.optimisation.over(int(self.trainer.estimated_stepping_batches), self.trained())

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what export needs to build the student without the recipe's classes."""
        inputs = {name: list(value) if isinstance(value, tuple) else value
                  for name, value in asdict(self.spec.inputs).items()}
        checkpoint['student'] = {'architecture': self.spec.architecture, 'width': self.spec.width, 'inputs': inputs,
                                 'taxonomy': self.taxonomy.name, 'recipe': self.recipe, 'temperature': self.temperature,
                                 'adapter': None if self.spec.adapter is None else asdict(self.spec.adapter),
                                 'taught': self.taught, 'backbone': self.backbone, 'cameras': self.cameras}
