# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""Values of an image-sized map at points between its pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Grid:
    """Where the cells of a map [h, w] lie in its image.

    A pixel u of the image (centres at whole numbers) lies at cell (u + 0.5) * scale - 0.5 + shift. A map that was
    resized edge to edge has scale w / W and shift 0; sub-sampling shifts the centres of its cells.
    """

    scale: tuple[float, float]
    shift: tuple[float, float] = (0.0, 0.0)

    @classmethod
    def covering(cls, map_size: tuple[int, int], image_size: tuple[int, int], shift: float = 0.0) -> Grid:
        """Return the grid of a map of (width, height) cells that covers an image of (width, height) pixels."""
        return cls((map_size[0] / image_size[0], map_size[1] / image_size[1]), (shift, shift))

    def cells(self, uv: np.ndarray) -> np.ndarray:
        """Return positions in cells [M, 2] of pixels uv [M, 2]."""
        return (uv + np.float32(0.5)) * np.asarray(self.scale, np.float32) + np.asarray(self.shift, np.float32) - 0.5


PIXELS = Grid((1.0, 1.0))


def _corners(cells: np.ndarray, width: int, height: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """The four neighbours of each position, clamped to the border: (flat index, weight) each."""
    x = np.clip(cells[:, 0], 0, width - 1)
    y = np.clip(cells[:, 1], 0, height - 1)
    left, top = x.astype(np.int64), y.astype(np.int64)
    right, bottom = np.minimum(left + 1, width - 1), np.minimum(top + 1, height - 1)
    fx, fy = (x - left).astype(np.float32), (y - top).astype(np.float32)
    return [(top * width + left, (1 - fx) * (1 - fy)), (top * width + right, fx * (1 - fy)),
            (bottom * width + left, (1 - fx) * fy), (bottom * width + right, fx * fy)]


def bilinear(values: np.ndarray, uv: np.ndarray, grid: Grid = PIXELS) -> np.ndarray:
    """Return float32 [M, C]: a map [C, h, w], bilinear at pixels uv [M, 2]; beyond the border, the border's value."""
    channels, height, width = values.shape
    flat = np.ascontiguousarray(values.reshape(channels, -1).T)
    result = np.zeros((len(uv), channels), np.float32)
    for index, weight in _corners(grid.cells(uv), width, height):
        result += flat[index] * weight[:, None]
    return result


def bilinear_votes(labels: np.ndarray, uv: np.ndarray, classes: int, grid: Grid = PIXELS) -> np.ndarray:
    """Return float32 [M, classes]: the share of each class among the four pixels around uv [M, 2], bilinearly weighted.

    labels: uint8 [h, w]; ids that are no class (255) keep their share for themselves: rows may sum to less than 1.
    """
    height, width = labels.shape
    votes = np.zeros((len(uv), classes), np.float32)
    rows = np.arange(len(uv))
    flat = labels.reshape(-1)
    for index, weight in _corners(grid.cells(uv), width, height):
        label = flat[index]
        known = label < classes
        votes[rows[known], label[known]] += weight[known]
    return votes
