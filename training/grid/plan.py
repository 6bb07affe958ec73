# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""What a grid's YAML file asks for: cells (a recipe for each combination of its axes' values) times seeds.

    name: labels
    base: ../recipes/simulated.yaml       # a path relative to this file, or the recipe itself
    seeds: [0, 1, 2]
    evaluation: {datasets: ['bag:town-200'], taxonomy: sim-12}
    blocks:                               # each: changes of the base, then every combination of its axes' values
      - set: {trainer.max_steps: 100}
        axes:
          labels: {1 %: {data.labels.share: 0.01}, 10 %: {data.labels.share: 0.1}}
          width: {narrow: {}, wide: {model.init_args.student.width: 0.5}}
    tables:
      - {name: widths, rows: width, columns: labels, metrics: [mIoU, nearer than 6 m]}
    plots:
      - {name: widths, x: labels, lines: width, metric: mIoU}

A change names a value of the recipe with dots and replaces it, a mapping as a whole; `evaluation.…` changes the
scoring. "{seed}" anywhere in a recipe is the run's seed, "{root}" the folder that paths of data start at. Without
`blocks`, the file's own `set` and `axes` are the only block.

A cell may train in stages, each from the student of one before it: `stages: [pretrain, probe]` at the file's or a
block's level. A change of one stage alone is written `probe/model.class_path: …`; "{pretrain}" in a later stage's recipe is the
path of the earlier one's student. Cells that share a stage (same recipe, same seed) train it once.
"""

from __future__ import annotations

import hashlib
import json
from copy import deepcopy
from dataclasses import asdict, dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Any, Iterator, Mapping

import yaml

Recipe = dict[str, Any]
ONLY = 'train'  # the stage of cells without stages
_KEYS = {'name', 'base', 'seeds', 'evaluation', 'stages', 'set', 'axes', 'blocks', 'tables', 'plots'}
_BLOCK_KEYS = {'stages', 'set', 'axes', 'seeds'}


class GridError(ValueError):
    """A grid file that says something impossible; the text says where."""


@dataclass(frozen=True)
class Scoring:
    """What students are scored on. datasets: specifications. taxonomy: its name. reachable: names of the classes that
    "reachable mIoU" is over; none: all. tta: turned views that are averaged, 1 = none."""

    datasets: tuple[str, ...]
    taxonomy: str
    reachable: tuple[str, ...] = ()
    tta: int = 1


@dataclass(frozen=True, eq=False)
class Stage:
    """A training. recipe: complete, but for "{name}" of earlier stages. key: changes whenever the student would."""

    name: str
    recipe: Recipe
    key: str
    needs: Mapping[str, str] = field(default_factory=dict)
    """Keys of the earlier stages that the recipe names, by their names."""


@dataclass(frozen=True, eq=False)
class Run:
    """A cell with a seed. values: of the axes, in their order. key: changes whenever the scores would."""

    values: Mapping[str, str]
    seed: int
    stages: tuple[Stage, ...]
    scoring: Scoring

    @property
    def key(self) -> str:
        """16 hexadecimal digits."""
        return digest([self.stages[-1].key, asdict(self.scoring)])

    @property
    def name(self) -> str:
        """For people: the cell and the seed."""
        return ' · '.join([*self.values.values(), f'seed {self.seed}'])


@dataclass(frozen=True)
class Table:
    """rows: axes. columns: an axis; none: the metrics side by side. metrics: see Result.metric. where: values of axes
    to keep. Runs that differ in no axis but one that is not named are averaged as seeds are: name it in `where`."""

    name: str
    rows: tuple[str, ...]
    columns: str = ''
    metrics: tuple[str, ...] = ('mIoU',)
    where: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    caption: str = ''


@dataclass(frozen=True)
class Plot:
    """A line for each value of the axis `lines`. x: an axis (its values evenly spaced) or a metric."""

    name: str
    x: str
    lines: str = ''
    metric: str = 'mIoU'
    where: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    caption: str = ''


@dataclass(frozen=True, eq=False)
class Grid:
    """All of a file. axes: their values, in the order in which they come."""

    name: str
    runs: tuple[Run, ...]
    axes: Mapping[str, tuple[str, ...]]
    tables: tuple[Table, ...] = ()
    plots: tuple[Plot, ...] = ()


def digest(value: object) -> str:
    """Return 16 hexadecimal digits that tell a value of plain types from any other."""
    text = json.dumps(value, sort_keys=True, separators=(',', ':'), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def read_grid(path: Path) -> Grid:
    """Return what a file asks for. Raises GridError naming the file and what is wrong in it."""
    try:
        content = yaml.safe_load(path.read_text())
        if not isinstance(content, dict):
            raise GridError('expected a mapping with name, base, evaluation and blocks or axes')
        return grid_of(content, path.parent, path.stem)
    except (GridError, yaml.YAMLError, OSError) as error:
        raise GridError(f'{path}: {error}') from None


def grid_of(content: Mapping[str, Any], folder: Path, name: str = 'grid') -> Grid:
    """Return the grid that a file's content describes; `base` may be a path under `folder`. Raises GridError."""
    _only(content, _KEYS, 'the grid')
    base = _base(content.get('base'), folder)
    if 'evaluation' not in content:
        raise GridError('no evaluation: expected its datasets and taxonomy')
    blocks = content.get('blocks') or [{'axes': content.get('axes') or {}}]
    runs: dict[tuple[str, tuple], Run] = {}
    axes: dict[str, dict[str, None]] = {}
    for number, block in enumerate(blocks):
        _only(block, _BLOCK_KEYS, f'block {number + 1}')
        for axis, values in (block.get('axes') or {}).items():
            axes.setdefault(str(axis), {}).update(dict.fromkeys(map(str, values)))
        for values, changes in _combinations(block.get('axes') or {}):
            every = [content.get('set') or {}, block.get('set') or {}, *changes]
            stages = block.get('stages') or content.get('stages') or [ONLY]
            for seed in block.get('seeds') or content.get('seeds') or [0]:
                run = _run(base, content['evaluation'], every, stages, values, int(seed))
                runs.setdefault((run.key, tuple(values.items())), run)
    tables = tuple(_described(Table, item) for item in content.get('tables') or [])
    plots = tuple(_described(Plot, item) for item in content.get('plots') or [])
    return Grid(str(content.get('name', name)), tuple(runs.values()),
                {axis: tuple(values) for axis, values in axes.items()}, tables, plots)


