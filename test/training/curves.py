# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Loss curves of runs, and methods and interruptions that make them comparable."""

from __future__ import annotations

import csv
import os
import signal
from pathlib import Path

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor, nn

from training.frames.batches import Batch
from training.methods import Answer
from training.methods.soft_labels import SoftLabels


def losses(run: Path, name: str = 'loss_step') -> dict[int, float]:
    """The loss of each step of a run, also of one that was interrupted; or another figure, by name."""
    found = {}
    for file in sorted(run.glob('logs/version_*/metrics.csv')):
        with file.open() as lines:
            found.update({int(row['step']): float(row[name]) for row in csv.DictReader(lines) if row.get(name)})
    return found


class EvenSteps(SoftLabels):
    """A step with several frames has the mean of their losses and gradients, whatever batches it is made of.

    Elsewhere frames with more points weigh more within a batch, and the norms see one batch at a time.
    """

    def train(self, mode: bool = True) -> EvenSteps:
        """Set the mode of all but the norms."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm1d):
                module.eval()
        return self

    def on_train_start(self) -> None:
        """Lightning sets no modes when a training begins."""
        self.train()

    def losses(self, batch: Batch, answer: Answer) -> dict[str, Tensor]:
        """The sum over the points, a hundredth of it for each frame."""
        logits, inside = answer.at(batch.classes.index)
        return {'classes': -(batch.classes.values[inside] * logits.log_softmax(1)).sum() / (100 * len(batch.frames))}


# Adam would make the most of differences in the last digit.
EVEN = ['--model.class_path', 'curves.EvenSteps', '--model.optimisation.momentum', '0.9']


class InterruptIn(Callback):
    """Presses Ctrl-C after so many steps, in the middle of one or of the validation."""

    def __init__(self, hook: str, steps: int) -> None:
        self.hook, self.steps = hook, steps

    def on_before_optimizer_step(self, trainer: Trainer, *_: object) -> None:
        """The gradients are there, the step is not made."""
        self._interrupt('on_before_optimizer_step', trainer)

    def on_validation_batch_end(self, trainer: Trainer, *_: object) -> None:
        """A frame was compared, others are not."""
        self._interrupt('on_validation_batch_end', trainer)

    def _interrupt(self, hook: str, trainer: Trainer) -> None:
        if hook == self.hook and trainer.global_step == self.steps and not trainer.sanity_checking:
            raise KeyboardInterrupt


class KillAfter(Callback):
    """Kills the process with SIGKILL at the end of a step."""

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def on_train_batch_end(self, trainer: Trainer, *_: object) -> None:
        """Kill."""
        if trainer.global_step == self.steps:
            os.kill(os.getpid(), signal.SIGKILL)


class Hungry(Callback):
    """Asks for more memory than any computer has, from a step on, with batches of more scans than `fits`."""

    def __init__(self, steps: int, fits: int) -> None:
        self.steps, self.fits = steps, fits

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, *_: object) -> None:
        """Ask."""
        if trainer.global_step >= self.steps and trainer.datamodule.batch_size > self.fits:
            torch.empty(1 << 55)
