# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""Centrelines of streets: where a metre of road lies and where it points."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np


@dataclass(frozen=True, eq=False)
class Path:
    """A smooth curve sampled at equal steps. points: float64 [K, 2], metres; a closed path ends where it begins."""

    points: np.ndarray
    step: float
    closed: bool

    @property
    def length(self) -> float:
        """Metres along the curve."""
        return self.step * (len(self.points) - (not self.closed))

    @cached_property
    def _table(self) -> np.ndarray:
        """x, y and unwrapped heading by sample, the first repeated behind the last if the path is closed."""
        points = np.vstack([self.points, self.points[:1]]) if self.closed else self.points
        ahead = np.roll(self.points, -1, 0) - np.roll(self.points, 1, 0)
        if not self.closed:
            ahead[0], ahead[-1] = self.points[1] - self.points[0], self.points[-1] - self.points[-2]
        heading = np.arctan2(ahead[:, 1], ahead[:, 0])
        heading = np.unwrap(np.append(heading, heading[0]) if self.closed else heading)
        return np.column_stack([points, heading])

    @cached_property
    def curvature(self) -> np.ndarray:
        """Radians per metre at each sample, [K]."""
        return np.gradient(self._table[:, 2], self.step)[:len(self.points)]

    def at(self, s: np.ndarray | float) -> tuple[np.ndarray, np.ndarray]:
        """Return positions [..., 2] and headings [...] (radians) at `s` metres; a closed path goes round and round."""
        s = np.asarray(s, np.float64)
        s = s % self.length if self.closed else np.clip(s, 0, self.length)
        index = np.minimum((s / self.step).astype(np.int64), len(self._table) - 2)
        ratio = (s / self.step - index)[..., None]
        sample = self._table[index] * (1 - ratio) + self._table[index + 1] * ratio
        return sample[..., :2], sample[..., 2]

    def beside(self, s: np.ndarray | float, lateral: np.ndarray | float) -> tuple[np.ndarray, np.ndarray]:
        """Return positions `lateral` metres to the left of the path at `s`, and the path's headings."""
        xy, heading = self.at(s)
        left = np.stack([-np.sin(heading), np.cos(heading)], -1)
        return xy + left * np.asarray(lateral)[..., None], heading

    def locate(self, xy: np.ndarray, s: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Refine guesses `s` [N] of the nearest metre to points [N, 2]; return `s` and metres to the left."""
        for _ in range(2):
            centre, heading = self.at(s)
            s = s + (xy[:, 0] - centre[:, 0]) * np.cos(heading) + (xy[:, 1] - centre[:, 1]) * np.sin(heading)
        centre, heading = self.at(s)
        return s, (xy[:, 1] - centre[:, 1]) * np.cos(heading) - (xy[:, 0] - centre[:, 0]) * np.sin(heading)


def smooth_periodic(values: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian smoothing of `values` [K, ...] around a closed path; `sigma` in samples."""
    frequency = np.fft.rfftfreq(len(values))
    response = np.exp(-2 * (np.pi * frequency * sigma) ** 2)
    response = response.reshape(-1, *[1] * (values.ndim - 1))
    return np.fft.irfft(np.fft.rfft(values, axis=0) * response, len(values), axis=0)


def _resample(points: np.ndarray, step: float, closed: bool) -> np.ndarray:
    line = np.vstack([points, points[:1]]) if closed else points
    along = np.append(0, np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1)))
    count = int(round(along[-1] / step))
    targets = np.linspace(0, along[-1], count + (not closed), endpoint=not closed)
    return np.stack([np.interp(targets, along, line[:, axis]) for axis in range(2)], 1)


def closed_loop(rng: np.random.Generator, radius: float = 105.0, step: float = 0.5) -> Path:
    """Return a counter-clockwise ring road: an irregular polygon with rounded corners and bending legs."""
    corners = int(rng.integers(6, 9))
    angle = (np.arange(corners) + rng.uniform(-0.22, 0.22, corners)) * 2 * np.pi / corners
    radii = radius * rng.uniform(0.82, 1.18, corners)
    polygon = np.stack([radii * np.cos(angle), radii * np.sin(angle)], 1)
    line = _resample(polygon, step, True)
    turn = np.linspace(0, 2 * np.pi, len(line), endpoint=False)
    wave = sum(rng.uniform(-1, 1) * 1.6 * np.sin(k * turn + rng.uniform(0, 6.28)) for k in (7, 11, 16))
    line = line * (1 + wave / np.linalg.norm(line, axis=1))[:, None]
    line = _resample(smooth_periodic(line, 9.0 / step), step, True)
    spacing = np.linalg.norm(np.diff(np.vstack([line, line[:1]]), axis=0), axis=1).sum() / len(line)
    return Path(line, float(spacing), True)


def branch(start: np.ndarray, heading: float, length: float, bend: float, step: float = 0.5) -> Path:
    """Return an open path from `start` [2] that begins at `heading` and turns by `bend` radians over its length."""
    s = np.arange(0, length + step / 2, step)
    angle = heading + bend * (s / length) ** 2
    ahead = np.stack([np.cos(angle), np.sin(angle)], 1) * step
    return Path(start + np.vstack([np.zeros(2), np.cumsum(ahead[:-1], 0)]), step, False)
