# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""Images and label images of a camera, rendered from the same rays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Iterator

import cv2
import numpy as np

from ros_kd.taxonomy import IGNORE
from ros_kd.world import textures
from ros_kd.world.ground import Ground
from ros_kd.world.meshes import Material, PartTable
from ros_kd.world.rays import Hits, Rays, Scene
from ros_kd.world.rig import CameraModel

_REACH, _PIECE = 400.0, 1 << 15
_HORIZON, _ZENITH = np.float32([0.66, 0.76, 0.88]), np.float32([0.20, 0.38, 0.72])
_SUN, _AMBIENT = np.float32([1.75, 1.62, 1.40]), np.float32([0.46, 0.54, 0.66])
_SHINY = {Material.PAINT: 0.22, Material.GLASS: 0.5, Material.METAL: 0.12}


@dataclass(frozen=True, eq=False)
class Exposure:
    """image: uint8 [H, W, 3], RGB. labels: uint8 [H, W], ids of sim-12, 255 = sky."""

    image: np.ndarray
    labels: np.ndarray


def pixel_directions(model: CameraModel) -> np.ndarray:
    """Return unit vectors float32 [H * W, 3] in the optical frame through the centres of the pixels, row by row."""
    K = model.camera.K
    u, v = np.meshgrid(np.arange(model.width), np.arange(model.height))
    rays = np.stack([(u - K[0, 2]) / K[0, 0], (v - K[1, 2]) / K[1, 1], np.ones(u.shape)], -1).reshape(-1, 3)
    return (rays / np.linalg.norm(rays, axis=1)[:, None]).astype(np.float32)


def _window(model: CameraModel, world_from_optical: np.ndarray) -> Callable[[np.ndarray, float], np.ndarray]:
    """Return the function that finds the pixels whose rays may meet a sphere: a rectangle around its outline."""
    K = model.camera.K

    def rows(centre: np.ndarray, radius: float) -> np.ndarray:
        offset = (centre - world_from_optical[:3, 3]) @ world_from_optical[:3, :3]
        spans = []
        for axis, count in ((0, model.width), (1, model.height)):
            away = float(np.hypot(offset[axis], offset[2]))
            if away <= radius:
                spans.append(np.arange(count))
                continue
            middle, half = np.arctan2(offset[axis], offset[2]), np.arcsin(radius / away)
            low, high = np.clip([middle - half, middle + half], -1.55, 1.55)
            bounds = K[axis, axis] * np.tan([low, high]) + K[axis, 2]
            first, last = np.clip([np.floor(bounds[0]), np.ceil(bounds[1]) + 1], 0, count).astype(int)
            spans.append(np.arange(first, last) if middle - half < 1.55 and middle + half > -1.55 else np.arange(0))
        return (spans[1][:, None] * model.width + spans[0]).reshape(-1)

    return rows


def sky(directions: np.ndarray) -> np.ndarray:
    """Return the sky's linear colour [N, 3] in unit directions [N, 3], with a few clouds."""
    height = np.clip(directions[:, 2], 0, 1)
    color = _HORIZON + (_ZENITH - _HORIZON) * np.sqrt(height)[:, None]
    above = 1 / (height + 0.12)
    cloud = textures.noise(directions[:, 0] * above, directions[:, 1] * above, 9.0, 1.6)
    return color + (np.float32(0.92) - color) * np.clip(0.55 * cloud - 0.15, 0, 0.85)[:, None]


@dataclass(frozen=True, eq=False)
class _Patch:
    """M pixels of one material: what their rays met, and how much of the sun reaches it (lit, 0..1)."""

    points: np.ndarray
    normals: np.ndarray
    directions: np.ndarray
    distance: np.ndarray
    part: np.ndarray
    triangle: np.ndarray
    lit: np.ndarray

    @classmethod
    def of(cls, hits: Hits, rows: np.ndarray, directions: np.ndarray, origin: np.ndarray, lit: np.ndarray) -> _Patch:
        """Collect the rows of an image."""
        towards, distance = np.take(directions, rows, 0), np.take(hits.distance, rows)
        return cls(origin + towards * distance[:, None], np.take(hits.normal, rows, 0), towards, distance,
                   np.take(hits.part, rows), np.take(hits.triangle, rows), np.take(lit, rows))


def _by_material(parts: PartTable, hits: Hits) -> Iterator[tuple[Material | None, np.ndarray]]:
    """Yield (material, rows of pixels), None for the sky, in pieces that stay in the cache."""
    material = np.where(hits.part < 0, len(Material), np.take(parts.material, hits.part)).astype(np.uint8)
    order = np.argsort(material, kind='stable')
    bounds = np.append(0, np.cumsum(np.bincount(material, minlength=len(Material) + 1)))
    for number in range(len(Material) + 1):
        for first in range(bounds[number], bounds[number + 1], _PIECE):
            rows = order[first:min(first + _PIECE, bounds[number + 1])]
            yield (Material(number) if number < len(Material) else None), rows


def _dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return a[:, 0] * b[:, 0] + a[:, 1] * b[:, 1] + a[:, 2] * b[:, 2]


