# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""Several teachers as one: each speaks for the classes that it knows, of images that were labelled for different ends.

nuImages labels 10 kinds of objects and driveable surface, Cityscapes much of what stands and grows; together they reach
15 of the 16 classes of nuScenes.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import numpy as np

from ros_kd.frames import CameraView
from ros_kd.label_sets import get_taxonomy
from ros_kd.taxonomy import Taxonomy
from training.frames.targets import fold
from training.teachers import Teacher, known_part


class MultiTeacher(Teacher):
    """The answers of several teachers, class by class.

    A class's probability is the mean over the teachers that know it, so that a teacher to which it is foreign does not
    vote against it; where teachers with different classes are sure of different things, which sum to more than 1, all
    are scaled down to 1.

    teachers: at least one. taxonomy: a union of their classes; each teacher's taxonomy must map to it. Ids of classes
    that none of them knows are unused.
    """

    def __init__(self, teachers: list[Teacher], taxonomy: str) -> None:
        if not teachers:
            raise ValueError('no teachers: expected one or more')
        self.teachers, self._union = teachers, get_taxonomy(taxonomy)

    @cached_property
    def _folds(self) -> list[np.ndarray]:
        """Not known before the teachers are located: networks tell their classes themselves."""
        folds = [fold(teacher.taxonomy, self._union) for teacher in self.teachers]
        for teacher, matrix in zip(self.teachers, folds):
            if not matrix.any():
                raise ValueError(f'teacher {teacher.identity} knows no class of "{self._union.name}": leave it out, or '
                                 'choose another taxonomy')
        return folds

    @cached_property
    def coverage(self) -> np.ndarray:
        """bool [teachers, len(taxonomy)], who knows which class. Raises ValueError if one of them knows none."""
        return np.stack([matrix.any(0) for matrix in self._folds])

    @cached_property
    def taxonomy(self) -> Taxonomy:
        """See Teacher. Raises as `coverage` does."""
        return known_part(self._union, self.coverage.any(0))

    @property
    def identity(self) -> str:
        """See Teacher."""
        return f'mean over {self.taxonomy.name} of [{"; ".join(teacher.identity for teacher in self.teachers)}]'

    def locate(self, root: Path) -> None:
        """See Teacher."""
        for teacher in self.teachers:
            teacher.locate(root)

    def probabilities(self, view: CameraView, uv: np.ndarray) -> np.ndarray:
        """Return the mean over those who know a class; see Teacher."""
        total = np.zeros((len(uv), len(self.taxonomy)), np.float32)
        for teacher, matrix in zip(self.teachers, self._folds):
            total += teacher.probabilities(view, uv) @ matrix
        total /= np.maximum(self.coverage.sum(0), 1)
        return total / np.maximum(total.sum(1, keepdims=True), 1)
