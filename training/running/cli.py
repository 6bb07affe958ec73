# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""fit and validate: Lightning's command line with a run's folder, checkpoints, logs and exported student."""

from __future__ import annotations

import logging
import os
import re
import sys
import warnings
from importlib.util import find_spec
from pathlib import Path

import torch
from jsonargparse import Namespace
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Callback, LearningRateMonitor, ModelCheckpoint
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger

from training.frames.data import Frames
from training.methods import Method
from training.running.arguments import with_whole_student
from training.running.export import STUDENT, export_run
from training.running.memory import advise
from training.running.progress import Bar, LabelledFrames, ProgressLines
from training.running.saving import LastCheckpoint, StepSeeds, WholeFiles
from training.scores.pictures import ValidationPicture

CHECKPOINTS = 'checkpoints'


class TrainingCLI(LightningCLI):
    """Adds --run, the folder that everything of a training goes to, and --save_every."""

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        """Offer what makes sense here."""
        common = {'model', 'datamodule', 'weights_only'}
        return {'fit': common | {'train_dataloaders', 'val_dataloaders'}, 'validate': common | {'dataloaders'}}

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add the run's folder and how often it is saved to."""
        # torchrun takes --run for a part of its own --run-path, even behind the module's name
        parser.add_argument('--run', '--to_run', type=str, default=None,
                            help='the folder of the run (default: runs/RECIPE); --to_run for torchrun')
        parser.add_argument('--save_every', type=float, default=60.0,
                            help='seconds after which the state is saved, for --ckpt_path last')

    def before_instantiate_classes(self) -> None:
        """Choose the run's folder. Raises ValueError if it holds another run that would be overwritten."""
        config = self.config[self.subcommand]
        recipes = [Path(str(path)).stem for path in config.get('config') or []]
        self.run_folder = Path(config.run or f'runs/{recipes[-1] if recipes else "run"}').expanduser()
        last = self.run_folder / CHECKPOINTS / 'last.ckpt'
        if self.subcommand == 'fit' and config.ckpt_path is None and last.exists():
            raise ValueError(f'{self.run_folder} holds a run already: go on with it (--ckpt_path last), or choose '
                             'another folder (--run DIR)')
        if config.ckpt_path in ('last', 'best'):
            files = sorted((self.run_folder / CHECKPOINTS).glob(f'{config.ckpt_path}*.ckpt'))
            if not files:
                raise ValueError(f'no {config.ckpt_path}.ckpt in {self.run_folder / CHECKPOINTS} to go on from')
            config.ckpt_path = str(files[0])

    def instantiate_trainer(self, **kwargs: object) -> Trainer:
        """Log to, and save in, the run's folder."""
        config = self.config_init[self.subcommand]
        monitor = self.model.monitor if config.data.val else None
        callbacks = [*(config.trainer.callbacks or []), *_shown(config.trainer.enable_progress_bar is not False)]
        quiet = self.subcommand != 'fit' or bool(config.trainer.fast_dev_run)
        if not quiet:
            callbacks += [*_kept(self.run_folder, monitor, config.save_every), *self.watchers()]
        if not sys.stdout.isatty():  # a bar would be one endless line; see ProgressLines
            config.trainer.enable_progress_bar = False
        _join_processes(config.trainer)
        _repeat(config.trainer)
        config.trainer.plugins = [*(config.trainer.plugins or []), WholeFiles()]
        return super().instantiate_trainer(logger=[] if quiet else _loggers(self.run_folder), callbacks=callbacks,
                                           default_root_dir=str(self.run_folder), **kwargs)

    def watchers(self) -> list[Callback]:
        """Return what else a training of a student leaves in its folder."""
        return [LabelledFrames(self.run_folder), ValidationPicture()]

    def before_fit(self) -> None:
        """Keep the recipe with the run, and in its checkpoints."""
        config = self.config[self.subcommand].clone()
        for name in ('config', 'run', 'save_every', 'ckpt_path'):
            config.pop(name, None)
        parser = self._parser(self.subcommand)
        if self.trainer.is_global_zero:
            self.run_folder.mkdir(parents=True, exist_ok=True)
            (self.run_folder / 'recipe.yaml').write_text(parser.dump(config, skip_none=True, skip_validation=True))
        config.data.pop('root')  # what others get says nothing about this machine
        config.data.pop('cache')
        self.model.recipe = without_folders(parser.dump(config, skip_none=True, skip_validation=True))

    def fit(self, **kwargs: object) -> None:
        """Train; checkpoints are read without unpickling objects. Raises MemoryError, saying what takes less of it."""
        try:
            self.trainer.fit(weights_only=True, **kwargs)
        except (MemoryError, RuntimeError) as error:
            advice = advise(error, self.trainer)
            if advice is None:
                raise
            raise MemoryError(advice) from error

    def validate(self, **kwargs: object) -> None:
        """Compare with the teacher on the validation frames."""
        self.trainer.validate(weights_only=True, **kwargs)

    def after_fit(self) -> None:
        """Export the student, unless it needs cameras."""
        if not self.trainer.is_global_zero or self.trainer.fast_dev_run:
            return
        if self.model.cameras:
            print(f'not exported, for it needs cameras; score it: python -m training evaluate --run {self.run_folder}')
        else:
            print(f'student: {export_run(self.run_folder, self.run_folder / STUDENT)}')


