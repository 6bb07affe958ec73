# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""Superpixels: neighbouring pixels of like colour, which mostly belong to one object."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

PIXELS = 300_000
"""Larger images are cut up at a size that has no more pixels: boundaries of a pixel more or less change no group of
points, but a camera of a million pixels would take seconds."""


@dataclass(frozen=True)
class Superpixels:
    """How images are cut up; the defaults are SLidR's.

    count: about how many superpixels an image has. compactness: how much distance counts against colour; high values
    give squares.
    """

    count: int = 150
    compactness: float = 6.0


def superpixels(image: np.ndarray, count: int = 150, compactness: float = 6.0) -> np.ndarray:
    """Return int32 [H, W], the superpixel 0, 1 ... of each pixel of an RGB image uint8 [H, W, 3]. Connected each.

    SLIC (Achanta et al. 2012) in Lab colours, as SLidR does (Sautier et al. 2022). Raises ValueError for another image,
    or a count or compactness that is not positive.
    """
    from skimage.segmentation import slic  # takes a second to import, and most trainings need none
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ValueError(f'superpixels of an image {image.dtype} {list(image.shape)}: expected uint8 [H, W, 3]')
    if count < 1 or not compactness > 0:
        raise ValueError(f'{count} superpixels of compactness {compactness}: both must be positive')
    height, width = image.shape[:2]
    shrink = max(1.0, math.sqrt(height * width / PIXELS))
    small = cv2.resize(image, (round(width / shrink), round(height / shrink)), interpolation=cv2.INTER_AREA)
    labels = slic(small, count, compactness, start_label=0, channel_axis=-1).astype(np.int32)
    return cv2.resize(labels, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)


def at_pixels(labels: np.ndarray, uv: np.ndarray) -> np.ndarray:
    """Return int32 [M], the superpixel (of labels [H, W]) that holds each pixel uv [M, 2], centres at whole numbers."""
    height, width = labels.shape
    column, row = np.clip(np.rint(uv).astype(np.int64), 0, (width - 1, height - 1)).T
    return labels[row, column]
