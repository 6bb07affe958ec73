# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Writes bags of paired frames; see layout.py."""

from __future__ import annotations

import errno
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Iterator

import numpy as np

from ros_kd.bags import BagError, codec, layout
from ros_kd.bags.folder import BagFolder
from ros_kd.bags.mcap.records import Raw
from ros_kd.bags.topics import topics_of
from ros_kd.frames import CameraView, PairedFrame
from ros_kd.taxonomy import Taxonomy

COMPRESSIONS = ('none', 'zstd')
_OVERHEAD = 256  # bytes, more than a message costs in a file beside itself


@dataclass(frozen=True)
class Storage:
    """How a bag is stored.

    max_bytes, max_seconds (of scan stamps): size of a file before the next one begins, 0 = no limit. compression:
    'none', or 'zstd' of each pair. Raises BagError for anything else.
    """

    max_bytes: int = 0
    max_seconds: float = 0
    compression: str = 'none'

    def __post_init__(self) -> None:
        if self.compression not in COMPRESSIONS:
            raise BagError(f'compression "{self.compression}" is unknown: expected one of {list(COMPRESSIONS)}')
        if self.max_bytes < 0 or self.max_seconds < 0:
            raise BagError(f'files of {self.max_bytes} bytes or {self.max_seconds} s: expected 0 (no limit) or more')


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

    @property
    def size(self) -> int:
        """Bytes of the messages."""
        return len(self.cloud) + sum(len(view.image) + len(view.labels or b'') for view in self.views)


