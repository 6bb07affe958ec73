# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""Image networks that teach: one file each. A new one is one file here; recipes name its class."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from pathlib import Path

import numpy as np

from ros_kd.frames import CameraView
from ros_kd.taxonomy import Taxonomy
from training.teachers.classifier import Classifier

NO_CLASSES = Taxonomy('no-classes', (), ())
"""The taxonomy of a teacher that only has features."""


def known_part(taxonomy: Taxonomy, known: np.ndarray) -> Taxonomy:
    """Return a taxonomy with the same ids in which only the classes `known`, bool [len(taxonomy)], are in use."""
    names = tuple(name if own else None for name, own in zip(taxonomy.names, known))
    maps = {target: {own: other for own, other in table.items() if known[own]}
            for target, table in taxonomy.maps.items()}
    return replace(taxonomy, names=names, maps=maps)


class Teacher(ABC):
    """Says what an image shows.

    taxonomy: the classes that it knows; ids of others, such as those that a network was not trained for, are unused.
    """

    taxonomy: Taxonomy

    @property
    @abstractmethod
    def identity(self) -> str:
        """A text that changes whenever the answers would; it names cached answers."""

    def locate(self, root: Path) -> None:
        """Take relative paths to start at `root`, the folder of the data."""

    @abstractmethod
    def probabilities(self, view: CameraView, uv: np.ndarray) -> np.ndarray:
        """Return float32 [M, len(taxonomy)] for pixels uv float32 [M, 2] of the view's image.

        Rows sum to at most 1: what is missing is no class of the taxonomy. Raises ValueError naming the image if there
        is no answer for it.
        """


def needed(teacher: Teacher | None, what: str) -> Teacher:
    """Return the teacher. Raises ValueError if there is none; what: says who needs it."""
    if teacher is None:
        raise ValueError(f'{what}: give data.teacher in the recipe')
    return teacher


class FeatureTeacher(Teacher):
    """A teacher whose features can be learnt, too.

    width: D, the number of features. temperature: of the softmax over the classifier's logits; above 1 softens.
    """

    temperature: float = 1.0

    @property
    @abstractmethod
    def width(self) -> int:
        """The number of features."""

    @property
    @abstractmethod
    def classifier(self) -> Classifier | None:
        """The linear layer from features to logits, or None if the network has no such layer.

        Its first len(taxonomy) rows are the taxonomy's classes, further rows nobody's.
        """

    @abstractmethod
    def features(self, view: CameraView, uv: np.ndarray) -> np.ndarray:
        """Return float32 [M, width] at pixels uv float32 [M, 2] of the view's image. Raises as `probabilities` does."""

    def probabilities(self, view: CameraView, uv: np.ndarray) -> np.ndarray:
        """Return the softmax of the classifier at the pixels; see Teacher.

        Features are interpolated before the softmax, as networks themselves enlarge their logits. Raises ValueError if
        the teacher has no classes.
        """
        if self.classifier is None:
            raise ValueError(f'teacher {type(self).__name__} knows no classes, it has features only: use a method that '
                             'learns features, as UDAKD or PPKT, or a teacher that segments')
        probabilities = self.classifier.probabilities(self.features(view, uv), self.temperature)
        return np.ascontiguousarray(probabilities[:, :len(self.taxonomy)])
