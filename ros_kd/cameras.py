# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""Camera calibration and the projection of points into pixels (the models of sensor_msgs/CameraInfo)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np

from ros_kd import distortion

NEAREST = 1e-3


@dataclass(frozen=True, eq=False)
class Camera:
    """A calibrated camera.

    width, height: pixels. K: float64 [3, 3]. model: 'none', 'plumb_bob' (k1 k2 p1 p2 k3), 'rational_polynomial'
    (k1 k2 p1 p2 k3 k4 k5 k6, s1 to s4 of a thin prism) or 'equidistant' (k1..k4), as sensor_msgs/distortion_models has
    them; names that drivers write instead (fisheye, radtan, Brown Conrady ...) are understood.
    Raises ValueError for an unknown model, a wrong number of coefficients or an impossible K.
    """

    width: int
    height: int
    K: np.ndarray
    model: str = 'none'
    distortion: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, 'K', np.asarray(self.K, np.float64).reshape(3, 3))
        model, coefficients = distortion.canonical(self.model, tuple(float(value) for value in self.distortion))
        object.__setattr__(self, 'model', model)
        object.__setattr__(self, 'distortion', coefficients)
        if not (self.K[0, 0] > 0 and self.K[1, 1] > 0 and self.width > 0 and self.height > 0):
            raise ValueError(f'calibration with fx={self.K[0, 0]}, fy={self.K[1, 1]}, size {self.width}x{self.height}: '
                             'all must be positive (an uncalibrated CameraInfo has zeros: calibrate the camera first)')
        if not np.isfinite(self.K).all() or self.K[1, 0]:
            raise ValueError(f'camera matrix {self.K.tolist()}, expected finite fx s cx, 0 fy cy, 0 0 1')

    @classmethod
    def from_info(cls, info: Any, rectified: bool = False) -> Camera:
        """Return the camera of the images that belong to a sensor_msgs/CameraInfo.

        info: any object with its attributes (rclpy's, rosbags', ROS 1's D K R P). K, P and the region of interest are
        those of the full sensor; the image is the region, then binned as image_geometry's PinholeCameraModel has it:
        pixel n is the sensor's pixel n * binning (where a camera averages instead, pixels are up to half a pixel off).
        rectified: the image is of a topic image_rect*: P without distortion, to be used with `rectification`;
        image_proc cuts the same region out of it whether or not do_rectify is set.
        Raises ValueError for an uncalibrated, unknown or impossible CameraInfo.
        """
        window = _Window.of(info)
        if rectified:
            return cls(*window.size, window.seen_by(_projection(info)[:, :3]))
        coefficients = tuple(_field(info, 'd'))
        return cls(*window.size, window.seen_by(_numbers(info, 'k', (3, 3))), info.distortion_model, coefficients)

    @cached_property
    def limit(self) -> float:
        """Largest undistorted radius r/z (or angle in radians, equidistant) before the model folds back."""
        return distortion.limit(self.model, self.distortion)

    @cached_property
    def frustum(self) -> np.ndarray | None:
        """Normals float64 [4, 3] of planes through the camera: all that it sees is inside them, if not little else.

        None for a lens that sees so far to the side that planes cannot bound it.
        """
        return _frustum(self.width, self.height, tuple(self.K.ravel().tolist()), self.model, self.distortion)

    def project(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Project points [N, 3] (metres, optical frame) to pixels.

        Returns uv [N, 2] in the points' dtype (pixel centres at whole numbers, as OpenCV counts) and valid bool [N]: in
        front of the camera, inside the model's range and inside the image. uv of an invalid point has no meaning.
        An equidistant lens may see what is beside and behind it.
        """
        u, v, valid = self.pixels(*np.ascontiguousarray(points.T))
        return np.stack([u, v], 1), valid

    def pixels(self, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Project like `project` from coordinates x, y, z [N] to u, v and valid [N]."""
        (fx, skew, cx), (_, fy, cy), _ = self.K.tolist()
        with np.errstate(all='ignore'):
            x, y, valid = self._bent(x, y, z)
            u, v = x * fx + cx, y * fy + cy
            u = u + y * skew if skew else u
            u, v = u.astype(z.dtype, copy=False), v.astype(z.dtype, copy=False)  # numpy 1 widens for a huge fx
            valid &= (u > -0.5) & (u < self.width - 0.5) & (v > -0.5) & (v < self.height - 0.5)
        return u, v, valid

    def depth(self, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Return how far points are: along the axis, or from the camera if the lens may see what is beside it."""
        return np.sqrt(x * x + y * y + z * z) if self.model == 'equidistant' else z

    def _bent(self, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return x and y in an image of focal length 1, and whether the model holds."""
        if self.model == 'equidistant':
            r = np.sqrt(x * x + y * y)
            theta = np.arctan2(r, z)
            scale = distortion.bent_angle(self.distortion, theta) / np.maximum(r, np.finfo(r.dtype).tiny)
            away = r + np.abs(z)
            return x * scale, y * scale, (theta < self.limit) & (away > NEAREST) & (away < np.inf)
        valid = (z > NEAREST) & (z < np.inf)
        z = np.where(valid, z, 1)
        x, y = x / z, y / z
        if self.model == 'none':
            return x, y, valid
        valid &= x * x + y * y < self.limit * self.limit
        return *distortion.distort(self.distortion, x, y), valid


@lru_cache(maxsize=256)
def _frustum(width: int, height: int, K: tuple[float, ...], model: str,
             coefficients: tuple[float, ...]) -> np.ndarray | None:
    fx, skew, cx, _, fy, cy, *_ = K
    sides = [((v - cy) / fy, u) for u in (-0.5, width - 0.5) for v in (-0.5, height - 0.5)]
    corners = np.array([((u - cx - skew * y) / fx, y) for y, u in sides])
    low, high = distortion.straight_box(model, coefficients, corners.min(0), corners.max(0))
    if model == 'equidistant' and not np.isfinite(high).all():
        return None
    # Rounding of far points must not cost the rays at the border.
    margin = 1e-3 * (high - low) + 1e-3 * np.abs(high) + 1e-3 * np.abs(low)
    x, y = np.clip([low - margin, high + margin], -1e9, 1e9).T
    planes = np.array([[1, 0, -x[0]], [-1, 0, x[1]], [0, 1, -y[0]], [0, -1, y[1]]])
    return planes / np.linalg.norm(planes, axis=1, keepdims=True)


@dataclass(frozen=True)
class _Window:
    """The part of the sensor that an image shows: x, y, width, height in full resolution, and the binning."""

    x: int
    y: int
    width: int
    height: int
    binning: tuple[int, int]

    @classmethod
    def of(cls, info: Any) -> _Window:
        x, y, width, height = (int(getattr(info.roi, name)) for name in ('x_offset', 'y_offset', 'width', 'height'))
        binning = max(int(info.binning_x), 1), max(int(info.binning_y), 1)
        if not (x or y or width or height):
            return cls(0, 0, int(info.width), int(info.height), binning)
        if not (0 < width <= info.width - x and 0 < height <= info.height - y):
            raise ValueError(f'region of interest {width}x{height} at ({x}, {y}) is not within the {info.width}x'
                             f'{info.height} pixels of the CameraInfo: the driver must give both for the full sensor, '
                             'or a region of zeros for all of it')
        return cls(x, y, width, height, binning)

    @property
    def size(self) -> tuple[int, int]:
        return self.width // self.binning[0], self.height // self.binning[1]

    def seen_by(self, matrix: np.ndarray) -> np.ndarray:
        """Return the camera matrix [3, 3] of the full resolution for the window."""
        moved = matrix.copy()
        moved[:2, 2] -= self.x, self.y
        moved[:2] /= np.array(self.binning)[:, None]
        return moved


def rectification(info: Any, baseline: bool = True) -> np.ndarray:
    """Return float64 [4, 4], raw camera to rectified camera: what to multiply lidar_to_camera by from the left.

    It turns by R (zeros, as of drivers of single cameras, count as no turn) and, for the right camera of a stereo pair,
    shifts by P's baseline in metres. baseline: False for a driver that stamps the right images with a frame of the
    right camera; CameraInfo.msg wants that of the left one. Raises ValueError if P is uncalibrated or R no rotation.
    """
    rotation, projection = _numbers(info, 'r', (3, 3)), _projection(info)
    rotation = rotation if rotation.any() else np.eye(3)
    if not np.allclose(rotation @ rotation.T, np.eye(3), atol=1e-3) or np.linalg.det(rotation) < 0:
        raise ValueError(f'R of the CameraInfo is {rotation.tolist()}, which is no rotation: calibrate the camera, or '
                         'use its raw image')
    transform = np.eye(4)
    transform[:3, :3] = rotation
    if baseline:
        transform[:3, 3] = np.linalg.solve(projection[:, :3], projection[:, 3])
    return transform


def _projection(info: Any) -> np.ndarray:
    matrix = _numbers(info, 'p', (3, 4))
    if not (np.isfinite(matrix).all() and matrix[0, 0] > 0 and matrix[1, 1] > 0 and matrix[2, 2] > 0):
        raise ValueError(f'P of the CameraInfo is {matrix.tolist()}, so where its rectified image lies is unknown: '
                         'calibrate the camera, or use its raw image')
    return matrix


def _numbers(info: Any, name: str, shape: tuple[int, int]) -> np.ndarray:
    values = np.asarray(_field(info, name), np.float64)
    if values.size != shape[0] * shape[1]:
        raise ValueError(f'{name.upper()} of the CameraInfo has {values.size} numbers, expected {shape[0] * shape[1]}')
    return values.reshape(shape)


def _field(info: Any, name: str) -> Any:
    return getattr(info, name) if hasattr(info, name) else getattr(info, name.upper())
