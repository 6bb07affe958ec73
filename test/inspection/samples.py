# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Figures of a drive without faults, and of streams, to be spoilt by tests."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ros_kd.inspection.figures import (CameraFigures, CameraPairing, Chain, Curve, Drive, Edge, Figures, Frames,
                                       Histogram, Lidar, Pairing, Source, Spread, Topic)
from ros_kd.inspection.timing import clock, order, rhythm

START = 1_700_000_000_000_000_000
MS = 1_000_000


def stamps(count: int = 600, period_ms: float = 100.0) -> np.ndarray:
    """Return the stamps of a steady stream."""
    return START + (np.arange(count) * period_ms * MS).astype(np.int64)


def topic(name: str, measured: np.ndarray, late_ms: float = 10.0, logged: np.ndarray | None = None,
          kind: str = 'sensor_msgs/msg/PointCloud2') -> Topic:
    """Return the figures of a topic whose messages are logged `late_ms` after their stamps."""
    logged = measured + int(late_ms * MS) if logged is None else logged
    return Topic(name, kind, len(measured), 1000.0, rhythm(measured), rhythm(logged), order(measured),
                 clock(measured, logged))


def good() -> Figures:
    """Return the figures of a raw bag without faults."""
    delta = Spread(-1.0, 0.5, 2.0, 3.0)
    pairing = Pairing(600, 600, tuple(
        CameraPairing(name, 600, delta, Histogram((-1.0, 2.0), (600,)), 5.0, 0.6, 0.6) for name in ('front', 'left')))
    cameras = tuple(CameraFigures(name, f'/{name}/image', 'plumb_bob', 1600, 900, (1000.0, 1000.0, 800.0, 450.0), 1600,
                                  900, 'jpeg', calibrations=1, bright=0.01, dark=0.05, sharpness=300.0)
                    for name in ('front', 'left'))
    frames = Frames('odom\n  base_link', (Edge('odom', 'base_link', False, 3000, 50.0, 0.02),
                                          Edge('base_link', 'lidar', True)),
                    (Chain('camera front', 'lidar', 'front_optical', 600, 600),
                     Chain('camera left', 'lidar', 'left_optical', 600, 600),
                     Chain('fixed frame', 'lidar', 'odom', 600, 600)))
    drive = Drive(600, 540.0, Spread(7.0, 9.0, 11.0, 12.0), 0.05, 0, Curve(START, (0.0, 60.0), (9.0, 9.0)))
    return Figures('drive', Source.RAW, 60.0, START, START + 10 * MS, 10 ** 9, 'mcap', (), (
        topic('/points', stamps()), topic('/front/image', stamps(), kind='sensor_msgs/msg/Image'),
        topic('/left/image', stamps(), kind='sensor_msgs/msg/Image')),
        Lidar('/points', 'lidar', 120_000, 0.0, 80.0, ('intensity', 'time', 'ring'), 0.4), cameras, pairing, frames,
        drive=drive)


def with_topic(figures: Figures, changed: Topic) -> Figures:
    """Return the figures with a topic in place of the one of its name, or added."""
    others = tuple(topic for topic in figures.topics if topic.name != changed.name)
    return replace(figures, topics=others + (changed,))
