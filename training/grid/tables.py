# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""Tables and plots of a grid: means and standard deviations over seeds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Iterable, Mapping, Sequence

import numpy as np

from training.grid.plan import Grid, GridError, Plot, Run, Table
from training.grid.results import PIXELS, SECONDS, Result, Results

_PLAIN = {PIXELS: 'px', SECONDS: 's'}  # metrics that are no fractions, and their units
_MARKERS = 'os^vDP*X<>'


@dataclass(frozen=True)
class Statistic:
    """mean, deviation (of the sample; 0 for one value) and count of values, one a run."""

    mean: float
    deviation: float
    count: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Statistic:
        """Return the statistic of at least one value."""
        return cls(float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else 0.0, len(values))

    def text(self, usual: int) -> str:
        """Return "43.2 ± 1.0"; the count too where it is not the usual one."""
        spread = f' ± {self.deviation:.1f}' if self.count > 1 else ''
        return f'{self.mean:.1f}{spread}' + (f' (n = {self.count})' if self.count != usual else '')


def statistics(grid: Grid, results: Results, axes: Sequence[str], metric: str,
               where: Mapping[str, tuple[str, ...]]) -> dict[tuple[str, ...], Statistic]:
    """Return the statistic of a metric (percent where it is a fraction) by the values of `axes`.

    Runs without a result, without the metric, or without one of the axes are left out. Raises GridError for an axis or
    a value that the grid lacks, ValueError for an unknown metric.
    """
    _check(grid, axes, where)
    found: dict[tuple[str, ...], list[float]] = {}
    for run, result in finished(grid, results, where):
        if not all(axis in run.values for axis in axes):
            continue
        value = result.metric(metric)
        if value is not None:
            scaled = value if metric in _PLAIN else 100 * value
            found.setdefault(tuple(run.values[axis] for axis in axes), []).append(scaled)
    return {place: Statistic.of(values) for place, values in found.items()}


def finished(grid: Grid, results: Results, where: Mapping[str, tuple[str, ...]]) -> Iterable[tuple[Run, Result]]:
    """Yield the runs that have a result and one of the values that `where` allows for each of its axes."""
    for run in grid.runs:
        result = results.get(run.key)
        if result is not None and all(run.values.get(axis) in values for axis, values in where.items()):
            yield run, result


def markdown(grid: Grid, results: Results, table: Table) -> str:
    """Return a table in markdown, one for each metric if it has columns, with what it is over."""
    if not any(finished(grid, results, table.where)):
        _check(grid, (*table.rows, *filter(None, [table.columns])), table.where)
        return 'No run of this table has ended yet.'
    if table.columns:
        parts = [_grid_table(grid, results, table, metric) for metric in table.metrics]
    else:
        parts = [_metric_table(grid, results, table)]
    return '\n\n'.join(part for part in [*parts, _note(grid, results, table)] if part)


def _grid_table(grid: Grid, results: Results, table: Table, metric: str) -> str:
    found = statistics(grid, results, (*table.rows, table.columns), metric, table.where)
    columns = [value for value in grid.axes[table.columns] if any(place[-1] == value for place in found)]
    rows = list(dict.fromkeys(place[:-1] for place in _sorted(found, grid, (*table.rows, table.columns))))
    usual = _usual(found.values())
    lines = [[_title(metric) + ', ' + ' · '.join(table.rows), *columns]]
    lines += [[' · '.join(row), *(found[(*row, column)].text(usual) if (*row, column) in found else '–'
                                   for column in columns)] for row in rows]
    return _lines(lines)


def _metric_table(grid: Grid, results: Results, table: Table) -> str:
    found = [statistics(grid, results, table.rows, metric, table.where) for metric in table.metrics]
    places = _sorted({place: None for part in found for place in part}, grid, table.rows)
    usual = _usual([statistic for part in found for statistic in part.values()])
    lines = [[' · '.join(table.rows), *map(_title, table.metrics)]]
    lines += [[' · '.join(place), *(part[place].text(usual) if place in part else '–' for part in found)]
              for place in places]
    return _lines(lines)


