# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""What an inspection of any source returns, and the parts that all sources share."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Sequence

import numpy as np

from ros_kd.alignment import Alignment, outlines
from ros_kd.frames import CameraView, PairedFrame
from ros_kd.inspection.drawing import DrawnFrame, Style, draw
from ros_kd.inspection.figures import CameraFigures, CameraPairing, Figures, Fit, Histogram, Spread
from ros_kd.inspection.samples import look_at, spread
from ros_kd.projection import project

_ALIGNED = 8  # frames at least whose edges of depth are compared
_AGREED = 0.1  # contrast of an alignment
# What a payload that is damaged or does not fit its calibration raises.
BROKEN = (ValueError, OSError, KeyError)


@dataclass(frozen=True, eq=False)
class Inspected:
    """The figures of a source and the frames drawn from it."""

    figures: Figures
    frames: list[DrawnFrame]


@dataclass
class Drawing:
    """Frames drawn, what could not be, in words, and how edges of depth fit the images."""

    drawn: list[DrawnFrame] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    alignments: dict[str, Alignment] = field(default_factory=dict)

    @property
    def seen(self) -> float | None:
        """Share of the points that a camera sees, over all frames, None without any."""
        points = sum(frame.points for frame in self.drawn)
        return sum(view.visible for frame in self.drawn for view in frame.views) / points if points else None

    @property
    def fits(self) -> tuple[Fit, ...]:
        """How edges of depth fit each camera's images."""
        return tuple(Fit(camera, found.images, found.points, *found.offset, found.trusted and found.contrast > _AGREED)
                     for camera, found in self.alignments.items() if found.images)

    def align(self, frame: PairedFrame) -> None:
        """Compare a frame's edges of depth with its images."""
        edges = frame.points[outlines(frame.points)]
        for view in frame.views:
            self.alignments.setdefault(view.name, Alignment()).add(view.image(), project(edges, view).uv)


def draw_spread(dataset: Sequence[PairedFrame], style: Style, count: int) -> Drawing:
    """Draw `count` frames spread over a data set. Raises ValueError if it lacks a camera or taxonomy of the style."""
    drawing, drawn = Drawing(), set(spread(len(dataset), count))
    for number in sorted(drawn | set(spread(len(dataset), _ALIGNED))):
        try:
            frame = dataset[number]
        except BROKEN as error:
            drawing.broken.append(f'pair {number + 1} of {len(dataset)} cannot be read: {text_of(error)}')
            continue
        _check(frame, style)
        try:
            drawing.align(frame)
            if number in drawn:
                drawing.drawn.append(draw(frame, style))
        except (ValueError, OSError) as error:
            drawing.broken.append(f'pair {number + 1} of {len(dataset)} cannot be drawn: {text_of(error)}')
    return drawing


def _check(frame: PairedFrame, style: Style) -> None:
    """Raise KeyError or ValueError for a style that does not fit the data set, which is no fault of a frame."""
    for camera in style.cameras:
        frame.view(camera)
    for taxonomy in (frame.scan.taxonomy, *(view.taxonomy for view in frame.views)):
        if taxonomy is not None and style.taxonomy is not None:
            taxonomy.lookup_to(style.taxonomy)


def text_of(error: Exception) -> str:
    """Return an error's words (a KeyError's str is quoted)."""
    return str(error.args[0] if isinstance(error, KeyError) and error.args else error)


def camera_pairing(camera: str, deltas: np.ndarray) -> CameraPairing:
    """Return the figures of image minus scan, int64 [M], ns."""
    milliseconds = deltas / 1e6
    histogram = Histogram.of(milliseconds) if len(deltas) else None
    return CameraPairing(camera, len(deltas), Spread.of(milliseconds), histogram)


def camera_of_views(name: str, views: Sequence[CameraView], topic: str = '', calibrations: int = 0) -> CameraFigures:
    """Return the figures of a camera from some of its views."""
    images, bad = [], []
    for view in views:
        try:
            images.append(view.pixels.read())
        except BROKEN as error:
            bad.append(text_of(error))
    camera, look = views[0].camera, look_at(images)
    encoding = getattr(views[0].pixels, 'format', 'raw')
    K = camera.K
    return CameraFigures(name, topic, camera.model, camera.width, camera.height, tuple(
        float(value) for value in (K[0, 0], K[1, 1], K[0, 2], K[1, 2])), look.width if look else 0,
        look.height if look else 0, encoding, calibrations=calibrations, bright=look.bright if look else None,
        dark=look.dark if look else None, sharpness=look.sharpness if look else None,
        damaged=damage(bad, len(views)), problem='' if images or not bad else bad[0])


def damage(problems: list[str], looked_at: int) -> str:
    """Return in words what is wrong with some of the images looked at, '' if nothing is."""
    return f'{len(problems)} of {looked_at} images looked at cannot be read, such as {problems[0]}' if problems else ''


def size_of(path: Path) -> int:
    """Return the bytes of a file, or of the files of a folder."""
    files = [path] if path.is_file() else [file for file in path.rglob('*') if file.is_file()]
    return sum(file.stat().st_size for file in files)


def storage_of(path: Path) -> str:
    """Return how a bag is stored, as rosbag2 names it."""
    names = [path.name] if path.is_file() else [file.name for file in path.iterdir()]
    return next((storage for mark, storage in (('.mcap', 'mcap'), ('.db3', 'sqlite3'), ('.bag', 'ROS 1'))
                 if any(mark in name for name in names)), '')
