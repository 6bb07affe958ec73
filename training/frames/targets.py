# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""What is known of the points of a frame, computed once for each frame: 3D labels, a teacher's classes and features."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Callable, Protocol, Sequence

import numpy as np

from ros_kd.frames import PairedFrame
from ros_kd.taxonomy import IGNORE, Taxonomy


@dataclass(frozen=True, eq=False)
class Targets:
    """What is known of some points of a scan.

    index: int64 [M], rows of the scan, rising. values: float16 [M, D], what is learnt (class probabilities, or
    features). weight: float32 [M], how much each counts, 0..1. group: int32 [M], the superpixel of each point, unique
    within the frame, or None.
    """

    index: np.ndarray
    values: np.ndarray
    weight: np.ndarray
    group: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.index)

    @classmethod
    def none(cls, width: int) -> Targets:
        """Return the targets of a scan of which nothing is known; width: D."""
        return cls(np.empty(0, np.int64), np.empty((0, width), np.float16), np.empty(0, np.float32))

    def at(self, rows: np.ndarray, index: np.ndarray) -> Targets:
        """Return those targets that bool [M] `rows` chooses, as rows int64 [M'] `index` of another scan."""
        group = None if self.group is None else self.group[rows]
        return Targets(index, self.values[rows], self.weight[rows], group)

    def hard(self, points: int) -> np.ndarray:
        """Return uint8 [points], the likeliest class, IGNORE for points of which nothing is known."""
        label = np.full(points, IGNORE, np.uint8)
        label[self.index] = self.values.argmax(1) if len(self.index) else 0
        return label


class TargetMaker(Protocol):
    """Computes the targets of a frame from it and from frames of other moments. identity: a text that changes whenever
    the targets would. width: D of their values."""

    identity: str
    width: int

    def __call__(self, frame: PairedFrame, others: Sequence[PairedFrame] = ()) -> Targets: ...


@dataclass(frozen=True)
class Makers:
    """What a method wants to know of frames: makers of the fields of Knowledge, None for what it does not ask."""

    labels: TargetMaker | None = None
    classes: TargetMaker | None = None
    features: TargetMaker | None = None


@dataclass(frozen=True, eq=False)
class Knowledge:
    """What is known of a scan.

    labels: from people, one-hot. classes: a teacher's probabilities. features: its features. None where the method did
    not ask; without rows where nothing is known.
    """

    labels: Targets | None = None
    classes: Targets | None = None
    features: Targets | None = None

    def map(self, change: Callable[[Targets], Targets]) -> Knowledge:
        """Return all of it changed."""
        return replace(self, **{name: change(targets) for name, targets in vars(self).items() if targets is not None})

    @property
    def direction(self) -> Targets:
        """The targets that tell where a camera looks: a teacher's if there are any. Raises ValueError without any."""
        for targets in (self.classes, self.features, self.labels):
            if targets is not None:
                return targets
        raise ValueError('nothing is known of this scan: the method asks for no targets')


def join_targets(parts: Sequence[Targets], points: Sequence[int]) -> Targets:
    """Return the targets of scans one after the other, of `points` points each; superpixels stay apart."""
    starts = np.cumsum([0, *points[:-1]])
    grouped = all(part.group is not None for part in parts)
    sizes = [int(part.group.max(initial=-1)) + 1 if grouped else 0 for part in parts]
    group = np.concatenate([part.group + start for part, start in zip(parts, np.cumsum([0, *sizes[:-1]]))]
                           ).astype(np.int32) if grouped else None
    return Targets(np.concatenate([part.index + start for part, start in zip(parts, starts)]),
                   np.concatenate([part.values for part in parts]), np.concatenate([part.weight for part in parts]),
                   group)


def fold(source: Taxonomy, target: Taxonomy) -> np.ndarray:
    """Return float32 [len(source), len(target)], 0 or 1: probabilities of `source` times this are those of `target`.

    Classes of `source` without a counterpart lose their mass. Raises ValueError if no map is known.
    """
    ids = source.lookup_to(target)[:len(source)]
    matrix = np.zeros((len(source), len(target)), np.float32)
    known = np.nonzero(ids != IGNORE)[0]
    matrix[known, ids[known]] = 1
    return matrix


def reachable(source: Taxonomy, target: Taxonomy) -> tuple[int, ...]:
    """Return the ids of `target` that a class of `source` maps to, rising. Raises ValueError if no map is known."""
    return tuple(np.flatnonzero(fold(source, target).any(0)).tolist())


class LabelTargets:
    """Hard labels from the 3D labels of the scan: values are one-hot, every labelled point weighs 1."""

    def __init__(self, taxonomy: Taxonomy) -> None:
        self.taxonomy, self.width = taxonomy, len(taxonomy)
        self.identity = f'3D labels -> {taxonomy.name}'

    def __call__(self, frame: PairedFrame, others: Sequence[PairedFrame] = ()) -> Targets:
        """Return the targets of the labelled points. Raises ValueError if the frame has no 3D labels."""
        label = truth(frame, self.taxonomy)
        if label is None:
            raise ValueError(f'frame {frame.key} has no 3D labels, but training with labels needs them: choose a data '
                             'set with labels, or a method that learns from a teacher')
        index = np.nonzero(label != IGNORE)[0]
        values = np.zeros((len(index), len(self.taxonomy)), np.float16)
        values[np.arange(len(index)), label[index]] = 1
        return Targets(index, values, np.ones(len(index), np.float32))


def truth(frame: PairedFrame, taxonomy: Taxonomy) -> np.ndarray | None:
    """Return the frame's 3D labels uint8 [N] as ids of `taxonomy` (IGNORE where none), or None without labels."""
    scan = frame.scan
    return None if scan.label is None else scan.taxonomy.lookup_to(taxonomy)[scan.label]


def class_mass(targets: list[Targets], classes: int) -> np.ndarray:
    """Return float64 [classes], the weighted mass of each class over many targets, summing to 1."""
    total = np.zeros(classes)
    for target in targets:
        total += target.weight.astype(np.float64) @ target.values.astype(np.float32)
    return total / max(total.sum(), 1e-9)

