# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""The command `doctor`: is all that a recipe names there, and does it fit together? Before hours are spent on it."""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import Iterator, Sequence

import numpy as np
from rich.console import Console
from rich.table import Table

from ros_kd.datasets import Dataset, open_dataset
from ros_kd.inspection.samples import spread
from training.checks import BROKEN, Check, Grade, Part, text_of
from training.checks.costs import check_keeping, check_step
from training.checks.rig import check_data, check_inputs, check_poses, check_rig
from training.checks.teaching import Answers, check_coverage, check_labels, check_targets, check_teacher
from training.frames.data import Frames, under
from training.frames.labelled import frame_name
from training.frames.targets import Makers
from training.running.recipe import Recipe, read_recipe

_HELP = """usage: python -m training doctor --config RECIPE [--data.root DIR] [--frames N]

Checks the data, calibration, teacher, classes, memory and disk of a training on some of its frames. Takes all arguments
of fit. The exit status is 1 if there is a problem that training would fail or learn nothing from.

  --frames N  how many frames of each data set are looked at (default: 8)"""
_STYLES = {Grade.OK: '[green]ok[/]', Grade.WARNING: '[yellow]warning[/]', Grade.PROBLEM: '[bold red]problem[/]'}


def main(arguments: list[str]) -> int:
    """Run `doctor`. Returns the exit status."""
    parser = argparse.ArgumentParser('python -m training doctor', add_help=False)
    parser.add_argument('--frames', type=int, default=8)
    chosen, rest = parser.parse_known_args(arguments)
    if {'-h', '--help'} & set(rest):
        print(_HELP)
        return 0
    if chosen.frames < 1:
        raise ValueError(f'--frames {chosen.frames}: expected 1 or more')
    checks = list(examine(read_recipe('doctor', rest), chosen.frames))
    show(checks, Console())
    return int(any(check.grade is Grade.PROBLEM for check in checks))


def examine(recipe: Recipe, frames: int) -> Iterator[Check]:
    """Yield the checks of a recipe, looking at so many frames of each data set."""
    data, method, parts, sources = recipe.data, recipe.method, [], []
    for part in ('train', 'val'):
        for name in getattr(data, part):
            try:
                dataset = open_dataset(under(data.root, name))
            except (*BROKEN, ModuleNotFoundError) as error:
                yield Check(f'{part} data', Grade.PROBLEM, f'{name}: {text_of(error)}', 'check data.root and the path')
                continue
            neighbours = data.neighbours if part == 'train' else 0
            parts.append(Part.of(name, part, dataset, spread(len(dataset), frames), neighbours))
            if part == 'train':
                sources.append((name, dataset))
            yield from check_data(parts[-1])
    yield from _check_split(data)
    for part in parts:
        yield from check_rig(part, data.teacher is not None or method.looking is not None)
        yield from check_inputs(part, method.spec.inputs)
        yield from check_labels(part, method.taxonomy)
        if part.part == 'train':
            yield from check_poses(part, data.neighbours)
    yield from _check_teaching(recipe, parts, sources, frames)


def _check_split(data: Frames) -> Iterator[Check]:
    both = sorted(set(data.train) & set(data.val))
    if both:
        yield Check('split', Grade.WARNING, f'{both[0]} is trained on and validated on', 'validate on other places')
    if not data.val:
        yield Check('split', Grade.WARNING, 'no validation data: the last checkpoint is taken, not the best, and '
                    'nothing says how sure the student may be', 'give data.val')


def _check_teaching(recipe: Recipe, parts: Sequence[Part], sources: Sequence[tuple[str, Dataset]],
                    frames: int) -> Iterator[Check]:
    data, method, teacher = recipe.data, recipe.method, recipe.data.teacher
    train, answers = [part for part in parts if part.part == 'train'], []
    try:
        if teacher is not None:
            teacher.locate(data.root)
        makers = method.makers(teacher)
    except BROKEN as error:
        yield Check('teacher', Grade.PROBLEM, text_of(error), 'check data.teacher and the method\'s taxonomy')
        makers = Makers()
    if makers.classes is not None or makers.features is not None:
        yield from check_teacher(teacher, train)
        yield from check_coverage(method, makers, teacher)
    yield from check_targets(method, replace(makers, labels=None), train, answers)
    if makers.labels is not None:
        yield from _check_labelled(recipe, Makers(labels=makers.labels), sources, frames)
    yield from _check_costs(recipe, train, parts, answers)


def _check_labelled(recipe: Recipe, makers: Makers, sources: Sequence[tuple[str, Dataset]],
                    frames: int) -> Iterator[Check]:
    """Look at frames whose 3D labels are used: others need none."""
    names = [frame_name(name, i) for name, dataset in sources for i in range(len(dataset))]
    try:
        used = recipe.data.labels.choose(names)
    except BROKEN as error:
        yield Check('labelled frames', Grade.PROBLEM, text_of(error), 'check data.labels')
        return
    none = Grade.WARNING if recipe.method.learns_without_labels else Grade.PROBLEM
    yield Check('labelled frames', Grade.OK if used.any() else none,
                f'3D labels of {used.sum()} of {len(names)} frames are used',
                '' if used.any() else 'raise data.labels.share, or give data.labels.file')
    parts = []
    for (name, dataset), own in zip(sources, np.split(used, np.cumsum([len(dataset) for _, dataset in sources])[:-1])):
        numbers = np.flatnonzero(own)[spread(int(own.sum()), frames)].tolist()
        parts.append(Part.of(name, 'train', dataset, numbers))
    yield from check_targets(recipe.method, makers, parts, [])


def _check_costs(recipe: Recipe, train: Sequence[Part], parts: Sequence[Part],
                 answers: Sequence[Answers]) -> Iterator[Check]:
    try:
        yield from check_step(recipe.method, recipe.data, train)
    except BROKEN:  # scans that the student cannot take, said above
        pass
    yield from check_keeping(recipe.data, parts, answers, recipe.method.looking is not None)


def show(checks: Sequence[Check], console: Console) -> None:
    """Print the checks as a table, and what they come to."""
    table = Table('', 'what', 'found', 'what to do')
    for check in checks:
        table.add_row(_STYLES[check.grade], check.what, check.found, check.advice)
    console.print(table)
    problems, warnings = (sum(check.grade is grade for check in checks) for grade in (Grade.PROBLEM, Grade.WARNING))
    console.print('[bold red]not ready[/]: see the problems above' if problems else
                  '[yellow]ready, with warnings[/]' if warnings else '[green]ready[/]', f'({problems} problems, '
                  f'{warnings} warnings, {len(checks)} checks)')
