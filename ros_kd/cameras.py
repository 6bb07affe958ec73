# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""Camera calibration and the projection of points into pixels (the models of sensor_msgs/CameraInfo)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

COEFFICIENTS = {'none': (0,), 'plumb_bob': (4, 5), 'rational_polynomial': (8,), 'equidistant': (4,)}
_ALIASES = {'': 'none', 'fisheye': 'equidistant', 'radtan': 'plumb_bob', 'kannala_brandt': 'equidistant'}


@dataclass(frozen=True, eq=False)
class Camera:
    """A calibrated camera.

    width, height: pixels. K: float64 [3, 3]. model: 'none', 'plumb_bob' (k1 k2 p1 p2 k3), 'rational_polynomial'
    (k1 k2 p1 p2 k3 k4 k5 k6) or 'equidistant' (k1..k4), as sensor_msgs/distortion_models names them.
    Raises ValueError for an unknown model, a wrong number of coefficients or an impossible K.
    """

    width: int
    height: int
    K: np.ndarray
    model: str = 'none'
    distortion: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, 'K', np.asarray(self.K, np.float64).reshape(3, 3))
        object.__setattr__(self, 'model', _ALIASES.get(self.model, self.model))
        coefficients = tuple(float(value) for value in self.distortion)
        if self.model == 'none' or not any(coefficients) and self.model != 'equidistant':
            object.__setattr__(self, 'model', 'none')
            coefficients = ()
        object.__setattr__(self, 'distortion', coefficients)
        if self.model not in COEFFICIENTS:
            raise ValueError(f'distortion model "{self.model}" is unknown; known: {sorted(COEFFICIENTS)}')
        if len(coefficients) not in COEFFICIENTS[self.model]:
            raise ValueError(f'{len(coefficients)} distortion coefficients for model "{self.model}", '
                             f'expected {" or ".join(map(str, COEFFICIENTS[self.model]))}')
        if not (self.K[0, 0] > 0 and self.K[1, 1] > 0 and self.width > 0 and self.height > 0):
            raise ValueError(f'calibration with fx={self.K[0, 0]}, fy={self.K[1, 1]}, size {self.width}x{self.height}: '
                             'all must be positive (an uncalibrated CameraInfo has zeros: calibrate the camera first)')

    @classmethod
    def from_info(cls, info: Any, rectified: bool = False) -> Camera:
        """Return the camera of the images that belong to a sensor_msgs/CameraInfo.

        info: any object with its attributes (rclpy's, rosbags', ROS 1's D K R P). The image is the region of interest
        of the sensor, then binned, as image_geometry's PinholeCameraModel reads it. rectified: of the topics
        image_rect*; see `rectification` for their extrinsics. image_proc cuts the same region from the rectified image.
        Raises ValueError for an uncalibrated, unknown or impossible CameraInfo.
        """
        window = _Window.of(info)
        matrix = _numbers(info, 'p', (3, 4))[:, :3] if rectified else _numbers(info, 'k', (3, 3))
        if rectified and not matrix.any():
            raise ValueError('P of the CameraInfo is zero, so where its rectified image lies is unknown: calibrate the '
                             'camera, or use its raw image')
        lens = ('none', ()) if rectified else (info.distortion_model, tuple(_field(info, 'd')))
        return cls(*window.size, window.seen_by(matrix), *lens)

    @cached_property
    def limit(self) -> float:
        """Largest undistorted radius r/z (or angle in radians, equidistant) before the model folds back."""
        if self.model == 'none':
            return np.inf
        fisheye = self.model == 'equidistant'
        radius = np.linspace(0, np.pi if fisheye else 10.0, 20001)
        distorted = radius * self._radial(radius * radius)
        falling = np.nonzero(~(np.diff(distorted) > 0))[0]
        return float(radius[falling[0]]) if len(falling) else (float(radius[-1]) if fisheye else np.inf)

    def _radial(self, r2: np.ndarray) -> np.ndarray:
        k = self.distortion
        if self.model == 'equidistant':
            return 1 + r2 * (k[0] + r2 * (k[1] + r2 * (k[2] + r2 * k[3])))
        k3 = k[4] if len(k) > 4 else 0.0
        radial = 1 + r2 * (k[0] + r2 * (k[1] + r2 * k3))
        if self.model == 'rational_polynomial':
            denominator = 1 + r2 * (k[5] + r2 * (k[6] + r2 * k[7]))
            radial = np.where(denominator > 1e-6, radial / np.where(denominator > 1e-6, denominator, 1), 0)
        return radial

    def project(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Project points [N, 3] (metres, optical frame) to pixels.

        Returns uv [N, 2] in the points' dtype (pixel centres at whole numbers, as OpenCV counts) and valid bool [N]: in
        front of the camera, inside the model's range and inside the image. uv of an invalid point has no meaning.
        """
        z = points[:, 2]
        front = z > 1e-3
        with np.errstate(invalid='ignore', over='ignore'):
            xy = points[:, :2] / np.where(front, z, 1)[:, None]
            r2 = np.einsum('ij,ij->i', xy, xy)
            if self.model == 'none':
                valid = front
            elif self.model == 'equidistant':
                r = np.sqrt(r2)
                theta = np.arctan(r)
                valid = front & (theta < self.limit)
                xy = xy * (np.where(r > 1e-9, theta / np.maximum(r, 1e-9), 1) * self._radial(theta * theta))[:, None]
            else:
                valid = front & (r2 < self.limit ** 2)
                xy = self._radial(r2)[:, None] * xy + self._tangential(xy, r2)
            uv = xy @ self.K[:2, :2].T.astype(points.dtype) + self.K[:2, 2].astype(points.dtype)
            inside = ((uv > -0.5) & (uv < np.array([self.width - 0.5, self.height - 0.5], uv.dtype))).all(1)
        return uv.astype(points.dtype, copy=False), valid & inside

    def _tangential(self, xy: np.ndarray, r2: np.ndarray) -> np.ndarray:
        p1, p2 = self.distortion[2:4]
        x, y = xy[:, 0], xy[:, 1]
        return np.stack([2 * p1 * x * y + p2 * (r2 + 2 * x * x), p1 * (r2 + 2 * y * y) + 2 * p2 * x * y], 1)


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
        roi = info.roi
        binning = (max(info.binning_x, 1), max(info.binning_y, 1))
        if not (roi.x_offset or roi.y_offset or roi.width or roi.height):
            return cls(0, 0, info.width, info.height, binning)
        if not (0 < roi.width <= info.width - roi.x_offset and 0 < roi.height <= info.height - roi.y_offset):
            raise ValueError(f'region of interest {roi.width}x{roi.height} at ({roi.x_offset}, {roi.y_offset}) does not '
                             f'lie within the {info.width}x{info.height} pixels of the CameraInfo: width and height '
                             'must be those of the full resolution, the region in its pixels')
        return cls(roi.x_offset, roi.y_offset, roi.width, roi.height, binning)

    @property
    def size(self) -> tuple[int, int]:
        return self.width // self.binning[0], self.height // self.binning[1]

    def seen_by(self, matrix: np.ndarray) -> np.ndarray:
        moved = matrix.copy()
        moved[:2, 2] -= self.x, self.y
        moved[:2] /= np.array(self.binning)[:, None]
        return moved


def rectification(info: Any, baseline: bool = True) -> np.ndarray:
    """Return float64 [4, 4], raw camera to rectified camera: what to multiply lidar_to_camera by from the left.

    It turns by R and, for the right camera of a stereo pair, shifts by P's baseline in metres. baseline: False for
    drivers whose right images carry a frame of the right camera; CameraInfo.msg says that of the left one.
    Raises ValueError if R is no rotation.
    """
    rotation, projection = _numbers(info, 'r', (3, 3)), _numbers(info, 'p', (3, 4))
    transform = np.eye(4)
    if rotation.any():
        transform[:3, :3] = rotation
    if baseline and projection.any():
        transform[:3, 3] = np.linalg.solve(projection[:, :3], projection[:, 3])
    if not np.allclose(transform[:3, :3] @ transform[:3, :3].T, np.eye(3), atol=1e-3):
        raise ValueError(f'R of the CameraInfo is no rotation: {rotation.tolist()}; calibrate the camera, or use its raw '
                         'image')
    return transform


def _field(info: Any, name: str) -> Any:
    return getattr(info, name) if hasattr(info, name) else getattr(info, name.upper())


def _numbers(info: Any, name: str, shape: tuple[int, int]) -> np.ndarray:
    return np.asarray(_field(info, name), np.float64).reshape(shape)
