# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""How well points meet the pixels of a real image network, as a measure of extrinsics. Not a test itself."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from ros_kd.frames import CameraView, PairedFrame
from ros_kd.images import ImageFile
from ros_kd.label_sets import get_taxonomy
from ros_kd.pictures import sample
from ros_kd.projection import OcclusionFilter, project
from ros_kd.taxonomy import IGNORE

STREET = get_taxonomy('street-12')


def teacher_labels(view: CameraView, root: Path) -> np.ndarray:
    """Return the network's street-12 class of each pixel, uint8 [H, W]."""
    image = view.pixels.path.relative_to(root)
    label_image = ImageFile((root / 'teacher' / 'dicenet' / 'labels' / image).with_suffix('.png'))
    return get_taxonomy('cityscapes').lookup_to(STREET)[label_image.read()]


def turned(view: CameraView, degrees: float) -> CameraView:
    """Return the view with its camera turned to the side by `degrees`."""
    angle = np.radians(degrees)
    turn = np.eye(4)
    turn[0, 0] = turn[2, 2] = np.cos(angle)
    turn[0, 2], turn[2, 0] = np.sin(angle), -np.sin(angle)
    return replace(view, lidar_to_camera=turn @ view.lidar_to_camera)


def agreement(frame: PairedFrame, view: CameraView, root: Path,
              occlusion: OcclusionFilter | None = OcclusionFilter()) -> float:
    """Return the share of visible labelled points whose pixel has their class (street-12)."""
    seen = project(frame.points, view, occlusion)
    truth = frame.scan.taxonomy.lookup_to(STREET)[frame.scan.label[seen.index]]
    found = sample(teacher_labels(view, root), seen.uv)
    judged = (truth != IGNORE) & (found != IGNORE)
    return float((truth == found)[judged].mean())


def inside_box(points: np.ndarray, centre: np.ndarray, size: np.ndarray, rotation: np.ndarray) -> np.ndarray:
    """Return bool [N]: points [N, 3] inside a box of `size` along its own axes (columns of `rotation`)."""
    local = (points - centre) @ rotation
    return (np.abs(local) < np.asarray(size) / 2).all(1)


def share_on_class(points: np.ndarray, view: CameraView, labels: np.ndarray,
                   classes: tuple[int, ...]) -> tuple[int, int]:
    """Return how many of the points in the image lie on pixels of the given classes, and how many are in the image."""
    seen = project(points, view, None)
    found = sample(labels, seen.uv)
    return int(np.isin(found, classes).sum()), len(found)
