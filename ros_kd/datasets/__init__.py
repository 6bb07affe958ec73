# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Sources of paired frames. A new source is one file here and one line in KINDS.

A dataset is named by a specification `kind:path?option=value&option=value`, for example `simulated:?seed=3&frames=20`
or `semantickitti:/data/semantickitti?sequences=00,01`; a path alone is recognised by its layout.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Iterator, Protocol
from urllib.parse import parse_qsl

from ros_kd.extrinsics import Trajectory
from ros_kd.frames import PairedFrame

# Modules are imported on first use, so that a vehicle needs only the libraries of the source it opens.
KINDS = {
    'bag': 'ros_kd.datasets.bag',
    'kitti_object': 'ros_kd.datasets.kitti_object',
    'kitti_raw': 'ros_kd.datasets.kitti_raw',
    'nuscenes': 'ros_kd.datasets.nuscenes',
    'nuscenes_info': 'ros_kd.datasets.nuscenes_info',
    'pandaset': 'ros_kd.datasets.pandaset',
    'semantickitti': 'ros_kd.datasets.semantickitti',
    'simulated': 'ros_kd.datasets.simulated',
}


class Dataset(Protocol):
    """A sequence of paired frames in the order of their stamps.

    trajectory: the vehicle's poses, or None where the source has none.
    """

    name: str
    trajectory: Trajectory | None

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> PairedFrame: ...

    def __iter__(self) -> Iterator[PairedFrame]: ...


class DatasetError(ValueError):
    """A dataset that is not there or not laid out as expected; the text says what was looked for."""


@dataclass
class Options:
    """The options of a specification; each is read once, and one that nobody reads is an error."""

    values: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, query: str) -> Options:
        """Read what stands behind the question mark of a specification."""
        return cls(dict(parse_qsl(query.replace('+', '%2B'), keep_blank_values=True)))

    def text(self, name: str, default: str) -> str:
        """Take an option as text."""
        return self.values.pop(name, default)

    def number(self, name: str, default: int) -> int:
        """Take an option as a whole number. Raises DatasetError if it is none."""
        value = self.values.pop(name, default)
        try:
            return int(value)
        except ValueError:
            raise DatasetError(f'option {name}={value}: expected a whole number') from None

    def names(self, name: str, default: tuple[str, ...] = ()) -> tuple[str, ...]:
        """Take an option as a list separated by commas."""
        value = self.values.pop(name, None)
        return default if value is None else tuple(part for part in value.split(',') if part)

    def switch(self, name: str, default: bool) -> bool:
        """Take an option that is yes or no (or 1 or 0). Raises DatasetError if it is neither."""
        value = self.values.pop(name, 'yes' if default else 'no')
        if value not in ('yes', 'no', '1', '0'):
            raise DatasetError(f'option {name}={value}: expected yes or no')
        return value in ('yes', '1')

    def finish(self, kind: str, known: str) -> None:
        """Raise DatasetError if options are left that `kind` does not know."""
        if self.values:
            raise DatasetError(f'dataset {kind} has no option {sorted(self.values)}; it has: {known}')


def open_dataset(specification: str) -> Dataset:
    """Open `kind:path?options` or a path whose layout tells its kind.

    Raises DatasetError saying what was looked for and where.
    """
    kind, path, options = parse(specification)
    return import_module(KINDS[kind]).open(path, options)


def parse(specification: str) -> tuple[str, Path, Options]:
    """Return kind, path and options of a specification. Raises DatasetError if the kind is unknown or unclear."""
    base, _, query = str(specification).partition('?')
    kind, colon, path = base.partition(':')
    options = Options.of(query)
    if not colon or kind not in KINDS:
        if colon and not Path(base).exists() and '/' not in kind:
            raise DatasetError(f'unknown kind of dataset "{kind}" in "{specification}"; known: {sorted(KINDS)}')
        kind, path = recognise(Path(base).expanduser()), base
    return kind, Path(path).expanduser(), options


def recognise(path: Path) -> str:
    """Tell the kind of the dataset at `path` from its layout. Raises DatasetError if no kind fits."""
    if not path.exists():
        raise DatasetError(f'no dataset at {path}: the path does not exist'
                           + (f'; for the kind of that name write "{path}:"' if str(path) in KINDS else ''))
    for kind, module in KINDS.items():
        if kind != 'simulated' and import_module(module).recognises(path):
            return kind
    raise DatasetError(f'{path} looks like none of {sorted(KINDS)}; name the kind, as in kitti_raw:{path}')
