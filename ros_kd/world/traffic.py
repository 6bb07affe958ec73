# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""What moves: the ego vehicle's drive, other vehicles on both lanes, people on the sidewalks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Sequence

import numpy as np

from ros_kd.world import road_users
from ros_kd.world.ground import CURB
from ros_kd.world.meshes import Part, Solids
from ros_kd.world.paths import smooth_periodic
from ros_kd.world.rays import Actor, Tracer
from ros_kd.world.town import Town, road_pose

_LANE_CENTRE = 1.6
_STRIDE = 4  # shapes of a walking person


class Timetable:
    """When a vehicle that slows down in bends is at which metre of the ring; it goes round for ever.

    top: metres per second on straight road. lateral: the acceleration in bends that it keeps to, m/s².
    """

    def __init__(self, town: Town, top: float = 8.5, lateral: float = 1.8) -> None:
        path = town.ring.path
        bend = np.maximum(np.abs(smooth_periodic(path.curvature, 3 / path.step)), 1e-4)
        speed = smooth_periodic(np.minimum(top, np.sqrt(lateral / bend)), 14 / path.step)
        pace = path.step / speed
        self._times = np.append(0, np.cumsum((pace + np.roll(pace, -1)) / 2))
        self._metres = np.append(np.arange(len(pace)) * path.step, path.length)
        self.lap, self._length = float(self._times[-1]), path.length

    def metre(self, time: np.ndarray) -> np.ndarray:
        """Return the metre [N] reached at `time` [N] (s); laps add up."""
        laps = np.floor(time / self.lap)
        return laps * self._length + np.interp(time - laps * self.lap, self._times, self._metres)


@dataclass(frozen=True)
class Drive:
    """Somebody who follows the ring by the timetable, `ahead` seconds before it.

    lateral: metres left of the centre line. direction: 1 along the ring, -1 against it.
    """

    ahead: float = 0.0
    lateral: float = -_LANE_CENTRE
    direction: int = 1


@dataclass(frozen=True)
class Walk:
    """Somebody on a sidewalk (side 1: left of the ring), `off` metres from the curb.

    start: the metre of the ring at time 0. speed: m/s, negative against the ring's direction.
    """

    start: float
    speed: float
    side: int
    off: float


class Motion:
    """Where everybody is. Calling it maps times [K] (s) to poses [K, A, 4, 4], drives first, then walks."""

    def __init__(self, town: Town, table: Timetable, drives: Sequence[Drive], walks: Sequence[Walk]) -> None:
        self._town, self._table = town, table
        self._ahead, self._lateral, self._direction = np.array(
            [(drive.ahead, drive.lateral, drive.direction) for drive in drives]).reshape(-1, 3).T
        self._start, self._speed, self._side, self._off = np.array(
            [(walk.start, walk.speed, walk.side, walk.off) for walk in walks]).reshape(-1, 4).T

    def __call__(self, times: np.ndarray) -> np.ndarray:
        times = np.asarray(times, np.float64)[:, None]
        s_drive = self._table.metre(self._direction * times + self._ahead)
        s_walk = self._start + self._speed * times
        ring = self._town.ring
        # The curb is averaged over some metres, so that a walker does not jump where parking lanes begin.
        near = np.add.outer(s_walk, np.linspace(-4, 4, 9))
        side = np.broadcast_to(self._side[:, None], near.shape)
        aside = self._side * (ring.half_width(near % ring.path.length, side).mean(-1) + self._off)
        count = len(times)
        columns = [np.hstack([drive * np.ones((count, 1)), walk * np.ones((count, 1))]).reshape(-1) for drive, walk in (
            (s_drive, s_walk), (self._lateral, aside), (self._direction, np.sign(self._speed)),
            (np.full(len(self._ahead), -CURB), np.zeros(len(self._start))))]
        return road_pose(self._town, *columns).reshape(count, -1, 4, 4)


def populate(town: Town, table: Timetable, seed: int, parts: list[Part]) -> tuple[list[Actor], Motion]:
    """Return the road users and their motion; their parts are appended to `parts`."""
    rng = np.random.default_rng((seed, 1))
    actors, drives, walks = [], [], []
    for direction, first, gap in ((1, 2.8, (4.5, 8.0)), (-1, 1.0, (4.0, 7.5))):
        for turn, ahead in enumerate(_slots(rng, first, table.lap - 4, gap)):
            kind = turn % 4  # kinds take turns, so that no stretch of road lacks one
            thing = (road_users.two_wheeler(rng, True) if kind == 0 else road_users.truck(rng) if kind == 2
                     else road_users.car(rng))
            actors.append(_actor([thing], parts, 0.0))
            drives.append(Drive(ahead, -direction * _LANE_CENTRE * (1.5 if kind == 0 else 1.0), direction))
    for side in (1, -1):
        for start in _slots(rng, 4, town.ring.path.length - 3, (9, 26)):
            walks.append(Walk(start, rng.uniform(0.8, 1.6) * rng.choice([-1, 1]), side, rng.uniform(0.9, 1.9)))
            looks = int(rng.integers(1 << 31))
            shapes = [road_users.person(np.random.default_rng(looks), 2 * np.pi * k / _STRIDE) for k in range(_STRIDE)]
            actors.append(_actor(shapes, parts, abs(walks[-1].speed) / 1.4))
    return actors, Motion(town, table, drives, walks)


def _slots(rng: np.random.Generator, first: float, last: float, gap: tuple[float, float]) -> list[float]:
    slots = []
    while first < last:
        slots.append(float(first))
        first += rng.uniform(*gap)
    return slots


def _actor(shapes: list[Solids], parts: list[Part], pace: float) -> Actor:
    first = []
    for shape in shapes:
        first.append(len(parts))
        parts.extend(shape.parts)
    return Actor(tuple(Tracer(shape.mesh()) for shape in shapes), tuple(first), pace)
