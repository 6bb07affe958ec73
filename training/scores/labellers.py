# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""What can be evaluated: a student, a teacher, or one class for everything."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np

from ros_kd.frames import PairedFrame
from ros_kd.students.predictor import Prediction, Predictor
from ros_kd.taxonomy import IGNORE, Taxonomy
from training.frames.projected import ClassTargets, Projecting
from training.frames.targets import reachable
from training.teachers import Teacher


class Labeller(Protocol):
    """name: for reports. taxonomy: of the labels. taught: the class ids that its training could tell of; None: all."""

    name: str
    taxonomy: Taxonomy
    taught: tuple[int, ...] | None

    def label(self, frame: PairedFrame) -> Prediction:
        """Return label uint8 [N] (IGNORE where there is none) and confidence float32 [N]."""


class Student:
    """An exported student. views: test-time augmentation, see Predictor (1: none)."""

    def __init__(self, path: Path, views: int = 1, device: str = 'auto') -> None:
        self.predictor = Predictor.load(path, device, precision='float32', tta=views)
        self.taxonomy, self.taught = self.predictor.info.taxonomy, self.predictor.info.taught
        self.name = f'student {path}'

    def label(self, frame: PairedFrame) -> Prediction:
        """See Labeller."""
        return self.predictor.predict(frame.scan)


class Constant:
    """One class for every point. Raises ValueError for a class that the taxonomy lacks."""

    def __init__(self, class_name: str, taxonomy: Taxonomy) -> None:
        if class_name not in taxonomy.names:
            raise ValueError(f'no class "{class_name}" in "{taxonomy.name}"; it has '
                             f'{[name for name in taxonomy.names if name]}')
        self.class_id = taxonomy.names.index(class_name)
        self.taxonomy, self.taught = taxonomy, None
        self.name = f'{class_name} everywhere'

    def label(self, frame: PairedFrame) -> Prediction:
        """See Labeller."""
        size = len(frame.scan)
        return Prediction(np.full(size, self.class_id, np.uint8), np.ones(size, np.float32))


class ProjectedTeacher:
    """A teacher, at the points that the cameras see; all others get no label and are left out of its scores."""

    def __init__(self, teacher: Teacher, taxonomy: Taxonomy, projecting: Projecting = Projecting()) -> None:
        self.targets = ClassTargets(teacher, taxonomy, projecting)
        self.taxonomy, self.taught = taxonomy, reachable(teacher.taxonomy, taxonomy)
        self.name = f'teacher, {teacher.identity}'

    def label(self, frame: PairedFrame) -> Prediction:
        """See Labeller."""
        targets = self.targets(frame)
        confidence = np.zeros(len(frame.scan), np.float32)
        confidence[targets.index] = targets.values.max(1, initial=0) if len(targets) else 0
        return Prediction(targets.hard(len(frame.scan)), confidence)


def translate(label: np.ndarray, source: Taxonomy, target: Taxonomy) -> np.ndarray:
    """Return labels uint8 [N] of `source` as ids of `target`, IGNORE where there is none."""
    table = source.lookup_to(target)
    table[IGNORE] = IGNORE
    return table[label]


def answers(labeller: Labeller, taxonomy: Taxonomy) -> tuple[int, ...]:
    """Return the ids of `taxonomy`, rising, that labels of the labeller can be there: those of classes taught to it."""
    taught = range(len(labeller.taxonomy)) if labeller.taught is None else labeller.taught
    ids = translate(np.array([i for i in taught if labeller.taxonomy.names[i] is not None], int), labeller.taxonomy,
                    taxonomy)
    return tuple(sorted({int(i) for i in ids if i != IGNORE}))