class PairedBagWriter:
    """Writes pairs to a new bag; use it as a context manager, or call `close`.

    Messages are written as the bytes they arrived in. After a SIGKILL all pairs are in the bag that `write` returned
    for. After an error of the disk they are, too; the bag takes no more pairs and may still be closed. A bag without
    pairs is removed. All but `sync`, which any thread may call, belong to one thread.
    Raises BagError if `path` exists or cannot be made.
    """

    def __init__(self, path: Path | str, rig: layout.Rig, storage: Storage = Storage()) -> None:
        self.path, self.rig, self.pairs = Path(path), rig, 0
        self._storage, self._types, self._topics = storage, rig.types(), topics_of(rig)
        self._described = sum(len(part.record()) for topic in self._topics.values()
                              for part in (topic.channel, topic.schema))
        self._latched: dict[str, list[Raw]] = {layout.RIG: [codec.string(rig.to_json())]}
        self._due: list[tuple[str, Raw]] = []
        self._last_stamp = -1
        self._error: BagError | None = None
        self._closed = False
        if self.path.exists():
            raise BagError(f'{self.path} exists already: choose another output, or move it away')
        try:
            self._folder = BagFolder(self.path, storage.compression.replace('none', ''))
        except OSError as error:
            raise BagError(f'cannot make the bag {self.path}: {error}') from None

    @property
    def files(self) -> list[Path]:
        """The bag's storage files so far."""
        return list(self._folder.paths)

    @property
    def size(self) -> int:
        """Bytes that the bag's files have on disk by now."""
        return self._folder.size

    def latch(self, topic: str, raw: Raw) -> bool:
        """Write a latched message before the next pair, unless the topic's last one had the same content.

        On /tf_static, which many nodes publish, every message counts, not only the last. Returns whether it is new.
        Raises BagError for a topic that the layout does not know.
        """
        if topic not in self.rig.latched():
            raise BagError(f'{topic} is no latched topic of the bag; those are {sorted(self.rig.latched())}')
        begin = layout.CONTENT if self._types[topic] == layout.CAMERA_INFO else 0
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
        with self._disk():
            stamp = layout.header_stamp(pair.cloud)
            if stamp <= self._last_stamp:
                raise BagError(f'scan at {stamp} ns comes after one at {self._last_stamp} ns: stamps in a bag must '
                               'rise')
            messages = self._messages(pair, stamp)
            if self._is_full(stamp, messages):
                self._folder.split()
            latched = self._due if self._folder.file_start is not None else \
                [(topic, raw) for topic, known in self._latched.items() for raw in known]
            self._folder.write(stamp, [(self._topics[topic], raw) for topic, raw in latched + messages])
            self._due = []
            self._last_stamp = stamp
            self.pairs += 1

    def _messages(self, pair: RawPair, stamp: int) -> list[tuple[str, Raw]]:
        messages = [message for view in pair.views for message in self._view(view, stamp)]
        if pair.world_from_lidar is not None:
            frame = self.rig.fixed_frame or 'world'
            messages.append((self.rig.pose, codec.pose(pair.world_from_lidar, stamp, frame)))
        return messages + [(self.rig.points, pair.cloud)]

    def _view(self, view: RawView, stamp: int) -> list[tuple[str, Raw]]:
        topics, image_stamp = self.rig.camera(view.camera), layout.header_stamp(view.image)
        self.latch(topics.camera_info, view.camera_info)
        frame = layout.header_frame(view.image) or topics.frame_id
        extrinsics = codec.transform(view.lidar_to_camera, image_stamp, frame, self.rig.lidar_frame)
        messages = [(topics.image, view.image), (topics.extrinsics, extrinsics),
                    (topics.delta_t, codec.float64((image_stamp - stamp) * 1e-9))]
        return messages if view.labels is None else messages + [(topics.labels, view.labels)]

    def _is_full(self, stamp: int, messages: list[tuple[str, Raw]]) -> bool:
        start, limits = self._folder.file_start, self._storage
        if start is None:
            return False
        size = self._folder.file_size + sum(len(raw) + _OVERHEAD for _, raw in self._due + messages) \
            + 2 * self._described  # in front of the messages and at the end of the file
        return 0 < limits.max_bytes < size or 0 < limits.max_seconds * 1e9 <= stamp - start

    def write_frame(self, frame: PairedFrame) -> None:
        """Write a frame of any dataset; encoded images and image files keep their bytes. Raises as `write` does."""
        scan = frame.scan
        if scan.taxonomy is not None:
            self.latch_taxonomy(self.rig.label_info, scan.taxonomy)
        for view in frame.views:
            if view.label_pixels is not None and view.taxonomy is not None:
                self.latch_taxonomy(self.rig.camera(view.name).label_info, view.taxonomy)
        self.write(RawPair(codec.cloud(scan), tuple(map(_raw_view, frame.views)), frame.world_from_lidar))

    def split(self) -> None:
        """Finish the file now; the next pair begins another, in which all that is latched comes again.

        Raises BagError if the disk refuses.
        """
        with self._disk():
            self._folder.split()

    def sync(self) -> None:
        """Force what was written onto the disk, so that a power cut cannot take it. Raises BagError if it refuses."""
        try:
            self._folder.sync()
        except OSError as error:
            raise BagError(f'the disk of {self.path} failed: {error.strerror}; the last seconds may be lost: record to '
                           'another disk') from None

    def close(self) -> None:
        """Finish the bag with its index and metadata.

        Raises BagError if the disk refuses: the pairs are safe and can be read, but the bag is left unfinished.
        """
        if self._closed:
            return
        self._closed = True
        try:
            self._folder.close()
        except OSError as error:
            self._folder.abandon()
            raise BagError(f'cannot finish {self.path}: {error.strerror}. Its {self.pairs} pairs are safe and can be '
                           f'read; {_remedy(error)}, then `ros2 run ros_kd recover {self.path}` finishes it') from None

    @contextmanager
    def _disk(self) -> Iterator[None]:
        """Turn what the disk refuses into an error that holds from then on."""
        if self._closed:
            raise BagError(f'{self.path} is closed already')
        if self._error is not None:
            raise BagError(str(self._error))
        try:
            yield
        except OSError as error:
            self._error = BagError(f'cannot write to {self.path}: {error.strerror}. The {self.pairs} pairs so far are '
                                   f'safe; {_remedy(error)}, then record to a new bag')
            raise self._error from None

    def __enter__(self) -> PairedBagWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.close()  # after an error too: the pairs so far are complete


def _remedy(error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return 'free space on the disk'
    if error.errno == errno.EFBIG:
        return 'allow larger files (`ulimit -f unlimited`, or another file system) or split them'
    return 'check the disk'


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
