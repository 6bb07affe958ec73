# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""Rays against triangles: what stands still in one tree, each kind of road user in its own, in its own frame."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import lru_cache
from typing import Callable, Sequence

import numpy as np
from embreex.mesh_construction import TriangleMesh
from embreex.rtcore import EmbreeDevice
from embreex.rtcore_scene import EmbreeScene

from ros_kd.world.meshes import Mesh

FAR = np.float32(1e6)


@lru_cache(maxsize=None)
def _device(process: int) -> EmbreeDevice:
    """One device for all scenes of a process: each has threads of its own, and some hundreds of them crash Embree."""
    return EmbreeDevice()


class Tracer:
    """A mesh in an Embree scene."""

    def __init__(self, mesh: Mesh) -> None:
        self._scene = EmbreeScene(_device(os.getpid()))
        self._mesh = TriangleMesh(self._scene, mesh.vertices, mesh.faces)
        self.part = mesh.part
        self.radius = float(np.linalg.norm(mesh.vertices, axis=1).max())

    def cast(self, origins: np.ndarray, directions: np.ndarray, limit: np.ndarray) -> tuple[np.ndarray, ...]:
        """Return distance, triangle (-1: none) and its normal (not of unit length) of the nearest hit before `limit`.

        origins, directions: float32 [N, 3]. limit: float32 [N], metres.
        """
        found = self._scene.run(origins, directions, dists=limit, output=True)
        return found['tfar'], found['primID'], found['Ng']


@dataclass(frozen=True, eq=False)
class Actor:
    """Something that moves. tracers: its shapes (the phases of a stride), taken in turn `pace` times a second.

    first_part: the row of each shape's first part in the part table.
    """

    tracers: tuple[Tracer, ...]
    first_part: tuple[int, ...]
    pace: float = 0.0

    def shape(self, time: float) -> int:
        """Return which of the shapes the actor has at `time` (s)."""
        return int(time * self.pace * len(self.tracers)) % len(self.tracers)


@dataclass(frozen=True, eq=False)
class Rays:
    """N rays of one exposure. origins, directions (of unit length): float32 [N, 3], world. reach: metres.

    start, duration: seconds; `when`: float32 [N], the share of the duration after which a ray leaves (None: at once).
    window: the rows of rays that may meet a sphere, from its centre [3] (world) and radius.
    """

    origins: np.ndarray
    directions: np.ndarray
    reach: float
    start: float
    window: Callable[[np.ndarray, float], np.ndarray]
    duration: float = 0.0
    when: np.ndarray | None = None


@dataclass(eq=False)
class Hits:
    """What N rays met. distance: float32, metres (FAR: nothing). part: int32, row of the part table (-1: nothing).

    normal: float32 [N, 3], of unit length, towards the ray's origin. triangle: int32. actor: bool, it moves.
    """

    distance: np.ndarray
    part: np.ndarray
    normal: np.ndarray
    triangle: np.ndarray
    actor: np.ndarray


class Scene:
    """A town's triangles and its moving actors. motion: maps times [K] (s) to the actors' poses [K, A, 4, 4]."""

    def __init__(self, static: Mesh, actors: Sequence[Actor], motion: Callable[[np.ndarray], np.ndarray]) -> None:
        self.static, self.actors, self.motion = Tracer(static), tuple(actors), motion

    def cast(self, rays: Rays) -> Hits:
        """Return what the rays meet."""
        limit = np.full(len(rays.directions), rays.reach, np.float32)
        distance, triangle, normal = self.static.cast(rays.origins, rays.directions, limit)
        part = np.where(triangle >= 0, self.static.part[triangle], -1)
        hits = Hits(distance, part, normal, triangle, np.zeros(len(part), bool))
        poses = self.motion(rays.start + rays.duration * np.array([0.0, 0.5, 1.0]))
        away = np.linalg.norm(poses[1, :, :3, 3] - rays.origins[len(part) // 2], axis=1)
        for number in np.nonzero(away < rays.reach)[0]:
            self._cast_actor(self.actors[number], poses[:, number], rays, hits)
        n, d = hits.normal.T, rays.directions.T
        facing = n[0] * d[0] + n[1] * d[1] + n[2] * d[2]
        length = np.sqrt(n[0] * n[0] + n[1] * n[1] + n[2] * n[2])
        sign = np.where(facing > 0, np.float32(-1), np.float32(1))
        hits.normal *= (sign / np.maximum(length, np.float32(1e-12)))[:, None]
        hits.distance[hits.part < 0] = FAR
        return hits

    def _cast_actor(self, actor: Actor, poses: np.ndarray, rays: Rays, hits: Hits) -> None:
        """Merge an actor, with poses [3, 4, 4] at the rays' start, middle and end, into `hits`."""
        shape = actor.shape(rays.start)
        tracer = actor.tracers[shape]
        # The sphere holds the actor wherever it is meanwhile, and is seen from where the sensor is in the middle.
        around = tracer.radius + float(np.linalg.norm(poses[2, :3, 3] - poses[0, :3, 3])) + 12 * rays.duration
        rows = rays.window(poses[1, :3, 3], around)
        if len(rows) == 0:
            return
        first, last = poses[0].astype(np.float32), poses[2].astype(np.float32)
        origins, directions = rays.origins[rows], rays.directions[rows]
        local_origin, local_direction = (origins - first[:3, 3]) @ first[:3, :3], directions @ first[:3, :3]
        if rays.when is not None:
            when = rays.when[rows, None]
            local_origin += when * ((origins - last[:3, 3]) @ last[:3, :3] - local_origin)
            local_direction += when * (directions @ last[:3, :3] - local_direction)
        distance, triangle, normal = tracer.cast(local_origin, local_direction, hits.distance[rows])
        seen = np.nonzero(triangle >= 0)[0]
        rows, triangle = rows[seen], triangle[seen]
        hits.distance[rows], hits.triangle[rows] = distance[seen], triangle
        hits.part[rows] = tracer.part[triangle] + actor.first_part[shape]
        hits.normal[rows] = normal[seen] @ poses[1, :3, :3].T.astype(np.float32)
        hits.actor[rows] = True

    def shadowed(self, points: np.ndarray, sun: np.ndarray, time: float) -> np.ndarray:
        """Return bool [N]: something hides the sun (unit vector to it) from points float32 [N, 3] at `time` (s)."""
        if len(points) == 0:
            return np.zeros(0, bool)
        sun = sun.astype(np.float32)
        directions = np.ascontiguousarray(np.broadcast_to(sun, points.shape))
        dark = self.static.cast(points, directions, np.full(len(points), 120, np.float32))[1] >= 0
        poses = self.motion(np.array([time]))[0]
        low, high = points.min(0)[:2] - 5, points.max(0)[:2] + 5
        inside = ((poses[:, :2, 3] > low) & (poses[:, :2, 3] < high)).all(1)
        for number in np.nonzero(inside)[0]:
            actor, pose = self.actors[number], poses[number].astype(np.float32)
            tracer = actor.tracers[actor.shape(time)]
            near = np.nonzero((np.abs(points[:, :2] - pose[:2, 3]) < tracer.radius * 2.5).all(1) & ~dark)[0]
            if len(near):
                local = (points[near] - pose[:3, 3]) @ pose[:3, :3]
                towards = directions[near] @ pose[:3, :3]
                dark[near] = tracer.cast(local, towards, np.full(len(near), 120, np.float32))[1] >= 0
        return dark
