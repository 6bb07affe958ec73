# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""The method and the data of a recipe, for commands that do not train."""

from __future__ import annotations

import argparse
from dataclasses import dataclass

from jsonargparse import Namespace
from lightning.pytorch import Trainer
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI

from training.frames.data import Frames
from training.methods import Method
from training.running.arguments import with_whole_student
from training.running.cli import quieten


@dataclass(frozen=True)
class Recipe:
    """What a recipe says. values: its plain values, with those of the command line."""

    method: Method
    data: Frames
    values: Namespace


class _RecipeCLI(LightningCLI):
    """Takes the arguments of `fit`, and makes no trainer."""

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Take what only `fit` does something with, so that its command line can be repeated."""
        for name in ('run', 'to_run', 'ckpt_path', 'save_every'):
            parser.add_argument(f'--{name}', default=None, help=argparse.SUPPRESS)

    def instantiate_trainer(self, **kwargs: object) -> None:
        """Make none: it would ask for GPUs that only training needs."""


def read_recipe(command: str, arguments: list[str]) -> Recipe:
    """Read `--config RECIPE` and other values as `fit` does.

    Raises ValueError, or ends the program as argparse does.
    """
    quieten()
    cli = _RecipeCLI(Method, Frames, trainer_class=Trainer, args=with_whole_student(arguments), run=False,
                     subclass_mode_model=True, save_config_callback=None, seed_everything_default=0,
                     load_from_checkpoint_support=False, parser_kwargs={'prog': f'python -m training {command}'})
    return Recipe(cli.model, cli.datamodule, cli.config)
