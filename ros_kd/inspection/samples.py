# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Figures of a few images and scans: all that is looked at of the payloads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Sequence

import cv2
import numpy as np

from ros_kd.frames import Scan
from ros_kd.inspection.figures import Lidar

_WIDTH = 640  # pixels; sharpness depends on the size
_BRIGHT, _DARK = 250, 8


def spread(count: int, wanted: int) -> list[int]:
    """Return at most `wanted` of `count` numbers, evenly, first and last among them."""
    return np.unique(np.linspace(0, count - 1, min(wanted, count)).round().astype(int)).tolist() if count else []


@dataclass(frozen=True)
class Look:
    """How images look: size in pixels; share of pixels at either end of the range; variance of the Laplacian of the
    grey image 640 pixels wide."""

    width: int
    height: int
    bright: float
    dark: float
    sharpness: float


def look_at(images: Sequence[np.ndarray]) -> Look | None:
    """Return the medians of images uint8 or uint16 [H, W] or [H, W, 3]; None without any."""
    if not images:
        return None
    figures = np.median([_figures(image) for image in images], 0)
    height, width = images[0].shape[:2]
    return Look(width, height, *map(float, figures))


def _figures(image: np.ndarray) -> tuple[float, float, float]:
    grey = (image >> 8).astype(np.uint8) if image.dtype == np.uint16 else image
    grey = cv2.cvtColor(grey, cv2.COLOR_RGB2GRAY) if grey.ndim == 3 else grey
    shown = cv2.resize(grey, (_WIDTH, max(1, round(grey.shape[0] * _WIDTH / grey.shape[1]))),
                       interpolation=cv2.INTER_AREA) if grey.shape[1] > _WIDTH else grey
    return (float((grey >= _BRIGHT).mean()), float((grey <= _DARK).mean()),
            float(cv2.Laplacian(shown, cv2.CV_32F).var()))


def lidar_figures(topic: str, scans: Sequence[Scan], seen: float | None) -> Lidar | None:
    """Return the medians of scans; None without any. seen: share of the points that a camera sees."""
    if not scans:
        return None
    first = scans[0]
    columns = tuple(name for name in ('intensity', 'time', 'ring', 'label') if getattr(first, name) is not None)
    distances = [np.linalg.norm(scan.points, axis=1) for scan in scans]
    valid = [distance[np.isfinite(distance) & (distance > 1e-3)] for distance in distances]
    invalid = [1 - len(good) / max(len(scan), 1) for good, scan in zip(valid, scans)]
    reach = [float(np.percentile(good, 99)) for good in valid if len(good)]
    return Lidar(topic, first.frame_id, int(np.median([len(scan) for scan in scans])), float(np.median(invalid)),
                 float(np.median(reach)) if reach else 0.0, columns, seen)
