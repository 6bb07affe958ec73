# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""How far a training is, as a bar or as lines of text where no terminal can show one, and what it was given."""

from __future__ import annotations

import time
from pathlib import Path

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import RichProgressBar


class Bar(RichProgressBar):
    """A bar that stays on one line of a terminal: of the figures, the loss and the validation's mIoU."""

    def get_metrics(self, trainer: Trainer, pl_module: LightningModule) -> dict[str, int | str | float]:
        """Return what is shown, by name."""
        metrics = super().get_metrics(trainer, pl_module)
        names = {'loss_step': 'loss', 'loss': 'loss', 'val/miou': 'mIoU'}
        return {short: metrics[name] for name, short in names.items() if name in metrics}


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
        if not trainer.is_global_zero:
            return
        now, total = time.monotonic(), int(trainer.estimated_stepping_batches)
        if now - self._printed < self._seconds and trainer.global_step < total:
            return
        self._printed = now
        done = max(trainer.global_step - self._first, 1)
        left = (now - self._started) / done * (total - trainer.global_step)
        loss = trainer.callback_metrics.get('loss_step', trainer.callback_metrics.get('loss'))
        print(f'{_epoch(trainer)}, step {trainer.global_step}/{total}'
              f'{"" if loss is None else f", loss {float(loss):.3f}"}, {left:.0f} s left', flush=True)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Print the validation's figures, but those of single classes."""
        figures = {name: float(value) for name, value in trainer.callback_metrics.items()
                   if name.startswith('val/') and name.count('/') == 1}
        if figures and trainer.is_global_zero and not trainer.sanity_checking:
            print(f'{_epoch(trainer)}, validation: '
                  + ', '.join(f'{name} {value:.3f}' for name, value in sorted(figures.items())), flush=True)


def _epoch(trainer: Trainer) -> str:
    """Which epoch it is, and of how many, unless steps are counted alone."""
    of = '' if trainer.max_epochs in (None, -1) else f'/{trainer.max_epochs}'
    return f'epoch {trainer.current_epoch + 1}{of}'


class LabelledFrames(Callback):
    """Write the names of the frames whose 3D labels a training uses to labelled_frames.txt in the run's folder.

    Another training with the same `data.train` takes the list as `data.labels.file`.
    """

    def __init__(self, run_folder: Path) -> None:
        self.path = run_folder / 'labelled_frames.txt'

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the list, if the method asks for labels."""
        names = trainer.datamodule.labelled_frames
        if names and trainer.is_global_zero and not trainer.fast_dev_run:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.write_text(''.join(f'{name}\n' for name in names))
