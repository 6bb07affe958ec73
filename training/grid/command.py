# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""python -m training grid: train and score all of a grid's runs, then write its tables and plots."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from training.grid.plan import Grid, read_grid
from training.grid.report import overview, rewrite
from training.grid.results import Results


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser('python -m training grid', description='Train and score many runs; see '
                                     'training/grid/plan.py for the file. What has a result is not repeated, what was '
                                     'killed is resumed.')
    parser.add_argument('--config', type=Path, action='append', required=True, metavar='GRID.yaml', help='repeatable')
    parser.add_argument('--out', type=Path, default=Path('runs/grid'),
                        help='students, logs, tables (default runs/grid)')
    parser.add_argument('--root', type=Path, default=Path('.'), help='folder that paths of data start at')
    parser.add_argument('--results', type=Path, metavar='DIR', help='where NAME.jsonl of each grid grows (default: '
                        'OUT); what its other files hold is not repeated')
    parser.add_argument('--cache', type=Path, metavar='DIR', help='targets that all runs share')
    parser.add_argument('--jobs', type=int, default=1, help='processes, one thread each (default 1)')
    parser.add_argument('--list', action='store_true', help='only say which runs there are')
    parser.add_argument('--tables', action='store_true', help='train nothing, only write tables and plots')
    parser.add_argument('--report', type=Path, metavar='DOCUMENT', help='also rewrite its marked parts; see report.py')
    return parser


def main(arguments: list[str]) -> int:
    """Run `grid`. Returns the exit status: 1 if a run failed, 130 after Ctrl-C."""
    parser = _parser()
    chosen = parser.parse_args(arguments)
    if chosen.jobs < 1:
        parser.error(f'--jobs {chosen.jobs}: expected 1 or more processes')
    grids = {grid: results_of(grid, chosen.results or chosen.out) for grid in map(read_grid, chosen.config)}
    if chosen.list:
        for grid, results in grids.items():
            for run in grid.runs:
                print(f'{grid.name}: {run.name} {run.key}{"" if run.key in results else " (to do)"}')
        return 0
    status = 0
    try:
        for grid, results in grids.items():
            status |= 0 if chosen.tables else _run(grid, results, chosen)
            print(f'tables: {overview(grid, results, chosen.out)}')
    except KeyboardInterrupt:
        print('interrupted: the same command goes on from here', file=sys.stderr)
        return 130
    if chosen.report:
        for name in rewrite(chosen.report, grids, chosen.report.parent / 'images' / 'results'):
            print(f'{chosen.report} has no marks for {name}')
    return status


def _run(grid: Grid, results: Results, chosen: argparse.Namespace) -> int:
    from training.grid.runner import run_grid
    from training.grid.runs import Interrupted, Workshop

    workshop = Workshop(chosen.out.absolute(), chosen.root.absolute(), chosen.cache and chosen.cache.absolute())
    try:
        return 1 if run_grid(grid, results, workshop, chosen.jobs).failed else 0
    except Interrupted:
        raise KeyboardInterrupt from None


def results_of(grid: Grid, folder: Path) -> Results:
    """Return the results of a grid in `folder`, those of other grids there included."""
    own = folder / f'{grid.name}.jsonl'
    return Results(own, sorted(set(folder.glob('*.jsonl')) - {own}))
