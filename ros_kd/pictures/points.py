# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Clouds drawn over an image and from above."""

from __future__ import annotations

import cv2
import numpy as np

BACKGROUND = 24
_RING = (90, 90, 90)
_TEXT = (190, 190, 190)


def over_image(image: np.ndarray, uv: np.ndarray, colors: np.ndarray, radius: int = 2, depth: np.ndarray | None = None,
               dim: float = 1.0) -> np.ndarray:
    """Return a copy of the image [H, W, 3] (or grey [H, W]) with a disc of `radius` pixels for each point.

    uv: [M, 2], pixels. colors: uint8 [M, 3]. depth: [M]; nearer points cover farther ones. dim: the image's brightness.
    """
    picture = np.repeat(image[..., None], 3, 2) if image.ndim == 2 else image.copy()
    if dim < 1:
        picture = cv2.convertScaleAbs(picture, alpha=dim)
    order = slice(None) if depth is None else np.argsort(-depth, kind='stable')
    _discs(picture, np.rint(uv[order]).astype(np.int64), colors[order], radius)
    return picture


def radius_by_density(image: np.ndarray, count: int) -> int:
    """Return the radius (pixels) at which `count` points cover an image [H, W, ...] without hiding it."""
    spacing = np.sqrt(image.shape[0] * image.shape[1] / max(1, count))
    return int(np.clip(spacing / 6, 1, 4))


def over_labels(image: np.ndarray, label_colors: np.ndarray, opacity: float = 0.5) -> np.ndarray:
    """Blend an image and the colours of its label image, both uint8 [H, W, 3]."""
    return cv2.addWeighted(image, 1 - opacity, label_colors, opacity, 0)


def from_above(points: np.ndarray, colors: np.ndarray, extent: float = 40.0, pixels_per_metre: float = 8.0,
               radius: int = 1, rings: float = 10.0) -> np.ndarray:
    """Return the cloud seen from above: uint8 [S, S, 3] with S = 2 · extent · pixels_per_metre.

    points: [N, 3], metres; x points up and y left in the picture, higher points cover lower ones. colors: uint8 [N, 3].
    extent: metres from the sensor to the border. rings: metres between the range rings, 0 for none.
    """
    size = int(round(2 * extent * pixels_per_metre))
    picture = np.full((size, size, 3), BACKGROUND, np.uint8)
    if rings > 0:
        _rings(picture, extent, pixels_per_metre, rings)
    inside = np.nonzero((np.abs(points[:, :2]) < extent).all(1) & np.isfinite(points[:, 2]))[0]
    inside = inside[np.argsort(points[inside, 2], kind='stable')]
    pixels = np.floor((extent - points[inside][:, [1, 0]]) * pixels_per_metre).astype(np.int64)
    _discs(picture, pixels, colors[inside], radius)
    _axes(picture, pixels_per_metre)
    return picture


def _discs(picture: np.ndarray, pixels: np.ndarray, colors: np.ndarray, radius: int) -> None:
    """Fill a disc around each pixel [M, 2] (column, row); later points cover earlier ones."""
    reach = np.arange(-radius, radius + 1)
    dx, dy = (grid.ravel() for grid in np.meshgrid(reach, reach))
    near = dx * dx + dy * dy <= radius * radius + radius
    height, width = picture.shape[:2]
    columns, rows = pixels[:, :1] + dx[near], pixels[:, 1:] + dy[near]
    inside = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
    # numpy assigns in order, so the last of several points on one pixel stays.
    picture[rows[inside], columns[inside]] = np.repeat(colors, inside.sum(1), axis=0)


def _rings(picture: np.ndarray, extent: float, pixels_per_metre: float, spacing: float) -> None:
    centre = picture.shape[0] // 2
    for distance in np.arange(spacing, extent * np.sqrt(2), spacing):
        radius = int(round(distance * pixels_per_metre))
        cv2.circle(picture, (centre, centre), radius, _RING, 1, cv2.LINE_AA)
        if distance < extent:
            cv2.putText(picture, f'{distance:g} m', (centre + 3, centre - radius - 3), cv2.FONT_HERSHEY_SIMPLEX, 0.4,
                        _TEXT, 1, cv2.LINE_AA)


def _axes(picture: np.ndarray, pixels_per_metre: float) -> None:
    """Draw the sensor's x (red) and y (green) axes, 2 m long."""
    centre, length = picture.shape[0] // 2, int(2 * pixels_per_metre)
    cv2.arrowedLine(picture, (centre, centre), (centre, centre - length), (255, 80, 80), 2, cv2.LINE_AA, tipLength=0.3)
    cv2.arrowedLine(picture, (centre, centre), (centre - length, centre), (80, 255, 80), 2, cv2.LINE_AA, tipLength=0.3)
