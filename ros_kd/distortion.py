# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""How lenses bend rays: the distortion models of sensor_msgs/CameraInfo and how far from the axis they hold.

plumb_bob (Brown 1966) and rational_polynomial are one formula of OpenCV's, of which the number of coefficients picks
the terms: k1 k2 p1 p2 | k3 | k4 k5 k6 | s1 s2 s3 s4 (thin prism) | tx ty (tilt, refused). equidistant is Kannala's and
Brandt's (PAMI 2006), k1 to k4.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.polynomial import polynomial

COEFFICIENTS = {'none': (0,), 'plumb_bob': (4, 5), 'rational_polynomial': (8, 12, 14), 'equidistant': (4,)}
_BROWN = COEFFICIENTS['plumb_bob'] + COEFFICIENTS['rational_polynomial']
_ALIASES = {
    'none': ('', 'pinhole', 'perspective', 'no_distortion', 'undistorted', 'rectified'),
    'plumb_bob': ('plumbbob', 'radtan', 'pinhole_radtan', 'radial_tangential', 'brown_conrady', 'brown', 'opencv'),
    'rational_polynomial': ('rational', 'opencv_rational'),
    'equidistant': ('fisheye', 'opencv_fisheye', 'equi', 'pinhole_equi', 'kannala_brandt', 'kannala_brandt4', 'kb4')}
_NAMES = {alias: name for name, aliases in _ALIASES.items() for alias in (name, *aliases)}


def canonical(model: str, coefficients: tuple[float, ...]) -> tuple[str, tuple[float, ...]]:
    """Return the name among COEFFICIENTS, and the coefficients that count, of a model as a driver writes it.

    Raises ValueError for an unknown model, a tilted sensor or a wrong number of coefficients.
    """
    name = _NAMES.get(model.strip().lower().replace('-', '_').replace(' ', '_'))
    if name is None:
        raise ValueError(f'distortion model "{model}" is unknown; known: {sorted(COEFFICIENTS)}: calibrate with one of '
                         'them, or use rectified images')
    if not np.isfinite(coefficients).all():
        raise ValueError(f'distortion coefficients {list(coefficients)} are not all finite: calibrate the camera')
    if name == 'equidistant':
        return name, _checked(name, coefficients[:4] + tuple(filter(None, coefficients[4:])), (4,))
    if not any(coefficients):
        return 'none', ()
    if name == 'none':
        raise ValueError(f'distortion coefficients {list(coefficients)}, but the model is "{model}": name the model in '
                         f'the CameraInfo, one of {sorted(COEFFICIENTS)}')
    _checked(name, coefficients, _BROWN)
    if any(coefficients[12:]):
        raise ValueError(f'distortion coefficients of a tilted sensor, tau {list(coefficients[12:])}: calibrate without '
                         'tilt (OpenCV without CALIB_TILTED_MODEL), or use rectified images')
    return 'rational_polynomial' if len(coefficients) > 5 else 'plumb_bob', coefficients[:12]


def _checked(model: str, coefficients: tuple[float, ...], expected: tuple[int, ...]) -> tuple[float, ...]:
    if len(coefficients) not in expected:
        raise ValueError(f'{len(coefficients)} distortion coefficients for model "{model}", '
                         f'expected {" or ".join(map(str, expected))}')
    return coefficients


