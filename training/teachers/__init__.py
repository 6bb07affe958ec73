# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""Image networks that teach: one file each. A new one is one file here; recipes name its class."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path

import numpy as np

from ros_kd.frames import CameraView
from ros_kd.taxonomy import Taxonomy
from training.teachers.classifier import Classifier

NO_CLASSES = Taxonomy('no-classes', (), ())
"""The taxonomy of a teacher that only has features."""


class Teacher(ABC):
    """Says what an image shows.

    taxonomy: the classes that it knows.
    """

    taxonomy: Taxonomy

    @property
    @abstractmethod
    def identity(self) -> str:
        """A text that changes whenever the answers would; it names cached answers."""

    @property
    def known(self) -> np.ndarray:
        """bool [len(taxonomy)]: the classes that it can answer with; a network may lack some of its taxonomy."""
        return np.array([name is not None for name in self.taxonomy.names], bool)

    def locate(self, root: Path) -> None:
        """Take relative paths to start at `root`, the folder of the data."""

    @abstractmethod
    def probabilities(self, view: CameraView, uv: np.ndarray) -> np.ndarray:
        """Return float32 [M, len(taxonomy)] for pixels uv float32 [M, 2] of the view's image.

        Rows sum to at most 1: what is missing is no class of the taxonomy. Raises ValueError naming the image if there
        is no answer for it.
        """


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
