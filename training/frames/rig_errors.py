# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""What makes a clean rig worse: a wrong calibration, cameras whose clock is off, ego-motion that is not corrected.

Training under such errors and evaluating without them shows how much of them a method bears.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace
from typing import Iterator

import numpy as np

from ros_kd import extrinsics
from ros_kd.datasets import Dataset
from ros_kd.extrinsics import Trajectory
from ros_kd.frames import CameraView, PairedFrame
from ros_kd.inspection.samples import spread
from ros_kd.projection import project


@dataclass(frozen=True)
class RigErrors:
    """How the extrinsics of training frames are falsified. Images and scans stay as they are.

    rotation: degrees by which each camera is turned, about a random axis. translation: metres by which it is moved, in
    a random direction. each_frame: both are drawn anew for each frame, as by a loose mount; otherwise for each camera
    once, as by a bad calibration. jitter: milliseconds; the motion of the vehicle is corrected for an image stamp that
    is up to this much off, either way, uniformly drawn for each image. compensated: False: the motion of the vehicle
    between the scan's and the image's stamp is not corrected at all, as with a static calibration.
    seed: of all that is drawn. Sizes of turns and shifts are exact, so that a sweep compares what it says.
    """

    rotation: float = 0.0
    translation: float = 0.0
    each_frame: bool = False
    jitter: float = 0.0
    compensated: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ('rotation', 'translation', 'jitter'):
            if not getattr(self, name) >= 0:
                raise ValueError(f'rig error {name} is {getattr(self, name)}: expected 0 (none) or a size above')
        if self.jitter and not self.compensated:
            raise ValueError(f'rig errors with a jitter of {self.jitter} ms and without motion compensation: wrong '
                             'stamps matter only where motion is corrected by them; choose one of both')

    @property
    def moves(self) -> bool:
        """Whether the vehicle's motion matters."""
        return self.jitter > 0 or not self.compensated


@dataclass(frozen=True, eq=False)
class Disturbed:
    """A dataset whose frames have wrong extrinsics; see RigErrors."""

    source: Dataset
    errors: RigErrors

    @property
    def name(self) -> str:
        """Tells the errors too."""
        return f'{self.source.name} {self.errors}'

    @property
    def trajectory(self) -> Trajectory | None:
        """The source's."""
        return self.source.trajectory

    def __len__(self) -> int:
        return len(self.source)

    def __iter__(self) -> Iterator[PairedFrame]:
        return (self[index] for index in range(len(self)))

    def __getitem__(self, index: int) -> PairedFrame:
        """Return the frame with each view's extrinsics falsified. Raises ValueError where the vehicle's motion is
        needed and the source does not know it."""
        frame = self.source[index]
        return replace(frame, views=tuple(self._disturbed(frame, view) for view in frame.views))

    def _disturbed(self, frame: PairedFrame, view: CameraView) -> CameraView:
        errors, lidar_to_camera = self.errors, view.lidar_to_camera
        if errors.moves:
            wrong = frame.stamp  # where a static calibration thinks that the image was taken
            if errors.compensated:
                random = _random(errors.seed, 'jitter', view.name, view.stamp)
                wrong = view.stamp + round(random.uniform(-1, 1) * errors.jitter * 1e6)
            lidar_to_camera = lidar_to_camera @ self._motion(frame, view.stamp, wrong)
        random = _random(errors.seed, 'calibration', view.name, view.stamp if errors.each_frame else 0)
        return replace(view, lidar_to_camera=offset(random, errors.rotation, errors.translation) @ lidar_to_camera)

    def _motion(self, frame: PairedFrame, true: int, wrong: int) -> np.ndarray:
        """Return [4, 4], to the right of extrinsics for an image at `true` (ns): they become those for `wrong`.

        C inv(W(wrong)) W(scan) = [C inv(W(true)) W(scan)] [inv(W(scan)) W(true) inv(W(wrong)) W(scan)].
        """
        trajectory = self.source.trajectory
        stamps = np.array([frame.stamp, true, wrong], np.int64)
        if trajectory is None or len(trajectory.stamps) < 2 or not trajectory.covers(stamps):
            raise ValueError(f'frame {frame.key} of {self.source.name} has no poses around {frame.stamp} ns, but '
                             'errors of time need the vehicle\'s motion: choose a dataset with odometry')
        scan, at_true, at_wrong = trajectory.sample(stamps)
        return extrinsics.invert(scan) @ at_true @ extrinsics.invert(at_wrong) @ scan


def disturb(source: Dataset, errors: RigErrors) -> Dataset:
    """Return the dataset with the errors of a rig; the same seed gives the same errors, in any order of frames."""
    return Disturbed(source, errors)


def offset(random: np.random.Generator, rotation: float, translation: float) -> np.ndarray:
    """Return float64 [4, 4]: a turn by `rotation` degrees about a random axis and a shift by `translation` metres."""
    axis, direction = (vector / np.linalg.norm(vector) for vector in random.normal(size=(2, 3)))
    half = np.radians(rotation) / 2
    return extrinsics.from_quaternion(direction * translation, np.append(axis * np.sin(half), np.cos(half)))


def pixel_error(true: PairedFrame, wrong: PairedFrame) -> np.ndarray:
    """Return float32 [M]: by how many pixels each point that both frames' views see lies wrong, all views joined.

    Hidden points count, too: what hides them is disturbed alike.
    """
    errors = []
    for view, moved in zip(true.views, wrong.views):
        here, there = (project(true.points, each, None) for each in (view, moved))
        _, rows, moved_rows = np.intersect1d(here.index, there.index, assume_unique=True, return_indices=True)
        errors.append(np.linalg.norm(here.uv[rows] - there.uv[moved_rows], axis=1))
    return np.concatenate(errors) if errors else np.empty(0, np.float32)


def median_pixel_error(source: Dataset, errors: RigErrors, frames: int = 8) -> float:
    """Return the median over the points of at most so many frames, evenly spread; NaN if no camera sees any."""
    disturbed = disturb(source, errors)
    found = np.concatenate([pixel_error(source[i], disturbed[i]) for i in spread(len(source), frames)])
    return float(np.median(found)) if len(found) else float('nan')


def _random(seed: int, what: str, camera: str, stamp: int) -> np.random.Generator:
    return np.random.default_rng((seed, zlib.crc32(what.encode()), zlib.crc32(camera.encode()), stamp & (2 ** 63 - 1)))
