# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""What the points of a frame should be called, computed once for each frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, Sequence

import numpy as np

from ros_kd import extrinsics
from ros_kd.frames import CameraView, PairedFrame
from ros_kd.projection import OcclusionFilter, Projection, project, project_all
from ros_kd.taxonomy import IGNORE, Taxonomy
from training.teachers import Teacher

MOVABLE = frozenset('person pedestrian rider car truck bus train trailer two-wheeler bicycle motorcycle bicyclist '
                    'motorcyclist other-vehicle construction_vehicle'.split())


@dataclass(frozen=True, eq=False)
class Targets:
    """What is known of some points of a scan.

    index: int64 [M], rows of the scan, rising. values: float16 [M, D], what the method learns (class probabilities, or
    features). weight: float32 [M], how much each counts, 0..1.
    """

    index: np.ndarray
    values: np.ndarray
    weight: np.ndarray

    def __len__(self) -> int:
        return len(self.index)

    def hard(self, points: int) -> np.ndarray:
        """Return uint8 [points], the likeliest class, IGNORE for points of which nothing is known."""
        label = np.full(points, IGNORE, np.uint8)
        label[self.index] = self.values.argmax(1) if len(self.index) else 0
        return label


class TargetMaker(Protocol):
    """Computes the targets of a frame. identity: a text that changes whenever the targets would."""

    identity: str

    def __call__(self, frame: PairedFrame, others: Sequence[PairedFrame] = ()) -> Targets: ...


def fold(source: Taxonomy, target: Taxonomy) -> np.ndarray:
    """Return float32 [len(source), len(target)], 0 or 1: probabilities of `source` times this are those of `target`.

    Classes of `source` without a counterpart lose their mass. Raises ValueError if no map is known.
    """
    ids = source.lookup_to(target)[:len(source)]
    matrix = np.zeros((len(source), len(target)), np.float32)
    known = np.nonzero(ids != IGNORE)[0]
    matrix[known, ids[known]] = 1
    return matrix


@dataclass(frozen=True)
class Projecting:
    """How images are looked up.

    occlusion: hide points behind nearer ones; None trusts every pixel. confidence: the least probability of the
    likeliest class, 0..1; points below it are left out. mapped: the least mass that must map to the student's classes
    (a point that the teacher calls sky is left out).
    """

    occlusion: OcclusionFilter | None = OcclusionFilter()
    confidence: float = 0.0
    mapped: float = 0.5


class TeacherTargets:
    """Soft labels from a teacher's answers at the pixels of the points, averaged over the cameras that see a point.

    values: float16 [M, len(taxonomy)], sums of 1; weight: the mass of the teacher's answer that maps to the taxonomy.
    """

    def __init__(self, teacher: Teacher, taxonomy: Taxonomy, projecting: Projecting = Projecting()) -> None:
        self.teacher, self.taxonomy, self.projecting = teacher, taxonomy, projecting
        self.fold = fold(teacher.taxonomy, taxonomy)
        self.movable = np.array([name in MOVABLE for name in taxonomy.names])
        self.identity = f'{teacher.identity} -> {taxonomy.name} {projecting}'

    def __call__(self, frame: PairedFrame, others: Sequence[PairedFrame] = ()) -> Targets:
        """Return the targets of the points that a camera of the frame sees, or else one of `others`.

        others: frames of the same drive with poses; what they say of classes that move is not trusted.
        """
        mass, count = self._mass(frame.points, frame.views)
        if others:
            unseen = np.nonzero(count == 0)[0]
            mass[unseen], count[unseen] = self._from_others(frame, unseen, others)
        index = np.nonzero(count)[0]
        mass = mass[index] / count[index, None]
        weight = mass.sum(1)
        sure = mass.max(1, initial=0) >= self.projecting.confidence * weight
        kept = (weight >= max(self.projecting.mapped, 1e-3)) & sure
        values = mass[kept] / weight[kept, None]
        return Targets(index[kept], values.astype(np.float16), np.minimum(weight[kept], 1))

    def _mass(self, points: np.ndarray, views: Sequence[CameraView]) -> tuple[np.ndarray, np.ndarray]:
        """Sums of probabilities float32 [N, C] and numbers of views int32 [N] for points in the LiDAR frame."""
        mass = np.zeros((len(points), len(self.taxonomy)), np.float32)
        count = np.zeros(len(points), np.int32)
        for view, seen in zip(views, project_all(points, views, self.projecting.occlusion)):
            if len(seen.index):
                mass[seen.index] += self.teacher.probabilities(view, seen.uv) @ self.fold
                count[seen.index] += 1
        return mass, count

    def _from_others(self, frame: PairedFrame, rows: np.ndarray,
                     others: Sequence[PairedFrame]) -> tuple[np.ndarray, np.ndarray]:
        """Sums and numbers for `rows` of the frame's points from the views of other moments."""
        mass = np.zeros((len(rows), len(self.taxonomy)), np.float32)
        count = np.zeros(len(rows), np.int32)
        for other in others:
            if frame.world_from_lidar is None or other.world_from_lidar is None:
                continue
            other_from_lidar = extrinsics.invert(other.world_from_lidar) @ frame.world_from_lidar
            points = extrinsics.apply(other_from_lidar, frame.points[rows])
            for view in other.views:
                seen = _confirmed(points, other, view)
                if len(seen.index) == 0:
                    continue
                found = self.teacher.probabilities(view, seen.uv) @ self.fold
                still = ~self.movable[found.argmax(1)]
                mass[seen.index[still]] += found[still]
                count[seen.index[still]] += 1
        return mass, count


def _confirmed(points: np.ndarray, other: PairedFrame, view: CameraView) -> Projection:
    """Project points [N, 3] (LiDAR frame of `other`) where the scan of `other` measured about the same depth.

    A point that is hidden there, or whose object has moved, is not confirmed.
    """
    window = OcclusionFilter()
    there = project(other.points, view, window)
    here = project(points, view, None)
    columns = view.camera.width // window.cell + 2

    def cells(uv: np.ndarray) -> np.ndarray:
        cell = ((uv + 0.5) // window.cell).astype(np.int64)
        return cell[:, 1] * columns + cell[:, 0]

    nearest = np.full(columns * (view.camera.height // window.cell + 2), np.inf, np.float32)
    np.minimum.at(nearest, cells(there.uv), there.depth)
    depth = nearest[cells(here.uv)]
    agree = np.abs(here.depth - depth) < window.relative * here.depth + window.absolute
    return Projection(here.index[agree], here.uv[agree], here.depth[agree])


class LabelTargets:
    """Hard labels from the 3D labels of the scan: values are one-hot, every labelled point weighs 1."""

    def __init__(self, taxonomy: Taxonomy) -> None:
        self.taxonomy = taxonomy
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

