# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""What of a raw bag is paired: the LiDAR and the cameras."""

from __future__ import annotations

from dataclasses import dataclass

from ros_kd.bags import BagError, layout
from ros_kd.bags.discovery import CameraInputs, find_camera, find_cameras
from ros_kd.bags.store import MessageStore


@dataclass(frozen=True)
class RawSettings:
    """How a raw bag is paired.

    points: topic of the LiDAR ('' = the only one). cameras: names (empty = all that there are). fixed_frame: the frame
    in which the vehicle's motion is known (None: odom, or else map; '' = leave the motion out). slop: largest time
    between the messages of a pair, s. deskew: move points to the scan's stamp. every, frames: each n-th pair, at most
    so many (0 = all). Raises BagError for a number that makes no sense.
    """

    points: str = ''
    cameras: tuple[str, ...] = ()
    fixed_frame: str | None = None
    slop: float = 0.1
    deskew: bool = False
    every: int = 1
    frames: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.slop < 3600:
            raise BagError(f'slop={self.slop}: expected seconds, more than 0')
        if self.every < 1 or self.frames < 0:
            raise BagError(f'every={self.every}, frames={self.frames}: expected every >= 1 and frames >= 0 (0 = all)')


def heard(store: MessageStore) -> dict[str, list[str]]:
    """Return the types of the topics that have messages."""
    return {topic: [kind] for topic, kind in store.types.items() if len(store.stamps(topic))}


def find_inputs(store: MessageStore, settings: RawSettings) -> tuple[str, tuple[CameraInputs, ...]]:
    """Return the LiDAR's topic and the cameras. Raises BagError that lists what there is to choose from."""
    graph = heard(store)
    names = [name.strip('/') for name in settings.cameras]
    cameras = [find_camera(graph, name) for name in names] if names else find_cameras(graph)
    if not cameras or None in cameras:
        missing = ', '.join(f'"{name}"' for name, camera in zip(names, cameras) if camera is None)
        raise BagError(f'no camera {missing or "at all"}: expected messages on <camera>/camera_info (CameraInfo) and '
                       f'<camera>/image or others below <camera>/. Cameras there are: '
                       f'{[camera.name for camera in find_cameras(graph)] or "none"}; topics: {_listing(store)}')
    return _points(store, graph, settings.points), tuple(cameras)


def _points(store: MessageStore, graph: dict[str, list[str]], wanted: str) -> str:
    clouds = [topic for topic, kinds in graph.items() if layout.CLOUD in kinds]
    if wanted:
        clouds = [topic for topic in clouds if topic == '/' + wanted.lstrip('/')]
    if len(clouds) != 1:
        problem = f'{len(clouds)} topics have clouds: name one, points=TOPIC' if clouds else \
            f'no clouds on {wanted or "any topic"}'
        raise BagError(f'{problem}. Clouds there are: {_listing(store, layout.CLOUD)}')
    return clouds[0]


def _listing(store: MessageStore, only: str = '') -> str:
    return '; '.join(f'{topic} ({kind}, {_rate(store, topic)})' for topic, kind in sorted(store.types.items())
                     if not only or kind == only) or 'none'


def _rate(store: MessageStore, topic: str) -> str:
    stamps = store.stamps(topic)
    seconds = (int(stamps[-1]) - int(stamps[0])) * 1e-9 if len(stamps) else 0.0
    return f'{len(stamps)} messages' + (f', {(len(stamps) - 1) / seconds:.1f} Hz' if seconds > 0 else '')
