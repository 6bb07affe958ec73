# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""Scans of a spinning LiDAR that moves while it spins."""

from __future__ import annotations

from typing import Callable

import numpy as np

from ros_kd import extrinsics
from ros_kd.frames import Scan
from ros_kd.world.ground import Ground
from ros_kd.world.meshes import LABEL, TAXONOMY, Material, PartTable
from ros_kd.world.rays import Hits, Rays, Scene
from ros_kd.world.rig import LidarModel
from ros_kd.world.textures import noise

_GROUND_REFLECTIVITY = {'road': 0.16, 'sidewalk': 0.40, 'terrain': 0.29}
_PAINTED = 0.7
_GLASS_PASSES = 0.7


def beam_directions(model: LidarModel) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return directions float32 [columns * beams, 3] in the sensor's frame, times (s after the start) and rings."""
    azimuth = np.pi - np.arange(model.columns) * 2 * np.pi / model.columns
    elevation = np.radians(np.linspace(model.top, model.bottom, model.beams))
    a, e = np.meshgrid(azimuth, elevation, indexing='ij')
    directions = np.stack([np.cos(e) * np.cos(a), np.cos(e) * np.sin(a), np.sin(e)], -1)
    times = np.repeat(np.arange(model.columns) / (model.columns * model.rate), model.beams)
    rings = np.tile(np.arange(model.beams)[::-1], model.columns)
    return directions.reshape(-1, 3).astype(np.float32), times, rings.astype(np.uint16)


class Lidar:
    """Casts the beams of a model into a scene. poses: maps times [N] (s) to base_link in the world [N, 4, 4]."""

    def __init__(self, model: LidarModel, scene: Scene, ground: Ground, parts: PartTable,
                 poses: Callable[[np.ndarray], np.ndarray]) -> None:
        self.model, self._scene, self._ground, self._parts, self._poses = model, scene, ground, parts, poses
        self._directions, self._times, self._rings = beam_directions(model)
        self._when = (self._times * model.rate).astype(np.float32)

    def scan(self, start: float, stamp: int, rng: np.random.Generator) -> Scan:
        """Return the scan that begins at `start` (s) with `stamp` (ns)."""
        model = self.model
        per_column = self._poses(start + self._times[::model.beams]) @ model.mount.base_from_sensor
        rotation, position = per_column[:, :3, :3].astype(np.float32), per_column[:, :3, 3].astype(np.float32)
        columns = self._directions.reshape(model.columns, model.beams, 3)
        directions = np.matmul(columns, np.swapaxes(rotation, 1, 2)).reshape(-1, 3)
        origins = np.repeat(position, model.beams, 0)
        hits = self._scene.cast(Rays(origins, directions, model.farthest, start, self._window(per_column, directions),
                                     1 / model.rate, self._when))
        met = np.nonzero((hits.part >= 0) & (hits.distance > model.nearest))[0]
        points = origins[met] + directions[met] * hits.distance[met, None]
        label, intensity = self._returns(hits, met, points, directions[met], rng)
        kept = self._received(hits, met, intensity, rng)
        met, label, intensity = met[kept], label[kept], intensity[kept]
        distance = hits.distance[met] + rng.standard_normal(len(met), np.float32) * np.float32(model.noise)
        if model.deskewed:
            world = origins[met] + directions[met] * distance[:, None]
            points = extrinsics.apply(extrinsics.invert(per_column[0]), world.astype(np.float64)).astype(np.float32)
        else:
            points = self._directions[met] * distance[:, None]
        return Scan(stamp, points, intensity, self._times[met].astype(np.float32), self._rings[met],
                    label.astype(np.uint16), TAXONOMY, model.frame_id)

    def _window(self, per_column: np.ndarray, directions: np.ndarray) -> Callable[[np.ndarray, float], np.ndarray]:
        """Return the function that finds beams by the azimuth and the elevation of a sphere."""
        model = self.model
        sensor = per_column[model.columns // 2]

        def rows(centre: np.ndarray, radius: float) -> np.ndarray:
            offset = (centre - sensor[:3, 3]) @ sensor[:3, :3]
            away = float(np.hypot(offset[0], offset[1]))
            if away <= radius * 1.05:
                return np.arange(len(directions))
            # Clockwise from behind; the vehicle's own turn during the scan is within the sphere's margin.
            middle = (np.pi - np.arctan2(offset[1], offset[0])) / (2 * np.pi) * model.columns
            half = np.arcsin(radius / away) / (2 * np.pi) * model.columns + 1
            columns = np.arange(int(middle - half), int(middle + half) + 1) % model.columns
            beams = (columns[:, None] * model.beams + np.arange(model.beams)).reshape(-1)
            towards = offset / np.linalg.norm(offset)
            cosine = np.sqrt(1 - (radius / np.linalg.norm(offset)) ** 2)
            return beams[self._directions[beams] @ towards.astype(np.float32) > cosine]

        return rows

    def _returns(self, hits: Hits, met: np.ndarray, points: np.ndarray, directions: np.ndarray,
                 rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Return label and intensity [M] of the hits in rows `met`."""
        part = hits.part[met]
        label, reflectivity = self._parts.label[part], self._parts.reflectivity[part]
        material = self._parts.material[part]
        ground = np.nonzero(material == Material.GROUND)[0]
        spot = self._ground.look(points[ground, :2])
        label[ground] = spot.label
        table = np.zeros(len(TAXONOMY), np.float32)
        for name, value in _GROUND_REFLECTIVITY.items():
            table[LABEL[name]] = value
        grain = noise(points[ground, 0], points[ground, 1], 30.0, 0.8)
        reflectivity[ground] = np.where(spot.painted, _PAINTED, table[spot.label] * (1 + 0.12 * grain))
        incidence = np.abs(np.einsum('ij,ij->i', hits.normal[met], directions))
        retro = (material == Material.SIGN) | (material == Material.LIGHT)
        shine = np.where(retro, 1, 0.35 + 0.65 * incidence) * (1 + 0.05 * rng.standard_normal(len(met), np.float32))
        return label, np.clip(reflectivity * shine, 0.01, 1).astype(np.float32)

    def _received(self, hits: Hits, met: np.ndarray, intensity: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return bool [M]: weak returns from afar get lost, glass lets most beams through, a few are lost anyway."""
        power = intensity * (55 / hits.distance[met]) ** 2
        lost = np.exp(-10 * power) + 0.008
        lost = np.where(self._parts.material[hits.part[met]] == Material.GLASS, np.maximum(lost, _GLASS_PASSES), lost)
        return rng.random(len(met), np.float32) > lost
