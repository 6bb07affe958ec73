# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Inspects a bag of pairs: what it holds. What was lost while recording it, it cannot know."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ros_kd.bags import codec, layout
from ros_kd.bags.raw.motion import TransformReader
from ros_kd.bags.reader import PairedBag
from ros_kd.bags.store import MessageStore
from ros_kd.extrinsics import Trajectory
from ros_kd.frames import PairedFrame
from ros_kd.inspection.drawing import Style
from ros_kd.inspection.figures import CameraFigures, CameraPairing, Figures, Frames, Mounting, Pairing, Source
from ros_kd.inspection.inspected import (BROKEN, Drawing, Inspected, camera_of_views, camera_pairing, draw_spread,
                                         size_of, storage_of, text_of)
from ros_kd.inspection.motion import drive, mounting
from ros_kd.inspection.samples import lidar_figures, spread
from ros_kd.inspection.streams import read_topics
from ros_kd.inspection.timing import rhythm

_PAYLOADS = 8  # pairs that are decoded
_TRANSFORMS = 4000  # pairs whose extrinsics are compared


class _Pairs:
    """The pairs of a bag, and its messages."""

    def __init__(self, path: Path, store: MessageStore) -> None:
        self.bag, self.store = PairedBag(path), store
        self.trajectory = self.bag.read_trajectory()
        self.broken: list[str] = []
        self.frames = [frame for number in spread(len(self.bag), _PAYLOADS)
                       if (frame := self._frame(number)) is not None]

    def _frame(self, number: int) -> PairedFrame | None:
        try:
            return self.bag[number]
        except BROKEN as error:
            self.broken.append(f'pair {number + 1} of {len(self.bag)} cannot be read: {text_of(error)}')
            return None


def inspect_pairs(path: Path, store: MessageStore, style: Style, count: int) -> Inspected:
    """Inspect a bag of pairs and draw `count` of them. Raises BagError if it cannot be read."""
    pairs = _Pairs(path, store)
    bag, stamps = pairs.bag, pairs.bag.stamps
    drawing = draw_spread(bag, style, count) if len(bag) else Drawing()
    topics, _ = read_topics(store, False)
    tree = _tree(store)
    cameras = tuple(camera for camera in bag.rig.cameras if len(store.stamps(camera.image)))
    return Inspected(Figures(
        path.name, Source.PAIRS, (int(stamps[-1]) - int(stamps[0])) / 1e9 if len(stamps) else 0.0,
        *([int(stamps[0])] * 2 if len(stamps) else [0, 0]), size_of(path), storage_of(path), store.warnings, topics,
        lidar_figures(bag.rig.points, [frame.scan for frame in pairs.frames], drawing.seen),
        tuple(_camera(pairs, camera) for camera in cameras),
        Pairing(len(bag), len(bag), tuple(_pairing(store, camera) for camera in cameras), rhythm=rhythm(stamps)),
        Frames(tree, (), ()) if tree else None,
        tuple(found for camera in cameras if (found := _mounting(store, camera, pairs.trajectory)) is not None),
        drawing.fits, drive(pairs.trajectory), tuple(dict.fromkeys(pairs.broken + drawing.broken))), drawing.drawn)


def _tree(store: MessageStore) -> str:
    reader = TransformReader(store)
    for topic in reader.topics():
        for number in range(len(store.stamps(topic))):
            reader.add(topic, number)
    return reader.tree.as_text()


def _camera(pairs: _Pairs, topics: layout.CameraTopics) -> CameraFigures:
    views = [view for frame in pairs.frames for view in frame.views if view.name == topics.name]
    known = (pairs.store.read(topics.camera_info, number)
             for number in range(len(pairs.store.stamps(topics.camera_info))))
    calibrations = len({bytes(info[layout.CONTENT:]) for info in known})  # each file of the bag repeats it
    if not views:
        return CameraFigures(topics.name, topics.image, calibrations=calibrations,
                             problem='; '.join(pairs.broken[:1]) or 'none of the pairs looked at has an image of it')
    return camera_of_views(topics.name, views, topics.image, calibrations)


def _pairing(store: MessageStore, topics: layout.CameraTopics) -> CameraPairing:
    """The header of the extrinsics has the image's stamp; the pair is logged at the scan's."""
    logged = store.stamps(topics.extrinsics)
    stamps = np.array([layout.header_stamp(store.head(topics.extrinsics, number, 16))
                       for number in range(len(logged))], np.int64)
    return camera_pairing(topics.name, stamps - logged)


def _mounting(store: MessageStore, topics: layout.CameraTopics, trajectory: Trajectory | None) -> Mounting | None:
    numbers = spread(len(store.stamps(topics.extrinsics)), _TRANSFORMS)
    if not numbers:
        return None
    messages: list[Any] = [codec.read(store.read(topics.extrinsics, number), layout.TRANSFORM) for number in numbers]
    return mounting(topics.name, np.stack([codec.matrix_of(message.transform.translation, message.transform.rotation)
                                           for message in messages]),
                    np.array([codec.stamp_of(message.header) for message in messages], np.int64),
                    store.stamps(topics.extrinsics)[numbers], trajectory)
