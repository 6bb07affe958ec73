# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""Trainings that go on where they ended: checkpoints, written often, whole or not at all, and random numbers."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.fabric.plugins.io import TorchCheckpointIO
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint
from torch import Tensor

from training.frames.loading import training_seed

_COUNTS, _VALIDATION = 'epoch_loop.batch_progress', 'epoch_loop.val_loop.batch_progress'
_BEGUN = {'ready': 1, 'started': 1, 'processed': 0, 'completed': 0}


class WholeFiles(TorchCheckpointIO):
    """Writes beside the old checkpoint and then takes its place, so that a kill leaves one of the two.

    Lightning's own writes to the folder of temporary files, from where it may have to be copied.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write the checkpoint; it is on the disk when this returns."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(path.name + '.part')
        with part.open('wb') as file:
            torch.save(checkpoint, file)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)


class LastCheckpoint(Checkpoint):
    """Keeps `path`, the latest state: every `seconds`, at the end of an epoch, and when training is interrupted.

    A run may go on with other batches: what was learnt of the epoch is counted in samples. The state is that between
    two steps; samples whose gradients were still being accumulated are learnt from again.
    """

    def __init__(self, path: Path, seconds: float = 60.0) -> None:
        self.path, self.seconds = path, seconds
        self._step, self._saved = 0, time.monotonic()
        self._statistics: tuple[int, list[Tensor]] = (-1, [])

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take the time."""
        self._step, self._saved = trainer.global_step, time.monotonic()

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """Remember what a forward pass changes: the norms' statistics."""
        if self._statistics[0] != trainer.global_step:
            self._statistics = trainer.global_step, [buffer.clone() for buffer in pl_module.buffers()]
        # Loggers have a count of steps of their own, which is one off after some interruptions.
        trainer.fit_loop.epoch_loop._batches_that_stepped = trainer.global_step

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        """Save if it is time to; at the last batch of an epoch, validation comes first."""
        loop = trainer.fit_loop.epoch_loop
        due = time.monotonic() - self._saved >= self.seconds
        if trainer.strategy.broadcast(due) and not loop.batch_progress.is_last_batch and not loop._should_accumulate():
            self.save(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save."""
        self.save(trainer)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Save what was learnt so far; other processes may have ended, and are not waited for."""
        if trainer.state.fn != 'fit' or trainer.sanity_checking or not self._new(trainer):
            return
        step, statistics = self._statistics
        if step == trainer.global_step and trainer.training:
            for buffer, before in zip(pl_module.buffers(), statistics):
                buffer.copy_(before)
        checkpoint = trainer._checkpoint_connector.dump_checkpoint()
        if trainer.validating:  # all of the validation is done again
            counts = checkpoint['loops']['fit_loop'][_VALIDATION]
            counts.update(total=dict(_BEGUN), current=dict(_BEGUN), is_last_batch=False)
        trainer.strategy.save_checkpoint(checkpoint, self.path)

    def save(self, trainer: Trainer) -> None:
        """Write the state, unless it is that of the last time."""
        if self._new(trainer):
            trainer.save_checkpoint(self.path)
            self._step, self._saved = trainer.global_step, time.monotonic()

    def _new(self, trainer: Trainer) -> bool:
        return trainer.global_step != self._step and not trainer.fast_dev_run

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Note how many samples a batch has."""
        checkpoint['batches'] = {'samples': _samples(trainer), 'a_step': trainer.accumulate_grad_batches}

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Count the epoch's batches in those of this training."""
        before = checkpoint.get('batches')
        if before is None:
            return
        counts = checkpoint['loops']['fit_loop'][_COUNTS]
        begun = counts['current']['processed']
        learnt = begun if counts['is_last_batch'] else begun // before['a_step'] * before['a_step']
        now = learnt * before['samples'] // _samples(trainer)
        if now != begun:
            for part in counts['total'], counts['current']:
                part.update({name: part[name] + now - begun for name in ('ready', 'started', 'processed', 'completed')})


class StepSeeds(Callback):
    """Random numbers of torch that depend on the seed, the step and the process alone, however training came there."""

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Seed the step."""
        place = (training_seed(), trainer.current_epoch, batch_idx, trainer.global_rank)
        torch.manual_seed(int(np.random.SeedSequence(place).generate_state(1, np.uint64)[0]))


def _samples(trainer: Trainer) -> int:
    """Samples that all processes together see at once."""
    return trainer.datamodule.batch_size * trainer.world_size
