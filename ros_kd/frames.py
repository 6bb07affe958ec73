# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""The one value that flows everywhere: a LiDAR scan with the images taken around the same moment."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ros_kd.cameras import Camera
    from ros_kd.images import Pixels
    from ros_kd.taxonomy import Taxonomy

COLUMNS = ('intensity', 'time', 'ring', 'label')
"""What a scan may know of each point beside its place."""


@dataclass(frozen=True, eq=False)
class Scan:
    """One LiDAR scan in its sensor's frame (REP-103 axes: x forward, y left, z up, unless the sensor differs).

    stamp: nanoseconds. points: float32 [N, 3], metres; may hold NaN where the sensor did.
    intensity: float32 [N], scaled to 0..1. time: float32 [N], seconds after `stamp`. ring: uint16 [N].
    label: uint16 [N], ids of `taxonomy`. A column that the sensor lacks is None.
    """

    stamp: int
    points: np.ndarray
    intensity: np.ndarray | None = None
    time: np.ndarray | None = None
    ring: np.ndarray | None = None
    label: np.ndarray | None = None
    taxonomy: Taxonomy | None = None
    frame_id: str = 'lidar'

    def __post_init__(self) -> None:
        if self.points.ndim != 2 or self.points.shape[1] != 3 or self.points.dtype != np.float32:
            raise ValueError(f'points are {self.points.dtype} {self.points.shape}, expected float32 [N, 3]')
        for name in COLUMNS:
            column = getattr(self, name)
            if column is not None and column.shape != (len(self.points),):
                raise ValueError(f'column "{name}" has shape {column.shape}, expected ({len(self.points)},): '
                                 'one value for each point')
        if self.label is not None and self.taxonomy is None:
            raise ValueError('a scan with labels needs the taxonomy that they belong to')

    def __len__(self) -> int:
        return len(self.points)

    def only(self, rows: np.ndarray) -> Scan:
        """Return the scan with the points that `rows`, bool [N] or their places, chooses."""
        columns = {name: getattr(self, name)[rows] for name in COLUMNS if getattr(self, name) is not None}
        return replace(self, points=self.points[rows], **columns)


@dataclass(frozen=True, eq=False)
class CameraView:
    """One camera's image, as seen from the scan that it is paired with.

    stamp: nanoseconds. lidar_to_camera: float64 [4, 4], LiDAR frame at the scan's stamp to the camera's optical frame
    (x right, y down, z forward) at the image's stamp, ego-motion between the two included where it is known.
    pixels: the image, decoded on demand. label_pixels: class ids of `taxonomy` per pixel (uint8 [H, W], 255 = unknown),
    from a teacher that ran on the vehicle or from a simulator.
    """

    name: str
    stamp: int
    camera: Camera
    lidar_to_camera: np.ndarray
    pixels: Pixels
    frame_id: str = ''
    label_pixels: Pixels | None = None
    taxonomy: Taxonomy | None = None

    def image(self) -> np.ndarray:
        """Return the decoded image, uint8 [H, W, 3], RGB. Raises ValueError if its size is not the calibration's."""
        return self._sized(self.pixels.read(), 'image')

    def labels(self) -> np.ndarray | None:
        """Return the class id of each pixel, uint8 [H, W], or None. ValueError if it is not the image's size."""
        return None if self.label_pixels is None else self._sized(self.label_pixels.read(), 'label image')

    def _sized(self, pixels: np.ndarray, what: str) -> np.ndarray:
        if pixels.shape[:2] != (self.camera.height, self.camera.width):
            raise ValueError(
                f'{what} of camera "{self.name}" is {pixels.shape[1]}x{pixels.shape[0]}, but its calibration is for '
                f'{self.camera.width}x{self.camera.height}: resize the images or correct the calibration')
        return pixels


@dataclass(frozen=True, eq=False)
class PairedFrame:
    """A scan and the camera views paired with it.

    key: names the frame within its dataset. world_from_lidar: float64 [4, 4], pose of the LiDAR at the scan's stamp in
    a fixed frame, or None without odometry.
    """

    scan: Scan
    views: tuple[CameraView, ...]
    key: str = ''
    world_from_lidar: np.ndarray | None = None

    @property
    def stamp(self) -> int:
        """The scan's stamp, nanoseconds."""
        return self.scan.stamp

    @property
    def points(self) -> np.ndarray:
        """The scan's points, float32 [N, 3], metres, LiDAR frame."""
        return self.scan.points

    def view(self, name: str) -> CameraView:
        """Return the view of the camera called `name`. Raises KeyError naming the cameras that exist."""
        for view in self.views:
            if view.name == name:
                return view
        raise KeyError(f'no camera "{name}" in frame {self.key}; it has {[view.name for view in self.views]}')
