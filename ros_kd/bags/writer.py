# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Writes bags of paired frames; see layout.py."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np
from rosbags.interfaces import Connection, Qos, QosDurability, QosHistory, QosLiveliness, QosReliability, QosTime
from rosbags.rosbag2 import StoragePlugin, Writer, WriterError

from ros_kd.bags import BagError, codec, layout
from ros_kd.frames import CameraView, PairedFrame
from ros_kd.taxonomy import Taxonomy

Raw = bytes | memoryview

_METADATA_VERSION = 8  # the newest that Humble's rosbag2 still reads
_TIME = QosTime(0, 0)
_LATCHED_QOS = Qos(QosHistory.KEEP_LAST, 1, QosReliability.RELIABLE, QosDurability.TRANSIENT_LOCAL, _TIME, _TIME,
                   QosLiveliness.SYSTEM_DEFAULT, _TIME, False)
_BODY = 12  # of a message with a header: CDR encapsulation and stamp come before


@dataclass(frozen=True)
class RawView:
    """A camera's part of a pair, serialised as the camera published it.

    lidar_to_camera: float64 [4, 4], LiDAR at the scan's stamp to camera at the image's stamp. labels: mono8 Image.
    """

    camera: str
    image: Raw
    camera_info: Raw
    lidar_to_camera: np.ndarray
    labels: Raw | None = None


@dataclass(frozen=True)
class RawPair:
    """A scan (serialised PointCloud2), the images paired with it, and the LiDAR's pose [4, 4] in the fixed frame."""

    cloud: Raw
    views: tuple[RawView, ...]
    world_from_lidar: np.ndarray | None = None


