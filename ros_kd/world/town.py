# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""A town grown from a seed: a ring road with side streets, and what lines them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ros_kd.world import road_users, scenery
from ros_kd.world.ground import CURB, Ground, Street
from ros_kd.world.meshes import Solids
from ros_kd.world.paths import Path, branch, closed_loop, smooth_periodic

LANE, PARKING = 3.1, 2.2


@dataclass(frozen=True, eq=False)
class Town:
    """A town that stands still. sun: unit vector towards it [3].

    streets: the first is the ring that traffic drives on, counter-clockwise, on the right-hand side.
    """

    seed: int
    streets: list[Street]
    ground: Ground
    sun: np.ndarray

    @property
    def ring(self) -> Street:
        """The street that traffic drives on."""
        return self.streets[0]

    @cached_property
    def solids(self) -> Solids:
        """Everything that stands; built on first use, since whoever asks only for poses never needs it."""
        planter = _Planter(np.random.default_rng((self.seed, 4)), self.ground, Solids())
        self.ground.build(planter.solids)
        for street in self.streets:
            for side in (1, -1):
                planter.line(street, side, 0.0 if street is self.ring else 9.0)
            if street is not self.ring:
                planter.close(street)
        planter.park(self.ring)
        planter.fill(self.ring.path)
        return planter.solids


def grow(seed: int) -> Town:
    """Return the town that belongs to `seed`."""
    rng = np.random.default_rng((seed, 0))
    path = closed_loop(rng)
    junctions = _junctions(rng, path)
    streets = [_ring(rng, path, [s for s, _ in junctions])]
    streets += [_side_street(rng, path, s, side) for s, side in junctions]
    extent = float(np.ceil(max(np.abs(street.path.points).max() for street in streets) / 2) * 2 + 44)
    waves = rng.normal(0, 1, (5, 2))
    waves *= (2 * np.pi / rng.uniform(90, 200, (5, 1))) / np.linalg.norm(waves, axis=1)[:, None]
    hills = np.column_stack([rng.uniform(0.05, 0.3, 5), waves, rng.uniform(0, 6.28, 5)])
    azimuth, height = rng.uniform(0, 2 * np.pi), rng.uniform(0.6, 0.95)
    sun = np.array([np.cos(azimuth) * np.cos(height), np.sin(azimuth) * np.cos(height), np.sin(height)])
    return Town(seed, streets, Ground(streets, extent, hills), sun)


def _junctions(rng: np.random.Generator, path: Path) -> list[tuple[float, int]]:
    """Return metre and side of each junction: where the ring is straightest, some to either side, well apart."""
    places: list[tuple[float, int]] = []
    candidates = np.arange(55, path.length - 35, 6.0)
    bend = np.abs(smooth_periodic(path.curvature, 10.0 / path.step))[(candidates / path.step).astype(int)]
    for s in candidates[np.argsort(bend + rng.uniform(0, 0.004, len(bend)))]:
        if all(abs(s - other) > 62 for other, _ in places):
            places.append((float(s), -1 if rng.random() < 0.6 else 1))
    return places


def _ring(rng: np.random.Generator, path: Path, junctions: list[float]) -> Street:
    """The ring's widths: two lanes, and here and there a parking lane on either side, never at a junction."""
    s = np.arange(len(path.points)) * path.step

    def zones(share: float, sigma: float) -> np.ndarray:
        noise = smooth_periodic(rng.normal(0, 1, len(s)), 14 / path.step)
        return smooth_periodic((noise > np.quantile(noise, 1 - share)).astype(float), sigma / path.step)

    clear = np.ones(len(s))
    for junction in junctions:
        clear *= np.clip((np.abs((s - junction + path.length / 2) % path.length - path.length / 2) - 10) / 6, 0, 1)
    left, right = (LANE + 0.15 + PARKING * zones(share, 1.6) * clear for share in (0.5, 0.6))
    left_walk, right_walk = (0.25 + rng.uniform(1.9, 2.8) * np.maximum(zones(share, 1.0), 1 - clear)
                             for share in (0.75, 0.85))
    crossings = tuple(junction + 9.5 for junction in junctions[::2])
    return Street(path, left, right, left_walk, right_walk, crossings)


def _side_street(rng: np.random.Generator, ring: Path, s: float, side: int) -> Street:
    start, heading = ring.at(s)
    length = rng.uniform(48, 70) if side < 0 else 46.0  # there is less room inside the ring
    path = branch(start, float(heading) + side * np.pi / 2, length, rng.uniform(-0.5, 0.5))
    half, walk = rng.uniform(2.6, 3.4), rng.uniform(1.4, 2.2)
    width = np.full(len(path.points), half)
    return Street(path, width, width, np.full(len(width), walk), np.full(len(width), walk))