class Renderer:
    """Renders cameras in a scene under a sun (unit vector towards it)."""

    def __init__(self, scene: Scene, ground: Ground, parts: PartTable, sun: np.ndarray) -> None:
        self._scene, self._ground, self._parts, self._sun = scene, ground, parts, sun.astype(np.float32)
        self._rays: dict[CameraModel, np.ndarray] = {}

    def expose(self, model: CameraModel, world_from_optical: np.ndarray, time: float,
               rng: np.random.Generator) -> Exposure:
        """Return the image taken at `time` (s) from a pose float64 [4, 4]."""
        if model not in self._rays:
            self._rays[model] = pixel_directions(model)
        directions = self._rays[model] @ world_from_optical[:3, :3].T.astype(np.float32)
        origins = np.broadcast_to(world_from_optical[:3, 3].astype(np.float32), directions.shape)
        hits = self._scene.cast(Rays(np.ascontiguousarray(origins), directions, _REACH, time,
                                     _window(model, world_from_optical)))
        lit = self._lit(model, hits, origins, directions, time)
        color = np.empty((len(directions), 3), np.float32)
        labels = np.full(len(directions), IGNORE, np.uint8)
        for kind, rows in _by_material(self._parts, hits):
            if kind is None:
                color[rows] = sky(np.take(directions, rows, 0))
                continue
            patch = _Patch.of(hits, rows, directions, world_from_optical[:3, 3].astype(np.float32), lit)
            labels[rows] = np.take(self._parts.label, patch.part)
            albedo = self._ground_albedo(patch, labels, rows, model) if kind == Material.GROUND else (
                textures.PAINTERS[kind](self._surface(patch, model)))
            color[rows] = self._shade(patch, albedo, kind)
        image = _develop(color.reshape(model.height, model.width, 3), rng)
        return Exposure(image, labels.reshape(model.height, model.width))

    def _ground_albedo(self, patch: _Patch, labels: np.ndarray, rows: np.ndarray, model: CameraModel) -> np.ndarray:
        spot = self._ground.look(patch.points[:, :2])
        labels[rows] = spot.label
        return textures.ground(spot, self._surface(patch, model))

    def _lit(self, model: CameraModel, hits: Hits, origins: np.ndarray, directions: np.ndarray,
             time: float) -> np.ndarray:
        """Return 0 (shadow) to 1 (sun) for each pixel, from shadow rays of every fourth."""
        rows = np.arange(len(directions)).reshape(model.height, model.width)[::2, ::2]
        flat = rows.reshape(-1)
        lit = np.ones(len(flat), np.float32)
        asked = np.nonzero((hits.part[flat] >= 0) & (hits.normal[flat] @ self._sun > 0))[0]
        pixel = flat[asked]
        points = origins[pixel] + directions[pixel] * hits.distance[pixel, None] + hits.normal[pixel] * np.float32(0.03)
        lit[asked] = ~self._scene.shadowed(points, self._sun, time)
        small = lit.reshape(rows.shape)
        return cv2.resize(small, (model.width, model.height), interpolation=cv2.INTER_LINEAR).reshape(-1)

    def _surface(self, patch: _Patch, model: CameraModel) -> textures.Surface:
        table, part = self._parts, patch.part
        x, y, z = (patch.points - np.take(table.origin, part, 0)).T
        along = np.take(table.along, part, 0)
        slant = np.maximum(_dot(patch.normals, -patch.directions), np.float32(0.08))
        footprint = patch.distance * np.float32(1 / model.camera.K[0, 0]) / np.sqrt(slant)
        return textures.Surface(
            patch.points, u=x * along[:, 0] + y * along[:, 1], v=z, footprint=footprint, triangle=patch.triangle,
            color=np.take(table.color, part, 0), size=np.take(table.size, part, 0), style=np.take(table.style, part),
            reach=np.sqrt(x * x + y * y + z * z))

    def _shade(self, patch: _Patch, albedo: np.ndarray, kind: Material) -> np.ndarray:
        """Return linear colours [M, 3]: Lambert's law for sun and sky, reflections on paint and glass, haze."""
        sun = np.maximum(_dot(patch.normals, self._sun[None]), 0) * patch.lit
        ambient = np.float32(0.62) + np.float32(0.38) * patch.normals[:, 2]
        clear = np.exp(patch.distance * np.float32(-1 / 650))
        mirrored = _reflection(patch.normals, patch.directions, _SHINY[kind]) if kind in _SHINY else None
        color = np.empty_like(albedo, np.float32)
        for channel in range(3):  # one channel at a time: long contiguous loops are several times faster
            light = sun * _SUN[channel] + ambient * _AMBIENT[channel]
            value = albedo[:, channel] * light
            if kind == Material.LIGHT:
                value = np.maximum(value, albedo[:, channel] * np.float32(0.9))
            if mirrored is not None:
                value += mirrored[:, channel]
            color[:, channel] = _HORIZON[channel] + (value - _HORIZON[channel]) * clear
        return color


def _reflection(normal: np.ndarray, directions: np.ndarray, strength: float) -> np.ndarray:
    """The sky, or dark street below the horizon, mirrored more at grazing angles (Schlick)."""
    facing = _dot(normal, directions)
    mirrored = directions[:, 2] - 2 * facing * normal[:, 2]
    fresnel = strength * (0.25 + 0.75 * (1 - np.clip(-facing, 0, 1)) ** 3)
    bright = np.clip(mirrored * 4 + 0.4, 0.12, 1)
    return (fresnel * bright)[:, None] * (_HORIZON + (_ZENITH - _HORIZON) * np.sqrt(np.clip(mirrored, 0, 1))[:, None])


def _develop(color: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Lens blur, tone curve and sensor noise: linear float32 [H, W, 3] to uint8."""
    color = cv2.GaussianBlur(color, (3, 3), 0.55)
    color = np.sqrt(np.clip(color * np.float32(0.92), 0, 1))
    noise = rng.standard_normal(color.shape, np.float32)
    return np.clip(color * 255 + noise * np.float32(1.6) + 0.5, 0, 255).astype(np.uint8)
