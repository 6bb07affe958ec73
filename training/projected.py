# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""Targets from a teacher: what it says of the pixels that points are seen at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Sequence

import numpy as np

from ros_kd import extrinsics
from ros_kd.frames import CameraView, PairedFrame
from ros_kd.projection import OcclusionFilter, Projection, project, project_all
from ros_kd.taxonomy import Taxonomy
from training.superpixels import Superpixels, at_pixels, superpixels
from training.targets import Targets, fold
from training.teachers import FeatureTeacher, Teacher

MOVABLE = frozenset('person pedestrian rider car truck bus train trailer two-wheeler bicycle motorcycle bicyclist '
                    'motorcyclist other-vehicle construction_vehicle'.split())


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


class ClassTargets:
    """Soft labels from a teacher's answers at the pixels of the points, averaged over the cameras that see a point.

    values: float16 [M, len(taxonomy)], sums of 1; weight: the mass of the teacher's answer that maps to the taxonomy.
    """

    def __init__(self, teacher: Teacher, taxonomy: Taxonomy, projecting: Projecting = Projecting()) -> None:
        self.teacher, self.taxonomy, self.projecting = teacher, taxonomy, projecting
        self.fold, self.width = fold(teacher.taxonomy, taxonomy), len(taxonomy)
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


class FeatureTargets:
    """A teacher's features at the pixels of the points, averaged over the cameras that see a point.

    values: float16 [M, teacher.width]. most: at most so many points of a frame, drawn evenly at random (features of
    hundreds of channels fill the memory); None: all. cut: how images are cut into superpixels, whose numbers are the
    targets' groups; None: not at all. A point that several cameras see belongs to the last one's.
    """

    def __init__(self, teacher: FeatureTeacher, projecting: Projecting = Projecting(), most: int | None = None,
                 cut: Superpixels | None = None) -> None:
        self.teacher, self.projecting, self.most, self.cut = teacher, projecting, most, cut
        self.width = teacher.width
        self.identity = f'features of {teacher.identity} {projecting.occlusion} most {most}{f" {cut}" if cut else ""}'

    def __call__(self, frame: PairedFrame, others: Sequence[PairedFrame] = ()) -> Targets:
        """Return the targets of the points that a camera of the frame sees."""
        looked = list(zip(frame.views, project_all(frame.points, frame.views, self.projecting.occlusion)))
        index = np.unique(np.concatenate([seen.index for _, seen in looked] or [np.empty(0, np.int64)]))
        if self.most is not None and len(index) > self.most:
            index = np.sort(np.random.default_rng(frame.stamp % 2 ** 63).choice(index, self.most, replace=False))
        values = np.zeros((len(index), self.width), np.float32)
        count = np.zeros(len(index), np.int32)
        group, groups = None if self.cut is None else np.full(len(index), -1, np.int32), 0
        for view, seen in looked:
            place = np.minimum(np.searchsorted(index, seen.index), max(len(index) - 1, 0))
            asked = np.flatnonzero(index[place] == seen.index) if len(index) else np.empty(0, np.int64)
            place, uv = place[asked], seen.uv[asked]
            values[place] += self.teacher.features(view, uv)
            count[place] += 1
            if group is not None:
                labels = superpixels(view.image(), self.cut.count, self.cut.compactness)
                group[place] = at_pixels(labels, uv) + groups
                groups += labels.max() + 1
        values /= np.maximum(count, 1)[:, None]
        return Targets(index, values.astype(np.float16), np.ones(len(index), np.float32), group)
