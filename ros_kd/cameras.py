# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""Camera calibration and the projection of points into pixels (the models of sensor_msgs/CameraInfo)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

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
