# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""What surfaces look like: procedural textures that fade before they would alias."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Callable

import cv2
import numpy as np

from ros_kd.world.ground import GroundPoint
from ros_kd.world.meshes import LABEL, Material


@dataclass(frozen=True, eq=False)
class Surface:
    """N hits of one material. point: float32 [N, 3], metres. u, v: metres along and up from the part's origin.

    footprint: metres that a pixel covers. color: float32 [N, 3]. size: float32 [N, 2]. style: int32 [N].
    triangle: int32 [N]. reach: metres from the part's origin, [N].
    """

    point: np.ndarray
    u: np.ndarray
    v: np.ndarray
    footprint: np.ndarray
    color: np.ndarray
    size: np.ndarray
    style: np.ndarray
    triangle: np.ndarray
    reach: np.ndarray


@lru_cache
def _tile(exponent: float) -> np.ndarray:
    """Periodic noise [512, 512] of unit variance whose spectrum falls with `exponent`."""
    size = 512
    fx, fy = np.meshgrid(np.fft.rfftfreq(size), np.fft.fftfreq(size))
    radius = np.hypot(fx, fy)
    radius[0, 0] = np.inf
    spectrum = np.fft.rfft2(np.random.default_rng(7).normal(size=(size, size))) / radius ** exponent
    spectrum *= np.exp(-(radius * 1.2) ** 2)
    noise = np.fft.irfft2(spectrum, (size, size))
    return (noise / noise.std()).astype(np.float32)