def _base(base: object, folder: Path) -> Recipe:
    if isinstance(base, str):
        path = folder / base  # an absolute one stays as it is
        if not path.is_file():
            raise GridError(f'base: no recipe at {path}')
        base = yaml.safe_load(path.read_text())
    if not isinstance(base, dict):
        raise GridError(f'base is {base!r}: expected the path of a recipe, or a recipe')
    return base


def _combinations(axes: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[dict[str, str], list[Recipe]]]:
    for axis, values in axes.items():
        if not isinstance(values, dict) or not values:
            raise GridError(f'axis "{axis}" is {values!r}: expected changes of the recipe by name, such as '
                            '{narrow: {}, wide: {model.init_args.student.width: 1}}')
    for chosen in product(*(values.items() for values in axes.values())):
        yield dict(zip(map(str, axes), (str(name) for name, _ in chosen))), [change or {} for _, change in chosen]


def _run(base: Recipe, evaluation: Recipe, changes: list[Recipe], names: list[str], values: dict[str, str],
         seed: int) -> Run:
    stages: list[Stage] = []
    scoring = deepcopy(evaluation)
    recipes = {name: deepcopy(base) for name in names}
    for change in changes:
        for place, value in change.items():
            stage, slash, dotted = str(place).rpartition('/')
            if slash and stage not in recipes:
                raise GridError(f'"{place}" changes stage "{stage}", but the stages are {names}')
            if dotted.startswith('evaluation.'):
                put(scoring, dotted.removeprefix('evaluation.'), value)
                continue
            for name in [stage] if slash else names:
                put(recipes[name], dotted, value)
    for name in names:
        recipe = filled(recipes[name], '{seed}', seed)
        needs = {earlier.name: earlier.key for earlier in stages if mentions(recipe, f'{{{earlier.name}}}')}
        stages.append(Stage(name, recipe, digest([recipe, seed, needs]), needs))
    for name in ('datasets', 'reachable'):
        if isinstance(scoring.get(name), str):
            raise GridError(f'evaluation: {name} is "{scoring[name]}", expected a list, such as [{scoring[name]}]')
    try:
        scored = Scoring(**{key: tuple(value) if isinstance(value, list) else value for key, value in scoring.items()})
    except TypeError as error:
        raise GridError(f'evaluation: {error}') from None
    return Run(values, seed, tuple(stages), replace(scored, reachable=scored.reachable or ()))


def put(recipe: Recipe, dotted: str, value: object) -> None:
    """Set a value named with dots, making the mappings on its way. Raises GridError if one of them is none."""
    *path, last = dotted.split('.')
    for depth, name in enumerate(path):
        inner = recipe.get(name)
        if inner is None:
            inner = recipe[name] = {}
        if not isinstance(inner, dict):
            raise GridError(f'"{dotted}" cannot be set: {".".join(path[:depth + 1])} is {inner!r}, no mapping')
        recipe = inner
    recipe[last] = deepcopy(value)


def filled(value: Any, text: str, by: object) -> Any:
    """Return a recipe with `text` replaced: by the value itself where it stands alone, else by its text."""
    if isinstance(value, dict):
        return {key: filled(item, text, by) for key, item in value.items()}
    if isinstance(value, list):
        return [filled(item, text, by) for item in value]
    if isinstance(value, str) and text in value:
        return by if value == text else value.replace(text, str(by))
    return value


def mentions(value: Any, text: str) -> bool:
    """Tell whether a text of the recipe holds `text`."""
    if isinstance(value, (dict, list)):
        return any(mentions(item, text) for item in (value.values() if isinstance(value, dict) else value))
    return isinstance(value, str) and text in value


def _only(content: object, known: set[str], where: str) -> None:
    if not isinstance(content, dict):
        raise GridError(f'{where} is {content!r}: expected a mapping')
    if unknown := set(content) - known:
        raise GridError(f'{where} has {sorted(map(str, unknown))}; it may have {sorted(known)}')


def _described(kind: type, item: object) -> Any:
    """Return a Table or a Plot; a single value stands for a list of one."""
    _only(item, set(kind.__dataclass_fields__), f'a {kind.__name__.lower()}')
    given = dict(item)
    for name in {'rows', 'metrics'} & set(given):
        given[name] = _several(given[name])
    given['where'] = {str(axis): _several(values) for axis, values in (given.get('where') or {}).items()}
    try:
        return kind(**given)
    except TypeError as error:
        raise GridError(f'a {kind.__name__.lower()}: {error}') from None


def _several(values: object) -> tuple[str, ...]:
    return tuple(map(str, values)) if isinstance(values, list) else (str(values),)
