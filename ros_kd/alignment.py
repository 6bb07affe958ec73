# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Do edges of depth lie on edges of the image? A check of calibration and time that needs no target.

After Levinson and Thrun, "Automatic Online Calibration of Cameras and Lasers" (RSS 2013): where the depth of a scan
jumps, the nearer point lies on an outline, and outlines show in the image. The score of a shift is the mean gradient of
the image at the outlines moved by it; at a right calibration no shift has a better one.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

REACH, STEP = 16, 2  # pixels that outlines are moved by at most, and between two tries
FEWEST = 50  # outline points without which an image says nothing
ENOUGH = 3000  # outline points from which on the best shift can be trusted
_ELEVATION, _AZIMUTH = np.radians(0.2), np.radians(0.6)  # of neighbours on one ring
_JUMP, _SHARE = 0.6, 0.1  # metres, and share of the range, by which depth jumps at an outline


def outlines(points: np.ndarray) -> np.ndarray:
    """Return bool [N]: the points float32 [N, 3] (metres, LiDAR frame) behind which, to a side, depth jumps.

    Neighbours are points of nearly one elevation, in the order of their azimuth: no ring column is needed.
    """
    found = np.zeros(len(points), bool)
    with np.errstate(invalid='ignore'):
        flat = np.hypot(points[:, 0], points[:, 1])
        index = np.nonzero(np.isfinite(points).all(1) & (flat > 1.0))[0]
        azimuth = np.arctan2(points[index, 1], points[index, 0])
        ring = np.round(np.arctan2(points[index, 2], flat[index]) / _ELEVATION)
        order = np.lexsort((azimuth, ring))
    index, azimuth, ring, depth = index[order], azimuth[order], ring[order], flat[index[order]]
    near = (np.diff(ring) == 0) & (np.diff(azimuth) < _AZIMUTH)
    step = np.diff(depth)
    jump = near & (np.abs(step) > _JUMP + _SHARE * np.minimum(depth[1:], depth[:-1]))
    found[index[:-1][jump & (step > 0)]] = True
    found[index[1:][jump & (step < 0)]] = True
    return found


def gradient(image: np.ndarray) -> np.ndarray:
    """Return how much an image [H, W] or [H, W, 3] changes along its rows at each pixel, float32 [H, W], 0..1.

    Rows alone: depth jumps from azimuth to azimuth. The largest twentieth counts as 1, so that no few lamps rule.
    """
    grey = image.mean(2, dtype=np.float32) if image.ndim == 3 else image.astype(np.float32)
    change = np.zeros_like(grey)
    np.abs(grey[:, 2:] - grey[:, :-2], out=change[:, 1:-1])
    return np.minimum(change / max(float(np.percentile(change[::4, ::4], 95)), 1e-6), 1)


@dataclass
class Alignment:
    """Scores of shifts, summed over images. scores: float64 [S, S], by shift in v and u. images, points: how many images
    and outline points counted.
    """

    scores: np.ndarray = field(default_factory=lambda: np.zeros((2 * REACH // STEP + 1,) * 2))
    images: int = 0
    points: int = 0

    def add(self, image: np.ndarray, uv: np.ndarray) -> bool:
        """Score an image [H, W] or [H, W, 3] with its outline points uv [M, 2] (pixels); False if they are too few."""
        height, width = image.shape[:2]
        pixels = np.rint(uv).astype(np.int64)
        inside = ((pixels >= REACH) & (pixels < (width - REACH, height - REACH))).all(1)
        pixels = pixels[inside]
        if len(pixels) < FEWEST:
            return False
        shifts = np.arange(-REACH, REACH + 1, STEP)
        moves = (shifts[:, None] * width + shifts[None]).ravel()
        places = pixels[:, 1] * width + pixels[:, 0]
        scores = gradient(image).ravel()[places[:, None] + moves].mean(0)
        self.scores += (scores / max(scores.mean(), 1e-9)).reshape(self.scores.shape)
        self.images += 1
        self.points += len(pixels)
        return True

    @property
    def offset(self) -> tuple[int, int]:
        """Pixels (u, v) by which outlines fit the images best; (0, 0) before any image.

        Upright outlines are most, so v is less certain than u by some pixels.
        """
        row, column = np.unravel_index(np.argmax(self.scores - 1e-6 * _distance()), self.scores.shape)
        return int(column) * STEP - REACH, int(row) * STEP - REACH

    @property
    def trusted(self) -> bool:
        """Tell whether there were outlines enough."""
        return self.points >= ENOUGH

    @property
    def contrast(self) -> float:
        """How much better the best shift is than the mean one, as a share; near 0 the images say nothing."""
        return float(self.scores.max() / self.scores.mean() - 1) if self.images else 0.0


def _distance() -> np.ndarray:
    shifts = np.arange(-REACH, REACH + 1, STEP)
    return np.hypot(shifts[:, None], shifts[None])
