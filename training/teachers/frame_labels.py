# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""Label images that come with the frames: of a simulated camera, or of a network that ran on the vehicle."""

from __future__ import annotations

import zlib

import numpy as np

from ros_kd.frames import CameraView
from ros_kd.label_sets import get_taxonomy
from training.frames.sampling import bilinear_votes
from training.teachers import Teacher


class FrameLabels(Teacher):
    """The label images of the views themselves.

    taxonomy: the classes of those images (checked against each view). errors: the share of image blocks, 0..1, whose
    class is replaced by a random one, which makes a perfect simulated teacher as fallible as a real one. block: their
    size in pixels.
    """

    def __init__(self, taxonomy: str, errors: float = 0.0, block: int = 16) -> None:
        if not 0 <= errors <= 1:
            raise ValueError(f'errors is {errors}, expected a share between 0 and 1')
        self.taxonomy = get_taxonomy(taxonomy)
        self.errors, self.block = errors, block

    @property
    def identity(self) -> str:
        """See Teacher."""
        return f'frame labels {self.taxonomy.name} errors {self.errors} block {self.block}'

    def probabilities(self, view: CameraView, uv: np.ndarray) -> np.ndarray:
        """Return the share of each class around the pixels; see Teacher."""
        labels = view.labels()
        if labels is None:
            raise ValueError(f'camera "{view.name}" has no label image, but the teacher FrameLabels reads its answers '
                             'from there: record a label topic, or choose another teacher')
        if view.taxonomy is not None and view.taxonomy.names != self.taxonomy.names:
            raise ValueError(f'the label image of camera "{view.name}" holds classes of "{view.taxonomy.name}", '
                             f'but the teacher was told "{self.taxonomy.name}"')
        if labels.dtype != np.uint8 or labels.ndim != 2:
            raise ValueError(f'the label image of camera "{view.name}" is {labels.dtype} {labels.shape}, expected '
                             'uint8 [H, W]')
        return bilinear_votes(self._disturbed(labels, view), uv, len(self.taxonomy))

    def _disturbed(self, labels: np.ndarray, view: CameraView) -> np.ndarray:
        if not self.errors:
            return labels
        # The same image must be wrong in the same places each time, as a network would be.
        random = np.random.default_rng((zlib.crc32(view.name.encode()), view.stamp & (2 ** 63 - 1)))
        rows, columns = (-(-size // self.block) for size in labels.shape)
        wrong = random.random((rows, columns)) < self.errors
        replaced = random.integers(0, len(self.taxonomy), (rows, columns), np.uint8)
        tile = np.ones((self.block, self.block), np.uint8)
        spread = [np.kron(cells, tile)[:labels.shape[0], :labels.shape[1]] for cells in (wrong, replaced)]
        return np.where(spread[0] & (labels != 255), spread[1], labels)
