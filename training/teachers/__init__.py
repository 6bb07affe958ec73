# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""Image networks that teach: one file each. A new one is one file here; recipes name its class."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path

import numpy as np

from ros_kd.frames import CameraView
from ros_kd.taxonomy import Taxonomy


class Teacher(ABC):
    """Says what an image shows.

    taxonomy: the classes that it knows.
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
