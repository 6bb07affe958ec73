# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Distillation in miniature: every method against its controls in simulated towns, three seeds each.

Small students (parts/distillation.yaml) learn from 100 frames of ten towns and a teacher (parts/teacher.yaml) that was
trained on images of twenty others; they are scored on 40 frames of four towns that neither saw. benchmarks/distillation/
holds the grids, docs/results/ a line for each run that has ended, which is not run again; docs/RESULTS.md gets the
tables. All goes on where it was stopped. Prints the mean over the seeds of each table's cells.

DISTILLATION_GRIDS: only these, e.g. "main,adapters". DISTILLATION_JOBS: runs at a time, one thread each (all cores).
DISTILLATION_TABLES=1: train nothing, only write the tables of what has ended. ROS_KD_TEST_DATA: the folder of the real
frames that the grid "real" learns from; without it that grid is left out.
"""

from __future__ import annotations

import os
import shutil
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from benchmarks.parts.timing import show
from benchmarks.parts.towns import Town, written
from training.grid.command import results_of
from training.grid.plan import Grid, read_grid
from training.grid.report import rewrite
from training.grid.results import Results
from training.grid.runner import run_grid
from training.grid.runs import Workshop
from training.grid.tables import statistics

ROOT = Path(__file__).parents[1]
GRIDS, RECIPES = ROOT / 'benchmarks' / 'distillation', ROOT / 'benchmarks' / 'parts'
RESULTS, DOCUMENT = ROOT / 'docs' / 'results', ROOT / 'docs' / 'RESULTS.md'
OUT = ROOT / 'out' / 'distillation'
WORLDS, TEACHER = OUT / 'worlds', 'teacher.safetensors'
JOBS = int(os.environ.get('DISTILLATION_JOBS', 0)) or len(os.sched_getaffinity(0))

FRAMES = 10  # of each town
TRAIN, TEST = range(1, 11), range(200, 204)
JITTERS = (0, 50, 100)  # ms
REAL, REAL_FRAMES = 'real', os.environ.get('ROS_KD_TEST_DATA', '')


def towns() -> list[Town]:
    """Return all drives."""
    plain = [Town(seed, FRAMES) for seed in (*TRAIN, *TEST)]
    return plain + [Town(seed, FRAMES, jitter) for jitter in JITTERS for seed in TRAIN]


def prepare() -> None:
    """Render what is missing, a second for each frame, and train the teacher, minutes."""
    missing = [town for town in towns() if not (WORLDS / town.name).exists()]
    if missing:
        print(f'rendering {len(missing)} towns into {WORLDS}', file=sys.stderr)
        with ProcessPoolExecutor(JOBS, get_context('spawn')) as pool:
            list(pool.map(written, missing, [WORLDS] * len(missing)))
    if not (WORLDS / TEACHER).exists():
        train_teacher()


def train_teacher() -> None:
    """Train the image network, going on where it was stopped."""
    from training.running.image_fit import run

    folder = OUT / 'teacher'
    begun = ['--ckpt_path', 'last'] if (folder / 'checkpoints' / 'last.ckpt').is_file() else []
    run(['--config', str(RECIPES / 'teacher.yaml'), '--run', str(folder), '--data.root', str(WORLDS), *begun])
    shutil.copyfile(folder / TEACHER, WORLDS / f'{TEACHER}.part')
    (WORLDS / f'{TEACHER}.part').rename(WORLDS / TEACHER)


def chosen_grids() -> list[Grid]:
    """Return the grids to run. Raises SystemExit for an unknown one."""
    grids = {path.stem: path for path in sorted(GRIDS.glob('*.yaml'))}
    names = [name for name in os.environ.get('DISTILLATION_GRIDS', '').split(',') if name] or list(grids)
    if unknown := [name for name in names if name not in grids]:
        raise SystemExit(f'DISTILLATION_GRIDS has {unknown}; there are {list(grids)}')
    return [read_grid(grids[name]) for name in names]


def train(grids: dict[Grid, Results]) -> bool:
    """Run what has no result yet. Returns whether all went well."""
    well = True
    if any(grid.name != REAL for grid in grids):
        prepare()
    for grid, results in grids.items():
        if grid.name == REAL and not REAL_FRAMES:
            print(f'{REAL} is left out: ROS_KD_TEST_DATA does not say where real frames are', file=sys.stderr)
            continue
        workshop = Workshop(OUT, Path(REAL_FRAMES) if grid.name == REAL else WORLDS, OUT / 'cache')
        outcome = run_grid(grid, results, workshop, JOBS, lambda text: print(text, file=sys.stderr, flush=True))
        well &= not outcome.failed
    return well


def show_grid(grid: Grid, results: Results) -> None:
    """Print the means of a grid's tables."""
    for table in grid.tables:
        axes = (*table.rows, table.columns) if table.columns else table.rows
        for metric in table.metrics:
            for place, found in statistics(grid, results, axes, metric, table.where).items():
                name = '/'.join(place).replace(' ', '_')
                show(f'distillation.{grid.name}.{name}.{metric.replace(" ", "_")}', round(found.mean, 1), '%',
                     deviation=round(found.deviation, 1), seeds=found.count)


def main() -> int:
    """Print one JSON object a line; what is going on, on stderr. Returns 1 if a run failed."""
    grids = {grid: results_of(grid, RESULTS) for grid in chosen_grids()}
    well = bool(os.environ.get('DISTILLATION_TABLES')) or train(grids)
    for grid, results in grids.items():
        show_grid(grid, results)
    if DOCUMENT.exists():
        for name in rewrite(DOCUMENT, grids, DOCUMENT.parent / 'images' / 'results'):
            print(f'{DOCUMENT} has no marks for {name}', file=sys.stderr)
    return int(not well)


if __name__ == '__main__':
    sys.exit(main())
