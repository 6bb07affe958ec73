# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Inspects any data set, by what its frames tell."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ros_kd.datasets import Dataset
from ros_kd.frames import CameraView, Scan
from ros_kd.inspection.drawing import Style
from ros_kd.inspection.figures import CameraFigures, Figures, Lidar, Mounting, Pairing, Source
from ros_kd.inspection.inspected import (BROKEN, Inspected, camera_of_views, camera_pairing, draw_spread, text_of)
from ros_kd.inspection.motion import drive, mounting
from ros_kd.inspection.samples import lidar_figures, spread

_LOOKED_AT = 40  # frames; each reads a scan
_PAYLOADS = 8  # frames whose images are decoded


@dataclass
class _Sample:
    """What is kept of the frames looked at: all views without their images, a few scans."""

    stamps: list[int] = field(default_factory=list)
    scans: list[Scan] = field(default_factory=list)
    views: dict[str, list[tuple[int, CameraView]]] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)


def inspect_dataset(dataset: Dataset, style: Style, count: int) -> Inspected:
    """Inspect a data set and draw `count` frames of it. Raises ValueError if it is empty."""
    if len(dataset) == 0:
        raise ValueError(f'dataset "{dataset.name}" has no frames')
    sample = _look(dataset)
    drawing = draw_spread(dataset, style, count)
    first, last = min(sample.stamps, default=0), max(sample.stamps, default=0)
    return Inspected(Figures(
        dataset.name, Source.DATASET, (last - first) / 1e9, first, first, lidar=_lidar(sample, drawing.seen),
        cameras=_cameras(sample), pairing=Pairing(len(dataset), len(dataset), tuple(
            camera_pairing(name, _stamps(views) - np.array([stamp for stamp, _ in views], np.int64))
            for name, views in sample.views.items())),
        mountings=_mountings(sample, dataset), fits=drawing.fits, drive=drive(dataset.trajectory),
        broken=tuple(dict.fromkeys(sample.broken + drawing.broken))), drawing.drawn)


def _look(dataset: Dataset) -> _Sample:
    sample = _Sample()
    for number in spread(len(dataset), _LOOKED_AT):
        try:
            frame = dataset[number]
        except BROKEN as error:
            sample.broken.append(f'pair {number + 1} of {len(dataset)} cannot be read: {text_of(error)}')
            continue
        sample.stamps.append(frame.stamp)
        if len(sample.scans) < _PAYLOADS:
            sample.scans.append(frame.scan)
        for view in frame.views:
            sample.views.setdefault(view.name, []).append((frame.stamp, view))
    return sample


def _stamps(views: list[tuple[int, CameraView]]) -> np.ndarray:
    return np.array([view.stamp for _, view in views], np.int64)


def _lidar(sample: _Sample, seen: float | None) -> Lidar | None:
    return lidar_figures('points', sample.scans, seen)


def _cameras(sample: _Sample) -> tuple[CameraFigures, ...]:
    return tuple(camera_of_views(name, [views[number][1] for number in spread(len(views), _PAYLOADS)])
                 for name, views in sample.views.items())


def _mountings(sample: _Sample, dataset: Dataset) -> tuple[Mounting, ...]:
    found = (mounting(name, np.stack([view.lidar_to_camera for _, view in views]), _stamps(views),
                      np.array([stamp for stamp, _ in views], np.int64), dataset.trajectory)
             for name, views in sample.views.items())
    return tuple(entry for entry in found if entry is not None)