@dataclass(eq=False)
class _Planter:
    """Puts things beside streets, where the ground leaves room for them."""

    rng: np.random.Generator
    ground: Ground
    solids: Solids

    def _put(self, thing: Solids, xy: np.ndarray, heading: float, side: int = 1, level: float = 0.0) -> None:
        """Place a thing along a street's heading; on its right side (-1) half a turn keeps y away from the street."""
        pose = np.eye(4)
        heading += np.pi if side < 0 else 0.0
        pose[:2, :2] = [[np.cos(heading), -np.sin(heading)], [np.sin(heading), np.cos(heading)]]
        pose[:3, 3] = (*xy, self.ground.elevation(xy) + level)
        self.solids.place(thing, pose)

    def line(self, street: Street, side: int, first: float) -> None:
        """Line one side of a street with lots, and its sidewalk with lamps, signs, bollards and trees."""
        s = first
        while s < street.path.length - 10:
            width = self.rng.uniform(11, 22)
            self._lot(street, side, s + width / 2, width)
            s += width + self.rng.uniform(0.5, 4)
        self._row(street, side, first + self.rng.uniform(2, 9), (19, 26), 0.5, scenery.lamp)
        self._row(street, side, first + self.rng.uniform(1, 14), (13, 24), 0.45, scenery.traffic_sign)
        self._row(street, side, first + self.rng.uniform(3, 20), (7, 30), 0.4, scenery.bollard)
        self._row(street, side, first + self.rng.uniform(3, 12), (10, 28), 0.9, self._street_tree)

    @staticmethod
    def _street_tree(rng: np.random.Generator) -> Solids:
        return scenery.tree(rng, rng.uniform(4.5, 7.5))

    def _row(self, street: Street, side: int, s: float, gap: tuple[float, float], off: float, make) -> None:
        while s < street.path.length - 3:
            xy, heading = street.path.beside(s, side * (street.half_width(s, side) + off))
            if self.ground.edge(xy[None])[0] > off - 0.15:
                self._put(make(self.rng), xy, float(heading), side)
            s += self.rng.uniform(*gap)

    def _fits(self, xy: np.ndarray, heading: float, width: float, depth: float, side: int,
              clearance: float = 0.4) -> bool:
        u, v = np.meshgrid(np.linspace(-width / 2, width / 2, 9), np.linspace(0, depth, 6))
        ahead, out = np.array([np.cos(heading), np.sin(heading)]), side * np.array([-np.sin(heading), np.cos(heading)])
        return bool((self.ground.beyond_walk(xy + u.reshape(-1, 1) * ahead + v.reshape(-1, 1) * out) > clearance).all())

    def _lot(self, street: Street, side: int, s: float, width: float) -> None:
        """One plot of land: a house behind a front garden, or a garden, or a park; more houses and trees behind."""
        rng, edge = self.rng, street.half_width(s, side) + street.walk_width(s, side)
        kind, setback = rng.random(), rng.choice([0.7, 2.5, 5.0])
        front, heading = street.path.beside(s, side * (edge + 0.5))
        heading = float(heading)
        house = kind < 0.66
        depth = rng.uniform(8, 12)
        spot = street.path.beside(s, side * (edge + setback))[0]
        if house and self._fits(spot, heading, width, depth, side):
            thing = scenery.building(rng, width * rng.uniform(0.75, 0.98), depth, int(rng.integers(2, 5)))
            self._put(thing, spot, heading, side)
        elif self._fits(front, heading, width, 10, side):
            for _ in range(rng.integers(2, 6)):
                u, v = rng.uniform(-width / 2, width / 2), rng.uniform(2.5, 12)
                spot = street.path.beside(s + u, side * (edge + v))[0]
                if self.ground.beyond_walk(spot[None])[0] > 1.0:
                    plant = scenery.tree(rng, rng.uniform(5, 10)) if rng.random() < 0.6 else scenery.bush(rng)
                    self._put(plant, spot, 0.0)
        if (not house or setback > 2) and self._fits(front, heading, width - 1, 1, side, 0.1):
            barrier = scenery.hedge if rng.random() < 0.4 else scenery.fence
            self._put(barrier(rng, width - 1), front, heading, side)
        self._background(street, side, s, width, edge + rng.uniform(16, 24))

    def _background(self, street: Street, side: int, s: float, width: float, off: float) -> None:
        rng, (spot, heading) = self.rng, street.path.beside(s, side * off)
        if np.abs(spot).max() > self.ground.extent - 16 or not self._fits(spot, float(heading), width, 12, side, 1.0):
            return
        if rng.random() < 0.5:
            thing = scenery.building(rng, width * 0.9, rng.uniform(8, 11), int(rng.integers(2, 6)))
            self._put(thing, spot, float(heading), side)
        else:
            self._put(scenery.tree(rng, rng.uniform(6, 11)), spot, 0.0)

    def close(self, street: Street) -> None:
        """End a side street with a hedge and a house."""
        end, heading = street.path.at(street.path.length)
        ahead = np.array([np.cos(heading), np.sin(heading)])
        for thing, off in ((scenery.hedge(self.rng, 9.0), 3.0), (scenery.building(self.rng, 16.0, 9.0, 3), 6.0)):
            if np.abs(end + ahead * (off + 12)).max() < self.ground.extent:
                self._put(thing, end + ahead * off, float(heading) - np.pi / 2)

    def fill(self, path: Path) -> None:
        """Scatter houses and trees over the country behind the streets, so that no view ends in a void."""
        count = int(self.ground.extent ** 2 / 130)
        places = self.rng.uniform(-1, 1, (count, 2)) * (self.ground.extent - 14)
        taken = np.zeros((0, 2))
        for spot in places[self.ground.beyond_walk(places) > 33]:
            if len(taken) and np.linalg.norm(taken - spot, axis=1).min() < 22:
                continue
            taken = np.vstack([taken, spot])
            nearest = path.points[np.linalg.norm(path.points - spot, axis=1).argmin()]
            towards = float(np.arctan2(*(nearest - spot)[::-1])) + np.pi / 2
            if self.rng.random() < 0.45:
                width, floors = self.rng.uniform(9, 16), int(self.rng.integers(2, 5))
                self._put(scenery.building(self.rng, width, 8.0, floors), spot, towards)
            else:
                self._put(scenery.tree(self.rng, self.rng.uniform(6, 12)), spot, 0.0)

    def park(self, ring: Street) -> None:
        """Fill the ring's parking lanes with cars, a few trucks and two-wheelers."""
        for side in (1, -1):
            s = 1.0
            while s < ring.path.length:
                kind = self.rng.choice(3, p=[0.68, 0.12, 0.2])
                thing = (road_users.car(self.rng) if kind == 0 else road_users.truck(self.rng) if kind == 1
                         else road_users.two_wheeler(self.rng, False))
                length = (5.6, 9.2, 2.4)[kind]
                reach = [s - length / 2, s, s + length / 2]
                if self.rng.random() < 0.85 and (ring.half_width(reach, side) > LANE + PARKING - 0.05).all():
                    lateral = ring.half_width(s, side) - (1.12 if kind < 2 else 0.7)
                    xy, heading = ring.path.beside(s, side * lateral)
                    self._put(thing, xy, float(heading), -side, -CURB)
                s += length + self.rng.uniform(0, 1.5)


