# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""All of a raw bag that pairing needs, read in one pass: stamps, calibrations and transforms, no images or points."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import partial
from typing import Any

from ros_kd.bags import BagError, layout
from ros_kd.bags.discovery import CameraInputs, find_cameras
from ros_kd.bags.raw.headers import CalibrationReader, Calibrations, HeaderReader, Headers, read_in_order
from ros_kd.bags.raw.inputs import heard
from ros_kd.bags.raw.motion import TransformReader
from ros_kd.bags.store import MessageStore
from ros_kd.transforms import TransformTree


@dataclass(frozen=True, eq=False)
class CameraSource:
    """What a raw bag has of a camera. labels: label images by stamp, None if there are none."""

    inputs: CameraInputs
    images: Headers
    calibrations: Calibrations
    labels: Headers | None = None

    @property
    def frame_id(self) -> str:
        """The frame of the images."""
        return self.images.frame_id or self.calibrations.frame_id


@dataclass(frozen=True, eq=False)
class RawContents:
    """Scans, cameras and transforms of a raw bag. unreadable: messages that cannot be used, by topic and problem."""

    scans: Headers
    cameras: tuple[CameraSource, ...]
    transforms: TransformTree
    unreadable: Counter[str]


def read_contents(store: MessageStore, points: str, cameras: tuple[CameraInputs, ...]) -> RawContents:
    """Read what the topics of a LiDAR and its cameras say, and /tf and /tf_static."""
    readers: dict[str, Any] = {points: HeaderReader(store, points)}
    shared = _shared_frames(store)
    for camera in cameras:
        readers[camera.image] = HeaderReader(store, camera.image)
        readers[camera.camera_info] = CalibrationReader(store, camera.camera_info, camera.rectified,
                                                        _frame(store, camera.image) in shared)
        if camera.labels:
            readers[camera.labels] = HeaderReader(store, camera.labels)
    transforms = TransformReader(store)
    read_in_order(store, {topic: reader.add for topic, reader in readers.items()}
                  | {topic: partial(transforms.add, topic) for topic in transforms.topics()})
    found = {topic: reader.finish() for topic, reader in readers.items()}
    unreadable = Counter({f'{topic}: {problem}': count for topic, part in found.items() if isinstance(part, Headers)
                          for problem, count in part.unusable.items()})
    return RawContents(found[points], tuple(
        CameraSource(camera, found[camera.image], found[camera.camera_info], found.get(camera.labels))
        for camera in cameras), transforms.tree, unreadable + transforms.refused)


def _shared_frames(store: MessageStore) -> set[str]:
    """Return the frames of more than one camera: of stereo pairs whose right camera is in the left one's frame."""
    frames = Counter(_frame(store, camera.image) for camera in find_cameras(heard(store)))
    return {frame for frame, count in frames.items() if count > 1}


def _frame(store: MessageStore, topic: str) -> str:
    try:
        return layout.header_frame(store.head(topic, 0, 512))
    except BagError:
        return ''