def without_folders(recipe: str) -> str:
    """Return the recipe's text with absolute paths cut down to their last name."""
    return re.sub(r'(?<![\w.~])~?/(?:[^\s/?"\']+/)+', '', recipe)


def _loggers(folder: Path) -> list[Logger]:
    csv = CSVLogger(folder, 'logs', flush_logs_every_n_steps=10)
    if find_spec('tensorboard') is None:
        return [csv]
    return [csv, TensorBoardLogger(folder, 'logs', version=csv.version)]


def _kept(run_folder: Path, monitor: str | None, seconds: float) -> list[Callback]:
    """What a training leaves in its folder."""
    kept: list[Callback] = [LearningRateMonitor('step'), StepSeeds()]
    if monitor:
        kept.append(ModelCheckpoint(run_folder / CHECKPOINTS, 'best', monitor=monitor,
                                    mode='min' if monitor.endswith('loss') else 'max',
                                    enable_version_counter=False))
    return [*kept, LastCheckpoint(run_folder / CHECKPOINTS / 'last.ckpt', seconds)]


def _shown(bar: bool) -> list[Callback]:
    """How a training is followed."""
    if not sys.stdout.isatty():
        return [ProgressLines()]
    return [Bar(leave=True)] if bar else []


def _join_processes(trainer: Namespace) -> None:
    """Take part where torchrun started several processes; Lightning alone would train once in each on a CPU."""
    if 'TORCHELASTIC_RUN_ID' not in os.environ:
        return
    beside, everywhere = (int(os.environ[name]) for name in ('LOCAL_WORLD_SIZE', 'WORLD_SIZE'))
    if trainer.devices == 'auto':
        trainer.devices, trainer.num_nodes = beside, everywhere // beside
    if trainer.strategy == 'auto':
        trainer.strategy = 'ddp_find_unused_parameters_true'


def _repeat(trainer: Namespace) -> None:
    """Have sums of several threads come out the same each time; only on a CPU, where that costs no time."""
    if trainer.deterministic is None and (trainer.accelerator == 'cpu' or not torch.cuda.is_available()):
        trainer.deterministic = 'warn'
        torch.utils.deterministic.fill_uninitialized_memory = False  # of outputs that kernels are about to write


def quieten() -> None:
    """Let Lightning say only what somebody can act upon."""
    logging.getLogger('lightning.pytorch').setLevel(logging.WARNING)
    for text in ('.*does not have many workers.*', ".*LightningCLI's args parameter.*", '.*treespec, LeafSpec.*',
                 '.*dataloader is not resumable.*', '.*Total length of `list`.*', '.*exists and is not empty.*',
                 '.*all_gather is deprecated.*', '.*sync_dist=True.*', '.*callbacks used to create the checkpoint.*'):
        warnings.filterwarnings('ignore', text)


def run(arguments: list[str]) -> int:
    """Run `fit` or `validate` with these arguments. Returns the exit status."""
    quieten()
    TrainingCLI(Method, Frames, args=with_whole_student(arguments), subclass_mode_model=True,
                save_config_callback=None, seed_everything_default=0, load_from_checkpoint_support=False,
                parser_kwargs={'prog': 'python -m training'})
    return 0
