# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""One piece of a grid's work, in the process that does it: a stage is trained, or a run's student scored."""

from __future__ import annotations

import gc
import json
import shutil
import time
import traceback
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import torch
import yaml

from ros_kd.datasets import open_dataset
from training.frames.data import under
from training.frames.rig_errors import RigErrors, median_pixel_error
from training.grid.plan import Recipe, Run, Scoring, Stage, filled
from training.grid.results import Result, result_of
from training.grid.scoring import score
from training.running import cli
from training.running.export import STUDENT
from training.scores.labellers import Labeller, Student
from training.scores.run_labeller import run_labeller

_DONE = 'done.json'
ROOT = '{root}'  # in recipes: the folder that paths of data start at
_INTERRUPTED = 1  # the status with which Lightning exits after Ctrl-C; a wrong recipe exits with another


@dataclass(frozen=True)
class Workshop:
    """Where a grid works. out: its folder. root: where paths of data start. cache: of targets, for recipes that say
    nothing of data.cache themselves."""

    out: Path
    root: Path
    cache: Path | None = None

    def folder(self, key: str) -> Path:
        """Return the folder of a stage."""
        return self.out / 'stages' / key

    def student(self, key: str) -> Path:
        """Return the file of a stage's student."""
        return self.folder(key) / STUDENT

    def is_trained(self, key: str) -> bool:
        """Tell whether a stage is finished."""
        return (self.folder(key) / _DONE).is_file()


class Interrupted(RuntimeError):
    """Someone pressed Ctrl-C; the training can be resumed."""


@dataclass(frozen=True, eq=False)
class TrainStage:
    """The work of training a stage with a seed; earlier ones that it needs are trained."""

    stage: Stage
    seed: int
    workshop: Workshop

    def __call__(self) -> None:
        """Train, resuming what was begun. Raises what the training raises, Interrupted on Ctrl-C."""
        folder = self.workshop.folder(self.stage.key)
        if self.workshop.is_trained(self.stage.key):
            return
        folder.mkdir(parents=True, exist_ok=True)
        began = time.monotonic()
        with (folder / 'output.txt').open('a', buffering=1) as output, redirect_stdout(output), redirect_stderr(output):
            try:
                self._fit(folder)
            except SystemExit as error:
                if error.code == _INTERRUPTED:
                    raise Interrupted from None
                raise ValueError(f'the recipe is refused: {_last_line(folder / "output.txt")}') from None
            finally:
                _clean_up()
        if (folder / STUDENT).is_file():
            shutil.rmtree(folder / cli.CHECKPOINTS)
        (folder / _DONE).write_text(json.dumps({'seconds': round(time.monotonic() - began, 1)}))

    def _fit(self, folder: Path) -> None:
        last = folder / cli.CHECKPOINTS / 'last.ckpt'
        if last.is_file() and not _is_whole(last):
            shutil.rmtree(folder / cli.CHECKPOINTS)
        cli.run([*self._arguments(folder), *(['--ckpt_path', 'last'] if last.is_file() else [])])

    def _arguments(self, folder: Path) -> list[str]:
        recipe = filled(self.stage.recipe, ROOT, str(self.workshop.root))
        for name, key in self.stage.needs.items():
            recipe = filled(recipe, f'{{{name}}}', str(self.workshop.student(key)))
        path = folder / 'config.yaml'
        path.write_text(yaml.safe_dump(recipe, sort_keys=False))
        own = self.workshop.cache is None or 'cache' in recipe.get('data', {})
        cache = [] if own else ['--data.cache', str(self.workshop.cache)]
        return ['fit', '--config', str(path), '--run', str(folder), '--seed_everything', str(self.seed), '--data.root',
                str(self.workshop.root), *cache]


@dataclass(frozen=True, eq=False)
class ScoreRun:
    """The work of scoring a run whose stages are trained."""

    run: Run
    grid: str
    revision: str
    workshop: Workshop

    def __call__(self) -> Result:
        """Return the scores, also written beside the student."""
        last = self.run.stages[-1]
        labeller = labeller_of(self.workshop.folder(last.key), self.run.scoring, self.workshop.root)
        with torch.inference_mode():
            report = score(labeller, self.run.scoring, self.workshop.root)
        seconds = sum(json.loads((self.workshop.folder(stage.key) / _DONE).read_text())['seconds']
                      for stage in self.run.stages)
        result = result_of(report, self.run.scoring.reachable, key=self.run.key, grid=self.grid,
                           cell=dict(self.run.values), seed=self.run.seed, seconds=round(seconds, 1),
                           revision=self.revision, pixel_error=rig_pixel_error(last.recipe, self.workshop.root),
                           stages={stage.name: stage.key for stage in self.run.stages})
        (self.workshop.folder(last.key) / f'result-{self.run.key}.json').write_text(result.to_json() + '\n')
        return result


def labeller_of(folder: Path, scoring: Scoring, root: Path) -> Labeller:
    """Return what a trained stage answers with: its exported student, or for one that needs cameras the run itself."""
    student = folder / STUDENT
    return Student(student, scoring.tta, 'cpu') if student.is_file() else run_labeller(folder, root, scoring.tta, 'cpu')


def rig_pixel_error(recipe: Recipe, root: Path) -> float | None:
    """Return the median pixel error that the recipe's rig errors cause in its training frames, None without any."""
    given = recipe.get('data', {}).get('rig_errors')
    if not given:
        return None
    errors = RigErrors(**given)
    return median([median_pixel_error(open_dataset(under(root, name)), errors, 3) for name in recipe['data']['train']])


def _is_whole(checkpoint: Path) -> bool:
    """Tell whether a checkpoint can be read: a full disk may have cut it off."""
    try:
        torch.load(checkpoint, map_location='cpu', weights_only=True, mmap=True)
    except Exception:  # whatever torch makes of such bytes
        traceback.print_exc()
        return False
    return True


def _last_line(path: Path) -> str:
    lines = [line for line in path.read_text().splitlines() if line.strip()]
    return lines[-1] if lines else 'nothing was said'


def _clean_up() -> None:
    """Forget a training, whose objects refer to each other."""
    gc.collect()
