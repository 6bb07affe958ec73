# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""What runs measured, a line of JSON each."""

from __future__ import annotations

import json
import math
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Iterable, Mapping

from training.scores.evaluate import Report, SubsetScore
from training.scores.metrics import mean_over

MIOU, REACHABLE, ACCURACY, PIXELS, SECONDS = 'mIoU', 'reachable mIoU', 'accuracy', 'pixel error', 'seconds'


@dataclass(frozen=True)
class Result:
    """Scores of a run as fractions. key: of the run, see plan.Run. cell: values of the axes. reachable_mean_iou: over
    the classes that the grid calls reachable. pixel_error: median, that the rig errors of the training frames cause.
    seconds: of all its stages, shared ones included. revision: of the code in git, "+" if it was changed."""

    key: str
    grid: str
    cell: dict[str, str]
    seed: int
    mean_iou: float
    reachable_mean_iou: float
    accuracy: float
    iou: dict[str, float | None]
    subsets: dict[str, SubsetScore]
    datasets: list[str]
    taxonomy: str
    frames: int
    points: int
    seconds: float
    revision: str = ''
    pixel_error: float | None = None
    stages: dict[str, str] = field(default_factory=dict)

    def to_json(self) -> str:
        """Return it as one line, fractions to a hundredth of a percent."""
        return json.dumps(_rounded(asdict(self)), separators=(', ', ': '))

    @classmethod
    def from_json(cls, line: str) -> Result:
        """Return the result of a line. Raises ValueError for a line of something else."""
        try:
            values = json.loads(line)
            return cls(**{**values, 'subsets': {name: SubsetScore(**part) for name, part in values['subsets'].items()}})
        except (TypeError, KeyError) as error:
            raise ValueError(f'no result of a run ({type(error).__name__}: {error}): {line[:80]}') from None

    def metric(self, name: str) -> float | None:
        """Return "mIoU", "reachable mIoU", "accuracy", "IoU car", "pixel error", "seconds", or the mIoU of a part of
        the points by its name ("nearer than 6 m"); None where it was not measured. Raises ValueError for others."""
        own = {MIOU: self.mean_iou, REACHABLE: self.reachable_mean_iou, ACCURACY: self.accuracy,
               PIXELS: self.pixel_error, SECONDS: self.seconds}
        if name in own:
            return own[name]
        if name in self.subsets:
            return self.subsets[name].mean_iou
        class_name = name.removeprefix('IoU ')
        if class_name != name and class_name in self.iou:
            return self.iou[class_name]
        raise ValueError(f'no metric "{name}": there are {[*own, *self.subsets]} and "IoU CLASS" for each of '
                         f'{list(self.iou)}')


def reachable_mean(iou: Mapping[str, float | None], reachable: Iterable[str]) -> float:
    """Return the mean IoU over the classes `reachable` (none named: all) that have labelled points; NaN without any.

    Raises ValueError for a name that is no class.
    """
    names = list(reachable) or list(iou)
    if unknown := [name for name in names if name not in iou]:
        raise ValueError(f'evaluation.reachable names {unknown}, but the classes are {list(iou)}')
    return mean_over(iou, names)


def result_of(report: Report, reachable: Iterable[str], **known: object) -> Result:
    """Return the result of a run: a report's scores and what else is known of it (see Result)."""
    return Result(mean_iou=report.mean_iou, reachable_mean_iou=reachable_mean(report.iou, reachable),
                  accuracy=report.accuracy, iou=report.iou, subsets=report.subsets, datasets=report.datasets,
                  taxonomy=report.taxonomy, frames=report.frames, points=report.points, **known)


def _rounded(value: object) -> object:
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, float):
        return None if math.isnan(value) else round(value, 4)
    return value


class Results:
    """Results by key, in a file that grows by a line with each run that ends.

    others: files of other grids, whose runs need not be repeated. A last line that was cut off by a kill is left out,
    and the next one begins on a line of its own.
    """

    def __init__(self, path: Path, others: Iterable[Path] = ()) -> None:
        self.path = path
        self._known: dict[str, Result] = {}
        for file in [*others, path]:
            for line in file.read_text().splitlines() if file.is_file() else ():
                try:
                    result = Result.from_json(line)
                except ValueError:
                    continue
                self._known[result.key] = result

    def __contains__(self, key: str) -> bool:
        return key in self._known

    def get(self, key: str) -> Result | None:
        """Return the result of a run, None if it has none yet."""
        return self._known.get(key)

    def add(self, result: Result) -> None:
        """Keep a result, on the disk before this returns."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open('ab+') as file:
            if file.tell():
                file.seek(-1, os.SEEK_END)
                if file.read(1) != b'\n':
                    file.write(b'\n')
            file.write(result.to_json().encode() + b'\n')
            file.flush()
            os.fsync(file.fileno())
        self._known[result.key] = result
