# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""The command `cache`: everything that a recipe's method wants to know from its teacher, computed before training."""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import replace
from pathlib import Path

import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from training.frames.cache import free_space
from training.frames.prepared import PreparedFrames
from training.running.recipe import Recipe, read_recipe

_ESTIMATED = 8  # frames that the space for all is estimated from


def main(arguments: list[str]) -> int:
    """Run `cache`. Returns the exit status."""
    parser = argparse.ArgumentParser('python -m training cache', add_help=False)
    parser.add_argument('--out', type=Path, help='the cache\'s folder (default: data.cache of the recipe)')
    parser.add_argument('--rank', type=int, default=int(os.environ.get('RANK', 0)))
    parser.add_argument('--world', type=int, default=int(os.environ.get('WORLD_SIZE', 1)))
    chosen, rest = parser.parse_known_args(arguments)
    if {'-h', '--help'} & set(rest):
        print(_HELP)
        return 0
    if not 0 <= chosen.rank < chosen.world:
        raise ValueError(f'--rank {chosen.rank} of --world {chosen.world}: expected a number from 0 to below the '
                         'number of processes')
    if torch.cuda.is_available() and 'LOCAL_RANK' in os.environ:
        torch.cuda.set_device(int(os.environ['LOCAL_RANK']))
    recipe = read_recipe('cache', rest)
    folder = chosen.out or recipe.data.cache
    if folder is None:
        raise ValueError('no folder for the cache: give --out DIR, or data.cache in the recipe')
    recipe.data.cache = folder.expanduser()
    return precompute(recipe, chosen.rank, chosen.world)


_HELP = """usage: python -m training cache --config RECIPE [--data.root DIR] --out DIR [--rank R --world W]

Computes once what the recipe's method wants to know from its teacher, for its training and validation frames, and keeps
it in DIR. Trainings take it from there: fit --config RECIPE --data.cache DIR. What is there already stays; a run that
was stopped goes on where it was. Other scans, calibrations, poses, teachers and settings are told apart; only where
images, or a teacher's answers on disk, were replaced under the same names, delete DIR. Takes all arguments of fit.

  --out DIR          the folder (default: data.cache of the recipe); several processes and trainings may share it
  --rank R --world W compute every W-th frame from R on (default: as torchrun says, else all):
                     torchrun --nproc_per_node 4 -m training cache --config RECIPE --out DIR"""


def precompute(recipe: Recipe, rank: int = 0, world: int = 1) -> int:
    """Fill the cache of a recipe's data. Returns the exit status. Raises CacheError, DatasetError or ValueError."""
    data, method = recipe.data, recipe.method
    if data.teacher is not None:
        data.teacher.locate(data.root)
    makers = replace(method.makers(data.teacher), labels=None)
    if not any(vars(makers).values()):
        print(f'nothing to compute: {type(method).__name__} asks no teacher; 3D labels are read as they are')
        return 0
    computed = 0
    for part in ('train', 'val'):
        frames = data.open(part, makers)
        if len(frames):
            computed += _fill(frames, f'{part}, frames {rank} of {world}' if world > 1 else part, rank, world)
    size = sum(file.stat().st_size for file in data.cache.glob('*')) if data.cache.exists() else 0
    print(f'computed {computed} targets; {data.cache} holds {size / 1e6:.1f} MB. Train with --data.cache {data.cache}')
    return 0


def _fill(frames: PreparedFrames, title: str, rank: int, world: int) -> int:
    """Return how many targets were missing."""
    mine, computed, made, warned = len(range(rank, len(frames), world)), 0, 0, False
    before = frames.cache.written
    columns = TextColumn('{task.description}'), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, transient=True, disable=not sys.stdout.isatty()) as progress:
        task = progress.add_task(title, total=mine)
        for done, count in enumerate(frames.fill(rank, world), 1):
            computed, made = computed + count, made + (count > 0)
            progress.update(task, completed=done)
            if made == _ESTIMATED and not warned:
                warned = True
                _warn_of_space(frames.cache.folder, (frames.cache.written - before) / made * (mine - done) * world)
    print(f'{title}: {mine} frames, {computed} targets computed, {mine - made} frames were known already')
    return computed


def _warn_of_space(folder: Path, needed: float) -> None:
    free = free_space(folder)
    if needed > free:
        print(f'warning: the rest will take about {needed / 1e9:.1f} GB, but {free / 1e9:.1f} GB are free at {folder}: '
              'choose a folder on another disk (--out), or make space', file=sys.stderr)