def _note(grid: Grid, results: Results, table: Table) -> str:
    """What every table must state: split, seeds, test-time augmentation, and runs that are missing."""
    chosen = list(finished(grid, results, table.where))
    data = sorted({name.rpartition(':')[2] for _, result in chosen for name in result.datasets})
    views = sorted({run.scoring.tta for run, _ in chosen})
    augmented = 'without test-time augmentation' if views == [1] else f'averaged over {views} turned views'
    asked = sum(all(run.values.get(axis) in values for axis, values in table.where.items()) for run in grid.runs)
    missing = f'; {asked - len(chosen)} of {asked} runs are missing' if asked > len(chosen) else ''
    seeds = sorted({run.seed for run, _ in chosen})
    return (f'{table.caption + " " if table.caption else ""}Mean ± standard deviation over seeds '
            f'{", ".join(map(str, seeds))}; scored on {", ".join(data)}, {augmented}{missing}.')


def draw(grid: Grid, results: Results, plot: Plot, path: Path) -> Path:
    """Write a plot with error bars of one standard deviation and return its path."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure((9 if plot.lines else 7, 4.2), layout='constrained')
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    lines = plot.where.get(plot.lines, grid.axes[plot.lines]) if plot.lines else ('',)
    drawn = {line: found for line in lines if (found := _line(grid, results, plot, line))[0]}
    for number, (line, (x, y, spread)) in enumerate(drawn.items()):
        # Side by side, where whole numbers stand for names: else their bars hide each other.
        aside = 0.02 * (number - (len(drawn) - 1) / 2) if plot.x in grid.axes else 0
        axes.errorbar([value + aside for value in x], y, spread, marker=_MARKERS[number % len(_MARKERS)], capsize=3,
                      color=f'C{number % 10}', label=line)
    if plot.x in grid.axes:
        shown = plot.where.get(plot.x, grid.axes[plot.x])
        ticks = [place for place, value in enumerate(grid.axes[plot.x]) if value in shown]
        axes.set_xticks(ticks, [grid.axes[plot.x][place] for place in ticks])
    axes.set_xlabel(_title(plot.x) if plot.x not in grid.axes else plot.x)
    axes.set_ylabel(_title(plot.metric))
    axes.grid(alpha=0.3)
    if plot.lines and drawn:
        figure.legend(title=plot.lines, fontsize='small', loc='outside right upper')
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110, metadata={'Software': None})
    return path


def _line(grid: Grid, results: Results, plot: Plot, line: str) -> tuple[list[float], list[float], list[float]]:
    where = {**plot.where, plot.lines: (line,)} if plot.lines else plot.where
    if plot.x in grid.axes:
        found = statistics(grid, results, (plot.x,), plot.metric, where)
        values = [(grid.axes[plot.x].index(value), statistic) for (value,), statistic in found.items()]
    else:
        # Each combination of the other axes is a point, at the mean of what was measured for x.
        axes = tuple(axis for axis in grid.axes if axis != plot.lines)
        x = statistics(grid, results, axes, plot.x, where)
        y = statistics(grid, results, axes, plot.metric, where)
        values = [(x[place].mean, y[place]) for place in x if place in y]
    values.sort(key=lambda pair: pair[0])
    return ([x for x, _ in values], [statistic.mean for _, statistic in values],
            [statistic.deviation for _, statistic in values])


def _check(grid: Grid, axes: Sequence[str], where: Mapping[str, tuple[str, ...]]) -> None:
    for axis in (*axes, *where):
        if axis not in grid.axes:
            raise GridError(f'{grid.name} has no axis "{axis}"; it has {list(grid.axes)}')
    for axis, values in where.items():
        if unknown := [value for value in values if value not in grid.axes[axis]]:
            raise GridError(f'axis "{axis}" of {grid.name} has no value {unknown}; it has {list(grid.axes[axis])}')


def _sorted(places: Iterable[tuple[str, ...]], grid: Grid, axes: Sequence[str]) -> list[tuple[str, ...]]:
    order = [{value: number for number, value in enumerate(grid.axes[axis])} for axis in axes]
    return sorted(places, key=lambda place: [ranks[value] for ranks, value in zip(order, place)])


def _usual(found: Iterable[Statistic]) -> int:
    counts = [statistic.count for statistic in found]
    return max(set(counts), key=lambda count: (counts.count(count), count)) if counts else 0


def _title(metric: str) -> str:
    if metric in _PLAIN:
        return f'{metric} ({_PLAIN[metric]})'
    return metric if metric == 'accuracy' or 'IoU' in metric else f'mIoU {metric}'


def _lines(cells: list[list[str]]) -> str:
    head, *body = (f'| {" | ".join(cell.replace("|", "/") for cell in line)} |' for line in cells)
    return '\n'.join([head, '|' + ' --- |' + ' ---: |' * (len(cells[0]) - 1), *body])