class PairedBagWriter:
    """Writes pairs to a new bag; use it as a context manager, or call `close`.

    Messages are written as the bytes they arrived in. The bag is readable once it is closed; a bag without pairs is
    removed. Raises BagError if `path` exists or cannot be made.
    """

    def __init__(self, path: Path | str, rig: layout.Rig) -> None:
        self.path, self.rig, self.pairs = Path(path), rig, 0
        self._types, self._latched_topics = rig.types(), rig.latched()
        self._connections: dict[str, Connection] = {}
        self._latched: dict[str, list[Raw]] = {}
        self._due: list[tuple[str, Raw]] = [(layout.RIG, codec.string(rig.to_json()))]
        self._last_stamp = -1
        self._bag = Writer(self.path, version=_METADATA_VERSION, storage_plugin=StoragePlugin.MCAP) \
            if not self.path.exists() else None
        if self._bag is None:
            raise BagError(f'{self.path} exists already: choose another output, or move it away')
        try:
            self._bag.open()
        except (OSError, WriterError) as error:
            raise BagError(f'cannot make the bag {self.path}: {error}') from None

    def latch(self, topic: str, raw: Raw) -> bool:
        """Write a latched message before the next pair, unless the topic's last one had the same content.

        On /tf_static, which many nodes publish, every message counts, not only the last. Returns whether it is new.
        Raises BagError for a topic that the layout does not know.
        """
        if topic not in self._latched_topics:
            raise BagError(f'{topic} is no latched topic of the bag; those are {sorted(self._latched_topics)}')
        begin = _BODY if self._types[topic] == layout.CAMERA_INFO else 0
        known = self._latched.get(topic, [])
        if any(old[begin:] == raw[begin:] for old in known):
            return False
        self._latched[topic] = known + [raw] if topic == layout.TF_STATIC else [raw]
        self._due.append((topic, raw))
        return True

    def latch_taxonomy(self, topic: str, taxonomy: Taxonomy) -> bool:
        """As `latch`, with the taxonomy of a label_info topic."""
        return self.latch(topic, codec.string(taxonomy.to_json()))

    def write(self, pair: RawPair) -> None:
        """Write a pair at its scan's stamp.

        Raises BagError if the stamp does not rise, a camera is not in the rig, or the disk refuses.
        """
        stamp = layout.header_stamp(pair.cloud)
        if stamp <= self._last_stamp:
            raise BagError(f'scan at {stamp} ns comes after one at {self._last_stamp} ns: stamps in a bag must rise')
        messages = [message for view in pair.views for message in self._view(view, stamp)]
        if pair.world_from_lidar is not None:
            frame = self.rig.fixed_frame or 'world'
            messages.append((self.rig.pose, codec.pose(pair.world_from_lidar, stamp, frame)))
        messages.append((self.rig.points, pair.cloud))
        for topic, raw in self._due + messages:
            self._write(topic, stamp, raw)
        self._due.clear()
        self._last_stamp = stamp
        self.pairs += 1

    def _view(self, view: RawView, stamp: int) -> list[tuple[str, Raw]]:
        topics = self.rig.camera(view.camera)
        self.latch(topics.camera_info, view.camera_info)
        frame = layout.header_frame(view.image) or topics.frame_id
        messages = [(topics.image, view.image), (topics.extrinsics, codec.transform(
            view.lidar_to_camera, layout.header_stamp(view.image), frame, self.rig.lidar_frame))]
        return messages if view.labels is None else messages + [(topics.labels, view.labels)]

    def _write(self, topic: str, stamp: int, raw: Raw) -> None:
        if self._bag is None:
            raise BagError(f'{self.path} is closed already')
        try:
            if topic not in self._connections:
                qos = (_LATCHED_QOS,) if topic in self._latched_topics else ()
                self._connections[topic] = self._bag.add_connection(
                    topic, self._types[topic], typestore=codec.typestore(), offered_qos_profiles=qos)
            self._bag.write(self._connections[topic], stamp, raw)
        except OSError as error:
            raise BagError(f'cannot write to {self.path}: {error}') from None

    def write_frame(self, frame: PairedFrame) -> None:
        """Write a frame of any dataset; encoded images and image files keep their bytes. Raises as `write` does."""
        scan = frame.scan
        if scan.taxonomy is not None:
            self.latch_taxonomy(self.rig.label_info, scan.taxonomy)
        for view in frame.views:
            if view.label_pixels is not None and view.taxonomy is not None:
                self.latch_taxonomy(self.rig.camera(view.name).label_info, view.taxonomy)
        self.write(RawPair(codec.cloud(scan), tuple(map(_raw_view, frame.views)), frame.world_from_lidar))

    @property
    def size(self) -> int:
        """Bytes that the bag's files have on disk by now."""
        return sum(file.stat().st_size for file in self.path.glob('*')) if self.path.exists() else 0

    def close(self) -> None:
        """Finish the bag with its index and metadata. Raises BagError if the disk refuses."""
        bag, self._bag = self._bag, None
        if bag is None:
            return
        try:
            if self.pairs:
                bag.close()
            else:
                bag.abort()
                (self.path / f'{self.path.name}.mcap').unlink()
                self.path.rmdir()
        except OSError as error:
            raise BagError(f'cannot finish {self.path}: {error}') from None

    def __enter__(self) -> PairedBagWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.close()  # after an error too: the pairs so far are complete


def _raw_view(view: CameraView) -> RawView:
    frame_id = view.frame_id or view.name
    labels = view.labels()
    return RawView(view.name, codec.image(view.pixels, view.stamp, frame_id),
                   codec.camera_info(view.camera, view.stamp, frame_id), view.lidar_to_camera,
                   None if labels is None else codec.raw_image(labels, view.stamp, frame_id))


def rig_of(frame: PairedFrame, fixed_frame: str = 'world') -> layout.Rig:
    """Return the rig of a dataset, as its first frame shows it."""
    cameras = tuple(layout.CameraTopics.under(view.name, view.frame_id or view.name, codec.is_compressed(view.pixels))
                    for view in frame.views)
    return layout.Rig(cameras, lidar_frame=frame.scan.frame_id, intensity_scale=1.0,
                      fixed_frame='' if frame.world_from_lidar is None else fixed_frame)
