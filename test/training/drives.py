# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""A small drive whose truth is known: boxes on a road, a LiDAR and a camera that look at them from moving poses."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ros_kd import extrinsics
from ros_kd.cameras import Camera
from ros_kd.frames import CameraView, PairedFrame, Scan
from ros_kd.images import RawPixels
from ros_kd.label_sets import get_taxonomy

STREET = get_taxonomy('street-12')
ROAD, BUILDING, VEGETATION, CAR = (STREET.names.index(name) for name in ('road', 'building', 'vegetation', 'car'))
HEIGHT = 1.8
TO_OPTICAL = np.array([[0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1.0]])
CAMERA = Camera(160, 120, np.array([[80, 0, 79.5], [0, 80, 59.5], [0, 0, 1.0]]))  # 90 degrees wide


@dataclass(frozen=True)
class Box:
    """low, high: opposite corners, metres, world frame. label: of street-12."""

    low: tuple[float, float, float]
    high: tuple[float, float, float]
    label: int


WALL = Box((-60, 8, 0), (80, 9, 5), BUILDING)


def car(x: float, y: float) -> Box:
    """A car whose rear is at x."""
    return Box((x, y - 0.9, 0), (x + 4, y + 0.9, 1.5), CAR)


def cast(origin: np.ndarray, rays: np.ndarray, boxes: list[Box]) -> tuple[np.ndarray, np.ndarray]:
    """Return how far rays [M, 3] from origin [3] go until they meet a box or the road at z = 0, inf if neither, and the
    label there, 255 if neither."""
    with np.errstate(divide='ignore', invalid='ignore'):
        distance = np.where(rays[:, 2] < 0, -origin[2] / rays[:, 2], np.inf)
        label = np.where(np.isfinite(distance), ROAD, 255).astype(np.uint8)
        for box in boxes:
            first, last = (np.array(box.low) - origin) / rays, (np.array(box.high) - origin) / rays
            enter, leave = np.fmin(first, last).max(1), np.fmax(first, last).min(1)
            hit = (enter > 0) & (enter < leave) & (enter < distance)
            distance[hit], label[hit] = enter[hit], box.label
    return distance, label


def pose(x: float, yaw: float = 0.0) -> np.ndarray:
    """world_from_lidar at x metres, turned to the left by yaw degrees."""
    c, s = np.cos(np.radians(yaw)), np.sin(np.radians(yaw))
    return extrinsics.from_rotation(np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]), [x, 0, HEIGHT])


def drive_frame(seconds: float, world_from_lidar: np.ndarray, boxes: list[Box], camera: bool = True) -> PairedFrame:
    """Return what a LiDAR of 60 beams and, if wanted, a camera ahead see; all labels are of street-12."""
    stamp = int(seconds * 1e9)
    azimuth, elevation = np.meshgrid(np.radians(np.arange(-180, 180, 0.4) + 0.1),
                                     np.radians(np.linspace(-25, 4, 60)), indexing='ij')
    rays = np.stack([np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation)], -1)
    rays = rays.reshape(-1, 3)
    distance, label = cast(world_from_lidar[:3, 3], rays @ world_from_lidar[:3, :3].T, boxes)
    near = distance < 60
    scan = Scan(stamp, (rays[near] * distance[near, None]).astype(np.float32), label=label[near].astype(np.uint16),
                taxonomy=STREET)
    views = (_view(stamp, world_from_lidar, boxes),) if camera else ()
    return PairedFrame(scan, views, f'{seconds:.1f}', world_from_lidar)


def _view(stamp: int, world_from_lidar: np.ndarray, boxes: list[Box]) -> CameraView:
    v, u = np.mgrid[:CAMERA.height, :CAMERA.width].reshape(2, -1)
    optical = np.stack([(u - CAMERA.K[0, 2]) / CAMERA.K[0, 0], (v - CAMERA.K[1, 2]) / CAMERA.K[1, 1],
                        np.ones(u.shape)], 1)
    rays = optical @ TO_OPTICAL[:3, :3] @ world_from_lidar[:3, :3].T
    labels = cast(world_from_lidar[:3, 3], rays, boxes)[1].reshape(CAMERA.height, CAMERA.width)
    pixels = RawPixels(np.zeros((*labels.shape, 3), np.uint8))
    return CameraView('front', stamp, CAMERA, TO_OPTICAL, pixels, label_pixels=RawPixels(labels), taxonomy=STREET)