def road_pose(town: Town, s: np.ndarray, lateral: np.ndarray, direction: np.ndarray, level: np.ndarray) -> np.ndarray:
    """Return poses [N, 4, 4] on the ring: x along the road (direction > 0) or against it, z normal to the hills.

    s, lateral, level: metres along the ring, left of it and above the hills, [N].
    """
    xy, heading = town.ring.path.beside(s, lateral)
    heading = heading + np.where(np.asarray(direction) > 0, 0.0, np.pi)
    gradient = town.ground.slope(xy)
    zero, one = np.zeros(len(xy)), np.ones(len(xy))
    up = _unit(np.stack([-gradient[:, 0], -gradient[:, 1], one], 1))
    left = _unit(_cross(up, np.stack([np.cos(heading), np.sin(heading), zero], 1)))
    poses = np.tile(np.eye(4), (len(xy), 1, 1))
    poses[:, :3, 0], poses[:, :3, 1], poses[:, :3, 2] = _cross(left, up), left, up
    poses[:, :2, 3], poses[:, 2, 3] = xy, town.ground.elevation(xy) + level
    return poses


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1)[:, None]


def _cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return a[:, [1, 2, 0]] * b[:, [2, 0, 1]] - a[:, [2, 0, 1]] * b[:, [1, 2, 0]]