def noise(x: np.ndarray, y: np.ndarray, metres: float, exponent: float = 1.2) -> np.ndarray:
    """Return noise [N] of zero mean and unit variance at x, y [N] (metres) that repeats after `metres`."""
    width, scale = 1024, np.float32(512 / metres)
    rows = max(-(-len(x) // width), 1)
    grid = np.zeros((2, rows * width), np.float32)
    grid[0, :len(x)], grid[1, :len(x)] = x, y
    grid *= scale
    grid -= np.floor(grid * np.float32(1 / 512)) * 512
    grid = grid.reshape(2, rows, width)
    values = cv2.remap(_tile(exponent), grid[0], grid[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
    return values.reshape(-1)[:len(x)]


def scatter(index: np.ndarray, salt: int = 0) -> np.ndarray:
    """Return a number 0..1 for each whole number [N], without visible order."""
    mixed = (index.astype(np.uint32) + np.uint32(salt * 101)) * np.uint32(2654435761)
    return ((mixed ^ (mixed >> np.uint32(15))) & np.uint32(0xffff)).astype(np.float32) / np.float32(65535)


def _fade(surface: Surface, period: float) -> np.ndarray:
    """1 where a pattern of `period` metres is resolved, falling to 0 where a pixel covers it."""
    return np.clip(1.4 - surface.footprint * np.float32(2.2 / period), 0, 1)


def _joints(x: np.ndarray, y: np.ndarray, width: float, height: float, gap: float) -> tuple[np.ndarray, np.ndarray]:
    """Return where the joints of a running bond lie (bool) and a number for each brick."""
    row = np.floor(y / height)
    shifted = x / width + 0.5 * np.mod(row, 2)
    column = np.floor(shifted)
    joint = ((shifted - column) * width < gap) | (y - row * height < gap)
    return joint, (column * 7919 + row * 104729).astype(np.int64)


def ground(spot: GroundPoint, surface: Surface) -> np.ndarray:
    """Asphalt with paint, paving with curb stones, or grass: [N, 3]."""
    x, y = surface.point[:, 0], surface.point[:, 1]
    grain = noise(x, y, 6.0, 0.3) * _fade(surface, 0.05)
    cloud = noise(x, y, 40.0, 1.3)
    color = np.empty((len(x), 3), np.float32)
    road, walk, grass = (spot.label == LABEL[name] for name in ('road', 'sidewalk', 'terrain'))
    tone = 0.085 * (1 + 0.22 * grain + 0.13 * cloud)
    tone = np.where(spot.painted, 0.62 * (1 + 0.1 * grain - 0.12 * np.abs(cloud)), tone)
    color[road] = tone[road, None] * np.float32([1, 1, 1.04])
    joint, stone = _joints(x[walk], y[walk], 0.6, 0.4, 0.025)
    fade = _fade(surface, 0.35)[walk]
    tone = 0.33 * (1 + (0.16 * (scatter(stone) - 0.5) - 0.45 * joint) * fade + 0.06 * grain[walk] + 0.07 * cloud[walk])
    tone = np.where(spot.edge[walk] < 0.16, 0.45 + 0.03 * grain[walk], tone)
    color[walk] = tone[:, None] * np.float32([1.0, 0.93, 0.84])
    dry = np.clip(0.35 + 0.35 * noise(x[grass], y[grass], 23.0, 1.4), 0, 1)[:, None]
    blades = (1 + 0.3 * noise(x[grass], y[grass], 9.0, 0.6) * _fade(surface, 0.12)[grass] + 0.1 * grain[grass])[:, None]
    color[grass] = blades * (np.float32([0.07, 0.15, 0.03]) * (1 - dry) + np.float32([0.22, 0.19, 0.08]) * dry)
    return color


def _wall(surface: Surface, brick: bool) -> np.ndarray:
    """Brick or plaster with a grid of windows, and a door or two on the ground floor."""
    u, v, (width, height) = surface.u, surface.v, surface.size.T
    cloud = noise(u + surface.style * 0.37, v, 11.0, 1.2)
    tone = 1 + 0.07 * cloud
    if brick:
        joint, stone = _joints(u, v, 0.25, 0.085, 0.012)
        tone = tone + (0.35 * (scatter(stone) - 0.5) + 0.5 * joint) * _fade(surface, 0.12)
    color = surface.color * tone[:, None]
    plinth = v < 0.35
    color[plinth] = 0.16
    columns = np.maximum(np.round(width / 2.6), 1)
    pitch = width / columns
    column, floor = np.floor(u / np.maximum(pitch, 0.1)), np.floor(v / 3.0)
    x, y = np.abs(u - (column + 0.5) * pitch), v - floor * 3.0
    cell = (column * 31 + floor * 577 + surface.style).astype(np.int64)
    storey = (width > 2.2) & (floor >= 0) & (floor * 3.0 + 2.8 < height)
    door = storey & (floor == 0) & (scatter(surface.style + column.astype(np.int64)) < 0.22)
    low = np.where(door, 0.12, 0.95)
    frame = storey & (x < 0.68) & (y > low - 0.08) & (y < 2.43)
    pane = storey & (x < 0.58) & (x > 0.035) & (y > low) & (y < 2.33)
    color[frame] = np.where(scatter(surface.style[frame]) < 0.6, 0.62, 0.10)[:, None]
    curtain = scatter(cell, 3)
    glass = np.stack([0.05 + 0.05 * y, 0.065 + 0.06 * y, 0.08 + 0.075 * y], 1) * (0.6 + 1.2 * curtain[:, None] ** 3)
    panel = np.float32([0.12, 0.07, 0.04]) * (0.6 + 1.4 * curtain[pane, None])
    color[pane] = np.where(door[pane, None], panel, glass[pane])
    return color


def _roof(surface: Surface) -> np.ndarray:
    rows = np.mod(surface.point[:, 2], 0.16) < 0.03
    cloud = noise(surface.point[:, 0], surface.point[:, 1], 13.0)
    return surface.color * (1 + 0.12 * cloud - 0.35 * rows * _fade(surface, 0.16))[:, None]


def _wood(surface: Surface) -> np.ndarray:
    grain = noise(surface.point[:, 0] + surface.point[:, 1], surface.point[:, 2] * 0.12, 1.7, 0.7)
    return surface.color * (1 + 0.16 * grain * _fade(surface, 0.04))[:, None]


def _stone(surface: Surface) -> np.ndarray:
    along = surface.point[:, 0] * 0.83 + surface.point[:, 1] * 0.57
    joint, block = _joints(along, surface.point[:, 2], 0.5, 0.24, 0.02)
    tone = (0.35 * (scatter(block) - 0.5) - 0.45 * joint) * _fade(surface, 0.24)
    return surface.color * (1 + tone + 0.08 * noise(along, surface.point[:, 2], 3.0))[:, None]


def _leaf(surface: Surface) -> np.ndarray:
    """Leaves vary one by one; those deep inside a crown get less light."""
    tone = 0.65 + 0.7 * scatter(surface.triangle)
    radius, half_height = np.maximum(surface.size, 0.3).T
    depth = np.clip(0.45 + 0.65 * surface.reach / radius, 0.5, 1.15)
    low = np.clip(0.85 + 0.25 * surface.v / half_height, 0.5, 1.15)
    return surface.color * (tone * np.where(surface.size[:, 1] > 0, depth * low, 0.9))[:, None]


def _bark(surface: Surface) -> np.ndarray:
    x, y, z = surface.point.T
    return surface.color * (1 + 0.3 * noise(4 * (x + y), z, 2.0))[:, None]


def _plain(surface: Surface) -> np.ndarray:
    return surface.color


_RED, _BLUE, _WHITE, _YELLOW, _BLACK = np.float32(
    [(0.60, 0.02, 0.02), (0.02, 0.09, 0.48), (0.75, 0.75, 0.75), (0.75, 0.52, 0.02), (0.03, 0.03, 0.03)])


def _sign(surface: Surface) -> np.ndarray:
    """No entry, speed limit, warning, stop, parking, direction board, number plate."""
    size = np.maximum(surface.size, 0.05)
    x, y, style = surface.u / size[:, 0], surface.v / size[:, 1], surface.style
    r = np.hypot(x, y)
    across, up = np.abs(x), np.abs(y)
    glyph = (across < 0.45) & (np.abs(up - 0.18) < 0.09) | (np.abs(across - 0.3) < 0.09) & (up < 0.27)
    bow = (np.abs(np.hypot(x + 0.05, y - 0.28) - 0.26) < 0.09) & (x > -0.25)
    letter = (np.abs(x + 0.25) < 0.1) & (up < 0.6) | bow
    border = (across > 0.93) | (up > 0.86)
    letters = (up < 0.35) & (np.mod(x * 5.2, 1) < 0.62) & (across < 0.72)
    mark = (across < 0.1) & (y < 0.35)
    # The distance to the slanted edges tells a triangle's border.
    slant = (0.66 - y) / 1.9 - across * 0.85
    looks = {0: ((up < 0.2) & (across < 0.72), _WHITE, _RED),
             1: (r > 0.76, _RED, np.where(glyph[:, None], _BLACK, _WHITE)),
             2: ((slant < 0.16) | (y < -0.34), _RED, np.where(mark[:, None], _BLACK, _WHITE)),
             3: ((up < 0.22) & (np.mod(x * 3.2, 1) < 0.7) & (across < 0.7), _WHITE, _RED),
             4: (letter, _WHITE, _BLUE), 5: (border | letters, _BLACK, _YELLOW), 9: (letters, _BLACK, _WHITE)}
    color = np.empty((len(x), 3), np.float32)
    for number, (mask, first, second) in looks.items():
        rows = style == number
        if rows.any():
            color[rows] = np.where(mask[:, None], first, second)[rows]
    return color


PAINTERS: dict[int, Callable[[Surface], np.ndarray]] = {
    Material.BRICK: lambda surface: _wall(surface, True), Material.PLASTER: lambda surface: _wall(surface, False),
    Material.ROOF: _roof, Material.WOOD: _wood, Material.STONE: _stone, Material.LEAF: _leaf, Material.BARK: _bark,
    Material.SIGN: _sign, **dict.fromkeys((Material.PLAIN, Material.METAL, Material.PAINT, Material.GLASS,
                                           Material.LIGHT, Material.CLOTH), _plain)}
