# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""How far a training is, as lines of text where no terminal can show a bar."""

from __future__ import annotations

import time

from lightning.pytorch import Callback, LightningModule, Trainer


class ProgressLines(Callback):
    """Print a line every `seconds`: epoch, step, loss and the time that is left at this pace."""

    def __init__(self, seconds: float = 10.0) -> None:
        self._seconds = seconds

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take the time; a resumed training starts at its step."""
        self._started = self._printed = time.monotonic()
        self._first = trainer.global_step

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: object) -> None:
        """Print if it is time to."""
        now, total = time.monotonic(), int(trainer.estimated_stepping_batches)
        if now - self._printed < self._seconds and trainer.global_step < total:
            return
        self._printed = now
        done = max(trainer.global_step - self._first, 1)
        left = (now - self._started) / done * (total - trainer.global_step)
        loss = trainer.callback_metrics.get('loss_step', trainer.callback_metrics.get('loss'))
        print(f'epoch {trainer.current_epoch + 1}/{trainer.max_epochs}, step {trainer.global_step}/{total}'
              f'{"" if loss is None else f", loss {float(loss):.3f}"}, {left:.0f} s left', flush=True)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Print the validation's figures."""
        figures = {name: float(value) for name, value in trainer.callback_metrics.items() if name.startswith('val/')}
        if figures and not trainer.sanity_checking:
            print(f'epoch {trainer.current_epoch + 1}/{trainer.max_epochs}, validation: '
                  + ', '.join(f'{name} {value:.3f}' for name, value in sorted(figures.items())), flush=True)
