# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""Sources of images with a class for each pixel. A new source is one file here and one line in KINDS.

Named as data sets of frames are: `cityscapes:/data/cityscapes?split=train`. All data sets of frames whose views carry
label images are sources, too: `simulated:?seed=3&frames=20`, `bag:/data/monday`.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Callable, Protocol, Sequence

import numpy as np

from ros_kd.datasets import Options
from ros_kd.taxonomy import Taxonomy

KINDS = {
    'cityscapes': 'training.images.datasets.cityscapes',
    'nuimages': 'training.images.datasets.nuimages',
}
BACKGROUND = 254
"""The label of pixels that are known to be none of the taxonomy's classes; those with IGNORE, 255, may be anything."""


@dataclass(frozen=True, eq=False)
class LabelledImage:
    """image: uint8 [H, W, 3], RGB, or [H, W]. labels: uint8 [H, W], ids of its source's taxonomy, 254 or 255."""

    image: np.ndarray
    labels: np.ndarray

    def __post_init__(self) -> None:
        if self.image.shape[:2] != self.labels.shape:
            raise ValueError(f'an image of {self.image.shape[1]}x{self.image.shape[0]} with labels for '
                             f'{self.labels.shape[1]}x{self.labels.shape[0]} pixels')


class LabelledImages(Protocol):
    """A source of labelled images; picklable, so that loader processes can share it."""

    name: str
    taxonomy: Taxonomy

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> LabelledImage: ...


@dataclass(frozen=True)
class ImageList:
    """Images that are read when they are asked for. readers: one picklable callable for each."""

    name: str
    taxonomy: Taxonomy
    readers: Sequence[Callable[[], LabelledImage]]

    def __len__(self) -> int:
        return len(self.readers)

    def __getitem__(self, index: int) -> LabelledImage:
        return self.readers[index]()


def open_images(specification: str) -> LabelledImages:
    """Open `kind:path?options`; a kind that is not in KINDS is one of ros_kd.datasets.

    Raises DatasetError saying what was looked for and where.
    """
    base, _, query = specification.partition('?')
    kind, colon, path = base.partition(':')
    if not colon or kind not in KINDS:
        from training.images.datasets import frames
        return frames.open(specification)
    return import_module(KINDS[kind]).open(Path(path).expanduser(), Options.of(query))


def lookup(source: Taxonomy, target: Taxonomy) -> np.ndarray:
    """Return uint8 [256]: the label in `target` of each label in `source`; BACKGROUND becomes len(target).

    So does a class that `target` lacks: it is known to be none of its classes. Raises ValueError if there is no map
    between the two.
    """
    table = source.lookup_to(target)[:256].copy()
    named = [i for i, name in enumerate(source.names) if name is not None and i < BACKGROUND]
    table[[i for i in (*named, BACKGROUND) if table[i] >= len(target)]] = len(target)
    return table
