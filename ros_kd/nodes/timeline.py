# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""A dataset as it would have arrived on the vehicle: what is due at which stamp."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Iterable, Iterator

import numpy as np

from ros_kd import extrinsics
from ros_kd.extrinsics import Trajectory
from ros_kd.frames import CameraView, PairedFrame
from ros_kd.images import ImageFile
from ros_kd.taxonomy import Taxonomy

LEAD = 500_000_000  # an image may be this many ns older than its scan
TICK = 20_000_000  # poses are due at least this often, ns
LONGEST_GAP = 5_000_000_000  # a longer one is a break in the recording


@dataclass(frozen=True, order=True)
class Event:
    """Something due at `stamp` (ns), in the time of the first lap: a pose, an image of a scan's frame, or the scan.

    data_stamp: the stamp that the dataset gives it, before any shift of later laps.
    """

    stamp: int
    rank: int
    data_stamp: int = field(compare=False)
    frame: PairedFrame | None = field(compare=False, default=None)
    view: CameraView | None = field(compare=False, default=None)


def events(frames: Iterable[PairedFrame]) -> Iterator[Event]:
    """Yield images and scans in the order of their stamps, each with a pose due before it, and poses in between."""
    last = None
    for event in _sensor_events(frames):
        if last is not None and TICK < event.stamp - last < LONGEST_GAP:
            yield from (Event(stamp, 0, stamp) for stamp in range(last + TICK, event.stamp, TICK))
        yield Event(event.stamp, 0, event.stamp)
        yield event
        last = event.stamp


def _sensor_events(frames: Iterable[PairedFrame]) -> Iterator[Event]:
    waiting: list[Event] = []
    for frame in frames:
        while waiting and waiting[0].stamp <= frame.stamp - LEAD:
            yield heapq.heappop(waiting)
        for view in frame.views:
            heapq.heappush(waiting, Event(view.stamp, 1, view.stamp, frame, view))
        heapq.heappush(waiting, Event(frame.stamp, 2, frame.stamp, frame))
    while waiting:
        yield heapq.heappop(waiting)


def laps(frames: Iterable[PairedFrame], endless: bool) -> Iterator[Event]:
    """Yield the events of one lap, or of endless ones.

    Each further lap is shifted by the length of the first and one mean step between scans, so that stamps keep rising.
    """
    shift, first, last, scans = 0, None, 0, []
    while True:
        for event in events(frames):
            if shift == 0:
                first, last = event.stamp if first is None else first, event.stamp
                scans += [event.stamp] if event.rank == 2 else []
            yield event if shift == 0 else replace(event, stamp=event.stamp + shift)
        if not endless or first is None:
            return
        step = (scans[-1] - scans[0]) // (len(scans) - 1) if len(scans) > 1 else 100_000_000
        shift += last - first + step


def static_extrinsics(view: CameraView, scan_stamp: int, trajectory: Trajectory | None) -> np.ndarray:
    """Return T_camera_lidar float64 [4, 4] with the motion between scan and image taken out of `lidar_to_camera`."""
    at_scan, at_image = (None if trajectory is None else trajectory.at(stamp) for stamp in (scan_stamp, view.stamp))
    if at_scan is None or at_image is None:
        return view.lidar_to_camera
    return view.lidar_to_camera @ extrinsics.invert(at_scan) @ at_image


def velocity(trajectory: Trajectory, stamp: int) -> tuple[np.ndarray, np.ndarray]:
    """Return linear (m/s) and angular (rad/s) velocity at `stamp`, [3] each, in the moving frame."""
    half = 50_000_000
    before, after = trajectory.at(stamp - half), trajectory.at(stamp + half)
    if before is None or after is None:
        return np.zeros(3), np.zeros(3)
    step = extrinsics.invert(before) @ after
    position, quaternion = extrinsics.to_quaternion(step)
    sine = np.linalg.norm(quaternion[:3])
    angle = 2 * np.arctan2(sine, quaternion[3])
    axis = quaternion[:3] / sine if sine > 1e-12 else np.zeros(3)
    return position / (2e-9 * half), axis * angle / (2e-9 * half)


@dataclass
class LabelImages:
    """A folder of label images (class id per pixel) that repeats the paths of the images, from some level on."""

    folder: Path
    taxonomy: Taxonomy
    found: int = 0
    missing: int = 0

    def __post_init__(self) -> None:
        if not self.folder.is_dir():
            raise ValueError(f'label_images={self.folder} is no folder')

    def attach(self, view: CameraView) -> CameraView:
        """Return the view with the label image whose path matches the longest end of the image's path, if any does."""
        file = self._match(view.pixels.path) if isinstance(view.pixels, ImageFile) else None
        self.found, self.missing = self.found + (file is not None), self.missing + (file is None)
        return view if file is None else replace(view, label_pixels=ImageFile(file), taxonomy=self.taxonomy)

    def _match(self, image: Path) -> Path | None:
        parts = image.absolute().with_suffix('.png').parts[1:]
        candidates = (self.folder.joinpath(*parts[start:]) for start in range(len(parts)))
        return next((path for path in candidates if path.exists()), None)
