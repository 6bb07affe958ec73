# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""Targets from a teacher: what it says of the pixels that points are seen at, now and at other moments."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Sequence

import numpy as np

from ros_kd.frames import PairedFrame
from ros_kd.projection import OcclusionFilter
from ros_kd.taxonomy import Taxonomy
from training.evidence import Evidence, Look, Memory, Moments, Sight, gather, sight
from training.frames.superpixels import Superpixels, at_pixels, superpixels
from training.frames.targets import Targets, fold
from training.teachers import FeatureTeacher, Teacher
from training.teachers.pretrained import RecentMaps

MOVABLE = frozenset('person pedestrian rider car truck bus train trailer two-wheeler bicycle motorcycle bicyclist '
                    'motorcyclist other-vehicle construction_vehicle'.split())


@dataclass(frozen=True)
class Projecting:
    """How images are looked up.

    occlusion: hide points behind nearer ones; None trusts every pixel. confidence: the least probability of the
    likeliest class, 0..1; points below it are left out. mapped: the least mass that must map to the student's classes
    (a point that the teacher calls sky is left out). doubt: how much less a point counts the more classes its answers
    leave open, exp(-doubt * entropy); 0: not at all. moments: how images of other moments are used, where a source has
    poses and `neighbours` are asked for.
    """

    occlusion: OcclusionFilter | None = OcclusionFilter()
    confidence: float = 0.0
    mapped: float = 0.5
    doubt: float = 1.0
    moments: Moments = Moments()


class ClassTargets:
    """Soft labels from a teacher's answers at the pixels of the points, averaged over the images that see a point.

    values: float16 [M, len(taxonomy)], sums of 1; weight: the mass of the teacher's answers that maps to the taxonomy,
    less where they leave open which class, or contradict each other.
    """

    def __init__(self, teacher: Teacher, taxonomy: Taxonomy, projecting: Projecting = Projecting()) -> None:
        self.teacher, self.taxonomy, self.projecting = teacher, taxonomy, projecting
        self.fold, self.width = fold(teacher.taxonomy, taxonomy), len(taxonomy)
        self.movable = movable(taxonomy)
        self.identity = f'{teacher.identity} -> {taxonomy.name} {projecting}'
        self._memory = Memory(projecting.moments.depth)

    def __call__(self, frame: PairedFrame, others: Sequence[PairedFrame] = ()) -> Targets:
        """Return the targets of the points that an image of the frame, or of others of the same drive, sees."""
        evidence, projecting = self.evidence(frame, others), self.projecting
        mapped, best = evidence.mapped, evidence.values.max(1, initial=0)
        kept = (mapped >= max(projecting.mapped, 1e-3)) & (best >= projecting.confidence * mapped)
        values = evidence.values[kept] / mapped[kept, None]
        weight = np.minimum(mapped * evidence.certainty(projecting.doubt), 1)[kept]
        return Targets(evidence.index[kept], values.astype(np.float16), weight)

    def evidence(self, frame: PairedFrame, others: Sequence[PairedFrame] = ()) -> Evidence:
        """Return what is behind the targets: also of points that are left out of them."""
        projecting = self.projecting
        seen = sight(frame, others, projecting.occlusion, projecting.moments, self._memory)
        return gather(seen, self._answer, self.width, self.movable, projecting.moments)

    def _answer(self, look: Look) -> np.ndarray:
        return self.teacher.probabilities(look.view, look.uv) @ self.fold


class FeatureTargets:
    """A teacher's features at the pixels of the points, averaged over the images that see a point.

    values: float16 [M, teacher.width]; weight: how far they point the same way, 1 where one image sees a point. Other
    moments tell as for ClassTargets, by the teacher's own classes; of a teacher without classes, which cannot say what
    may move, only where scans found a point again and none looked through it.
    most: at most so many points of a frame, drawn evenly at random (features of hundreds of channels fill the memory);
    None: all. cut: how images are cut into superpixels, whose numbers are the targets' groups; None: not at all. A
    point that several cameras see belongs to the last one's, or if none of its moment does, to another moment's.
    """

    def __init__(self, teacher: FeatureTeacher, projecting: Projecting = Projecting(), most: int | None = None,
                 cut: Superpixels | None = None) -> None:
        self.teacher, self.projecting, self.most, self.cut = teacher, projecting, most, cut
        self.width = teacher.width
        self.identity = f'features of {teacher.identity} {projecting} most {most}{f" {cut}" if cut else ""}'
        self._memory = Memory(projecting.moments.depth)
        self._cuts: RecentMaps[np.ndarray] = RecentMaps()

    def __call__(self, frame: PairedFrame, others: Sequence[PairedFrame] = ()) -> Targets:
        """Return the targets of the points that an image of the frame, or of others of the same drive, sees."""
        moments = self.projecting.moments
        seen = sight(frame, others, self.projecting.occlusion, moments, self._memory)
        may_move = np.zeros(0, bool)
        if self.teacher.classifier is not None:
            may_move = movable(self.teacher.taxonomy)
        else:
            seen = seen.standing()
        rows = np.flatnonzero(seen.seen)
        if self.most is not None and len(rows) > self.most:
            rows = np.sort(np.random.default_rng(frame.stamp % 2 ** 63).choice(rows, self.most, replace=False))
        seen = seen.only(rows)
        evidence = gather(seen, self._answer, len(may_move) + self.width, may_move, moments)
        group = None if self.cut is None else self._groups(seen)[evidence.index]
        return Targets(rows[evidence.index], evidence.values[:, len(may_move):].astype(np.float16), evidence.coherence,
                       group)

    def _answer(self, look: Look) -> np.ndarray:
        """Return the probabilities of the teacher's classes, if it has any, and the features."""
        teacher = self.teacher
        features, classifier = teacher.features(look.view, look.uv), teacher.classifier
        if classifier is None:
            return features
        probabilities = classifier.probabilities(features, teacher.temperature)[:, :len(teacher.taxonomy)]
        return np.concatenate([probabilities, features], 1)

    def _groups(self, seen: Sight) -> np.ndarray:
        """Return int32 [N], the superpixel of each point, -1 where no image sees it."""
        group, groups = np.full(len(seen.still), -1, np.int32), 0
        for number, look in enumerate((*seen.own, *seen.others)):
            if number >= len(seen.own):
                look = look.at(group[look.index] < 0)
            if len(look.index):
                labels = self._cuts.get(look.view.pixels, lambda: superpixels(
                    look.view.image(), self.cut.count, self.cut.compactness))
                group[look.index] = at_pixels(labels, look.uv) + groups
                groups += int(labels.max()) + 1
        return group


def movable(taxonomy: Taxonomy) -> np.ndarray:
    """Return bool [len(taxonomy)], the classes of things that may be elsewhere at another moment."""
    return np.array([name in MOVABLE for name in taxonomy.names], bool)