def distort(coefficients: tuple[float, ...], x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return x and y at depth 1 as plumb_bob or rational_polynomial bends them, all of one shape and dtype."""
    _, _, p1, p2, *_ = coefficients
    r2 = x * x + y * y
    radial = _radial(coefficients, r2)
    xy2 = 2 * x * y
    bent_x = x * radial + p1 * xy2 + p2 * (r2 + 2 * x * x)
    bent_y = y * radial + p1 * (r2 + 2 * y * y) + p2 * xy2
    if len(coefficients) > 8:
        s1, s2, s3, s4 = coefficients[8:]
        bent_x += r2 * (s1 + r2 * s2)
        bent_y += r2 * (s3 + r2 * s4)
    return bent_x, bent_y


def bent_angle(coefficients: tuple[float, ...], theta: np.ndarray) -> np.ndarray:
    """Return the image radius at focal length 1 of rays `theta` radians off the axis, equidistant."""
    k1, k2, k3, k4 = coefficients
    t2 = theta * theta
    return theta * (1 + t2 * (k1 + t2 * (k2 + t2 * (k3 + t2 * k4))))


def _radial(coefficients: tuple[float, ...], r2: np.ndarray) -> np.ndarray:
    k1, k2, _, _, *more = coefficients
    radial = 1 + r2 * (k1 + r2 * (k2 + r2 * more[0] if more else k2))
    if len(more) > 1:
        k4, k5, k6 = more[1:4]
        radial = radial / (1 + r2 * (k4 + r2 * (k5 + r2 * k6)))
    return radial


@np.errstate(all='ignore')
def straight_box(model: str, coefficients: tuple[float, ...], low: np.ndarray,
                 high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return bounds [2] of x / z and y / z of all rays that may bend into the box from `low` [2] to `high` [2].

    They are wide rather than tight; infinite if rays of more than 85 degrees may.
    """
    if model == 'none':
        return low, high
    fisheye, reach = model == 'equidistant', limit(model, coefficients)
    angles = np.linspace(0, min(reach if fisheye else np.arctan(reach), np.radians(89.9)), 513)
    r = np.tan(angles)
    bent = bent_angle(coefficients, angles) if fisheye else r * _radial(coefficients, r * r)
    stray = 0 * r if fisheye else _stray(coefficients, r * r)
    last = min(np.nonzero(bent - stray <= np.hypot(*np.maximum(-low, high)))[0][-1] + 1, len(r) - 1)
    if angles[last] > np.radians(85):
        return np.full(2, -np.inf), np.full(2, np.inf)
    ratio = np.append(1, bent[1:last + 1] / r[1:last + 1])
    corners = [(bound + side * stray[:last + 1].max()) / scale for bound, side in ((low, -1), (high, 1))
               for scale in (ratio.min(), ratio.max())]
    return np.maximum(np.minimum(*corners[:2]), -r[last]), np.minimum(np.maximum(*corners[2:]), r[last])


def _stray(coefficients: tuple[float, ...], r2: np.ndarray) -> np.ndarray:
    """Return how far the tangential and thin prism terms move a ray at most."""
    _, _, p1, p2, *more = coefficients
    s1, s2, s3, s4 = np.abs(more[4:] or [0] * 4)
    return r2 * (3 * (abs(p1) + abs(p2)) + s1 + s3 + r2 * (s2 + s4))


@lru_cache(maxsize=256)
@np.errstate(all='ignore')
def limit(model: str, coefficients: tuple[float, ...]) -> float:
    """Return how far from the axis the model holds: the radius r / z, or the angle in radians (equidistant).

    Beyond it the model folds: two rays meet one pixel. Within a disc in which the symmetric part of the Jacobian is
    positive definite no two do (Noshiro and Warschawski), tangential and thin prism terms included; the disc stops at
    the nearest fold in any direction, so to the sides where those terms push the fold outwards a sliver is given up.
    """
    if model == 'none':
        return np.inf
    if model == 'equidistant':
        odd = np.array([1, *(power * k for power, k in zip((3, 5, 7, 9), coefficients))])
        return min(float(np.sqrt(_first_root(odd))), np.pi)
    k1, k2, p1, p2, k3, k4, k5, k6, *prism = coefficients + (0.0,) * (12 - len(coefficients))
    top, bottom = np.array([1, k1, k2, k3]), np.array([1, k4, k5, k6])
    # The derivative of r top / bottom, by r^2, times bottom^2.
    slope = polynomial.polymul(polynomial.polyadd(top, 2 * polynomial.polymulx(polynomial.polyder(top))), bottom)
    fall = 2 * polynomial.polymulx(polynomial.polymul(top, polynomial.polyder(bottom)))
    radius = float(np.sqrt(min(_first_root(polynomial.polysub(slope, fall)), _first_root(bottom))))
    return _first_fold(coefficients, radius) if p1 or p2 or any(prism) else radius


def _first_root(ascending: np.ndarray) -> float:
    """Return the smallest positive root of a polynomial that is 1 at 0, inf without one."""
    # Reversed, the leading coefficient is 1, however small the highest coefficients are; roots are the reciprocals.
    roots = np.roots(ascending)
    real = roots.real[(np.abs(roots.imag) <= 1e-12 * np.abs(roots)) & (roots.real > 0)]
    largest = float(real.max(initial=0))
    return 1 / largest if largest > 1e-300 else np.inf


def _first_fold(coefficients: tuple[float, ...], radius: float) -> float:
    """Return the radius at which the first ray in any direction folds, or `radius` if none does before."""
    near, far = 0.0, min(np.arctan(radius), np.radians(89.9))
    around = np.linspace(0, 2 * np.pi, 73)[:-1]
    for _ in range(2):
        angles = np.linspace(near, far, 257)
        r = np.tan(angles)[:, None]
        bad = np.nonzero(~_unfolded(coefficients, r * np.cos(around), r * np.sin(around)).all(1))[0]
        if len(bad) == 0:
            return radius
        near, far = angles[max(bad[0] - 1, 0)], angles[bad[0]]
    return float(np.tan(near))


def _unfolded(coefficients: tuple[float, ...], x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Tell where the symmetric part of the Jacobian of `distort` is positive definite."""
    k1, k2, p1, p2, k3, k4, k5, k6, s1, s2, s3, s4 = coefficients + (0.0,) * (12 - len(coefficients))
    r2 = x * x + y * y
    bottom = 1 + r2 * (k4 + r2 * (k5 + r2 * k6))
    radial = (1 + r2 * (k1 + r2 * (k2 + r2 * k3))) / bottom
    by_r2 = (k1 + r2 * (2 * k2 + r2 * 3 * k3) - radial * (k4 + r2 * (2 * k5 + r2 * 3 * k6))) / bottom
    prism_x, prism_y = 2 * (s1 + 2 * r2 * s2), 2 * (s3 + 2 * r2 * s4)
    xx = radial + 2 * x * x * by_r2 + 2 * p1 * y + 6 * p2 * x + x * prism_x
    yy = radial + 2 * y * y * by_r2 + 6 * p1 * y + 2 * p2 * x + y * prism_y
    xy = 2 * x * y * by_r2 + 2 * p1 * x + 2 * p2 * y + (y * prism_x + x * prism_y) / 2
    return (bottom > 0) & (xx > 0) & (xx * yy > xy * xy)
