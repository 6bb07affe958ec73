# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Colours of points: by depth, intensity or class, or taken from an image."""

from __future__ import annotations

import cv2
import numpy as np

from ros_kd.taxonomy import Taxonomy


def depth_colors(depth: np.ndarray, near: float = 2.0, far: float = 60.0) -> np.ndarray:
    """Return uint8 [M, 3] for depths [M] in metres, red at `near` to blue at `far`, even in the logarithm.

    Turbo tells neighbouring depths apart better than a map of one hue does, over any image.
    """
    ratio = np.log(np.clip(depth, near, far) / near) / np.log(far / near)
    return _map(1 - ratio, cv2.COLORMAP_TURBO)


def intensity_colors(intensity: np.ndarray) -> np.ndarray:
    """Return uint8 [N, 3] for intensities [N] in 0..1; the square root opens up the dark values that are most."""
    return _map(np.sqrt(np.clip(np.nan_to_num(intensity), 0, 1)), cv2.COLORMAP_VIRIDIS)


def class_colors(labels: np.ndarray, taxonomy: Taxonomy) -> np.ndarray:
    """Return uint8 [..., 3] for class ids [...]; ids outside the taxonomy are black."""
    palette = np.concatenate([taxonomy.palette, np.zeros((1, 3), np.uint8)])
    return palette[np.minimum(labels.astype(np.intp), len(palette) - 1)]


def as_rgb(image: np.ndarray) -> np.ndarray:
    """Return any image, uint8 or uint16, grey [H, W] or colour [H, W, 3], as uint8 [H, W, 3]."""
    image = (image >> 8).astype(np.uint8) if image.dtype == np.uint16 else image
    return np.repeat(image[..., None], 3, 2) if image.ndim == 2 else image


def sample(image: np.ndarray, uv: np.ndarray) -> np.ndarray:
    """Return the image's value at the nearest pixel of each uv [M, 2] (inside the image): [M] or [M, channels]."""
    pixels = np.rint(uv).astype(np.int64)
    height, width = image.shape[:2]
    return image[np.clip(pixels[:, 1], 0, height - 1), np.clip(pixels[:, 0], 0, width - 1)]


def _map(ratio: np.ndarray, colormap: int) -> np.ndarray:
    levels = np.rint(ratio * 255).astype(np.uint8).reshape(-1, 1)
    if len(levels) == 0:
        return np.empty((0, 3), np.uint8)
    return np.ascontiguousarray(cv2.applyColorMap(levels, colormap)[:, 0, ::-1])
