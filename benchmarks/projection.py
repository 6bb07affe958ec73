# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Time to project a scan of 120,000 points into six cameras and to undo the motion within it; OpenCV beside it.

Medians; all are timed in turn, since machines are noisy. The rig is that of nuScenes: six cameras of 1600x900 pixels all
around, 70 degrees wide, the one to the back 110. OpenCV projects the same points into the same cameras by
cv2.projectPoints, the ones behind a camera too, and does not say which are in the image.
"""

from __future__ import annotations

import json
from statistics import median
from time import perf_counter
from typing import Callable

import cv2
import numpy as np

from ros_kd import extrinsics
from ros_kd.cameras import Camera
from ros_kd.extrinsics import Trajectory
from ros_kd.frames import CameraView
from ros_kd.projection import project_all

RUNS = 40
BEAMS, COLUMNS = 64, 1875
YAWS = (0, -55, -110, 180, 110, 55)
PLUMB_BOB = (-0.3, 0.1, 0.001, 0.002, 0.01)
OPTICAL = np.array([[0, -1, 0], [0, 0, -1], [1, 0, 0]])


def scan() -> tuple[np.ndarray, np.ndarray]:
    """Return points float32 [N, 3] of a flat street between ragged walls, and their times after the first (s)."""
    rng = np.random.default_rng(0)
    azimuth, elevation = np.meshgrid(np.pi - np.arange(COLUMNS) * 2 * np.pi / COLUMNS,
                                     np.radians(np.linspace(3, -24.8, BEAMS)), indexing='ij')
    wall = 12 / np.maximum(np.abs(np.sin(azimuth)), 0.2) * rng.uniform(0.5, 1, azimuth.shape)
    ground = np.where(elevation < 0, 1.8 / np.maximum(-np.sin(elevation), 1e-3), np.inf)
    distance = np.minimum(wall, ground)
    flat = distance * np.cos(elevation)
    points = np.stack([flat * np.cos(azimuth), flat * np.sin(azimuth), distance * np.sin(elevation)], -1)
    return points.reshape(-1, 3).astype(np.float32), np.repeat(np.linspace(0, 0.1, COLUMNS, dtype=np.float32), BEAMS)


def rig(model: str, coefficients: tuple[float, ...]) -> tuple[CameraView, ...]:
    """Return the views of six cameras."""
    views = []
    for yaw in YAWS:
        angle, focal = np.radians(yaw), 560.0 if yaw == 180 else 1140.0
        turn = np.array([[np.cos(angle), np.sin(angle), 0], [-np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
        matrix = np.array([[focal, 0, 800], [0, focal, 450], [0, 0, 1.0]])
        views.append(CameraView(f'{yaw}', 0, Camera(1600, 900, matrix, model, coefficients),
                                extrinsics.from_rotation(OPTICAL @ turn, [0, 0.3, -0.5]), None))
    return tuple(views)


def opencv(points: np.ndarray, views: tuple[CameraView, ...]) -> None:
    """Project by cv2.projectPoints."""
    for view in views:
        rotation, shift = cv2.Rodrigues(view.lidar_to_camera[:3, :3])[0], view.lidar_to_camera[:3, 3]
        cv2.projectPoints(points, rotation, shift, view.camera.K, np.array(view.camera.distortion or [0.0] * 4))


def drive() -> Trajectory:
    """Return poses every 10 ms of a sweep at 20 m/s and 1 rad/s."""
    after = np.arange(11) * 0.01
    turns = np.array([[[np.cos(t), -np.sin(t), 0], [np.sin(t), np.cos(t), 0], [0, 0, 1]] for t in after])
    places = np.stack([20 * np.sin(after), 20 * (1 - np.cos(after)), 0 * after], 1)
    return Trajectory(np.rint(after * 1e9).astype(np.int64), extrinsics.from_rotation(turns, places))


def main() -> None:
    """Print one JSON object a line."""
    points, time = scan()
    straight, bent, trajectory = rig('none', ()), rig('plumb_bob', PLUMB_BOB), drive()
    tasks: dict[str, Callable[[], object]] = {
        'six_cameras_ms': lambda: project_all(points, straight, None),
        'six_cameras_occlusion_ms': lambda: project_all(points, straight),
        'six_distorted_cameras_ms': lambda: project_all(points, bent, None),
        'six_distorted_cameras_occlusion_ms': lambda: project_all(points, bent),
        'opencv_six_cameras_ms': lambda: opencv(points, straight),
        'opencv_six_distorted_cameras_ms': lambda: opencv(points, bent),
        'deskew_ms': lambda: extrinsics.deskew(points, time, trajectory, 0)}
    seconds: dict[str, list[float]] = {name: [] for name in tasks}
    for _ in range(RUNS + 2):  # the first two warm up
        for name, task in tasks.items():
            started = perf_counter()
            task()
            seconds[name].append(perf_counter() - started)
    for name, taken in seconds.items():
        print(json.dumps({'name': f'projection.{name}', 'value': round(1e3 * median(taken[2:]), 2), 'unit': 'ms'}))
    print(json.dumps({'name': 'projection.points', 'value': len(points), 'unit': 'points'}))


if __name__ == '__main__':
    main()
