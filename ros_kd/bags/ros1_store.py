# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Messages of a ROS 1 bag (format 2.0), handed out as ROS 2 serialises them (CDR); the payloads stay on disk.

Record layouts: http://wiki.ros.org/Bags/Format/2.0 (Chunk, Index data, Message data).
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rosbags.rosbag1 import Reader, ReaderError
from rosbags.rosbag1.reader import Chunk, RecordType, decompressors
from rosbags.serde import SerdeError

from ros_kd.bags import BagError, codec, layout

_PLACE = np.dtype([('stamp', '<i8'), ('chunk', '<i8'), ('offset', '<i8')])
_RENAMED = {'tf/msg/tfMessage': layout.TF_MESSAGE}
_HEADER = 'std_msgs/msg/Header'


@dataclass
class Ros1Store:
    """The messages of a .bag file (ros_kd.bags.store.MessageStore).

    Reads with pread, so that threads and forked workers share one. Raises BagError where the bag is missing, damaged or
    has no index.
    """

    path: Path
    types: dict[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    _places: dict[str, np.ndarray] = field(default_factory=dict)
    _chunks: dict[int, Chunk] = field(default_factory=dict)
    _file: int = -1
    _last: tuple[int, bytes] = (-1, b'')

    def __post_init__(self) -> None:
        reader = _open(self.path)
        try:
            places: dict[str, list[np.ndarray]] = {}
            for connection in reader.connections:
                topic = '/' + connection.topic.lstrip('/')
                self.types[topic] = _RENAMED.get(connection.msgtype, connection.msgtype)
                entries = np.array(reader.indexes[connection.id], np.int64).reshape(-1, 3)
                places.setdefault(topic, []).append(np.ascontiguousarray(entries).view(_PLACE)[:, 0])
            self._chunks = dict(reader.chunks)
        finally:
            reader.close()
        for topic, parts in places.items():
            joined = np.concatenate(parts)
            self._places[topic] = joined[np.argsort(joined['stamp'], kind='stable')]
        self._file = os.open(self.path, os.O_RDONLY | getattr(os, 'O_CLOEXEC', 0))

    def stamps(self, topic: str) -> np.ndarray:
        """Return the log times of a topic's messages, int64 [M], ns, rising."""
        return self._places[topic]['stamp'] if topic in self._places else np.empty(0, np.int64)

    def read(self, topic: str, number: int) -> memoryview:
        """Return a topic's message by its number in the order of log times, as CDR.

        Raises BagError where it is damaged or of a type that ROS 2 does not have.
        """
        kind = self.types[topic]
        try:
            return codec.typestore().ros1_to_cdr(self._message(topic, number), kind)
        except KeyError:
            raise BagError(f'{topic} is of type {kind}, which has no ROS 2 counterpart here') from None
        except SerdeError as error:
            raise BagError(f'message {number} on {topic} in {self.path} is damaged: {error}') from None

    def head(self, topic: str, number: int, size: int) -> bytes | memoryview:
        """Return the first `size` bytes of `read`; up to the end of a header without reading the rest."""
        _, fields = codec.typestore().fielddefs.get(self.types[topic], (None, ()))
        if fields and fields[0][1][1] == _HEADER:
            raw = self._message(topic, number, 12 + size)  # a sequence number is 4 more, the rest as long or shorter
            if len(raw) >= 16:
                (length,) = struct.unpack_from('<I', raw, 12)
                start = b'\0\1\0\0' + raw[4:12] + struct.pack('<I', length + 1) + raw[16:16 + length] + b'\0'
                if len(raw) >= 16 + length and len(start) >= size:
                    return start[:size]
        return self.read(topic, number)[:size]

    def _message(self, topic: str, number: int, size: int | None = None) -> bytes:
        """Return a message as ROS 1 serialised it, or its first `size` bytes."""
        place = self._places[topic][number]
        chunk, at = int(place['chunk']), int(place['offset'])
        while True:
            (length,) = struct.unpack('<I', self._take(chunk, at, 4))
            opcode = _opcode(self._take(chunk, at + 4, length))
            at += 4 + length
            (length,) = struct.unpack('<I', self._take(chunk, at, 4))
            at += 4
            if opcode != RecordType.CONNECTION:  # a connection may stand before its first message
                break
            at += length
        if opcode != RecordType.MSGDATA:
            raise BagError(f'{self.path} has no message where its index says that {number} of {topic} is: its index is '
                           'damaged; `rosbag reindex` makes a new one')
        return self._take(chunk, at, length if size is None else min(size, length))

    def _take(self, chunk: int, at: int, size: int) -> bytes:
        """Return bytes of a chunk's records."""
        info = self._chunks[chunk]
        if info.decompressor is decompressors['none']:
            data = os.pread(self._file, size, info.datapos + at)
        else:
            data = self._decompressed(chunk, info)[at:at + size]
        if len(data) != size:
            raise BagError(f'{self.path} ends within a message ({len(data)} of {size} bytes): the file is truncated; '
                           'copy it again')
        return data

    def _decompressed(self, number: int, info: Chunk) -> bytes:
        last, records = self._last
        if last != number:
            try:
                records = info.decompressor(os.pread(self._file, info.datasize, info.datapos))
            except (OSError, EOFError, ValueError, RuntimeError) as error:
                raise BagError(f'{self.path} has a damaged chunk at byte {number} ({error}): copy it again') from None
            self._last = (number, records)
        return records

    def close(self) -> None:
        """Close the file."""
        file, self._file = self._file, -1
        if file >= 0:
            os.close(file)

    def __del__(self) -> None:
        self.close()

    def __reduce__(self) -> Any:
        return Ros1Store, (self.path,)


def _opcode(header: bytes) -> int:
    """Return the field "op" of a record's header, 0 if it has none."""
    at = 0
    while at + 4 <= len(header):
        (length,) = struct.unpack_from('<I', header, at)
        if header[at + 4:at + 7] == b'op=' and length == 4:
            return header[at + 7]
        at += 4 + length
    return 0


def _open(path: Path) -> Reader:
    """Read the bag's index. Raises BagError."""
    if not path.is_file():
        raise BagError(f'no bag at {path}: expected a .bag file of ROS 1')
    try:
        reader = Reader(path)
        reader.open()
    except (ReaderError, AssertionError, struct.error, IndexError, OSError) as error:
        if 'not indexed' in str(error):
            raise BagError(f'{path} has no index: recording it did not finish. `rosbag reindex {path.name}` on a '
                           'machine with ROS 1 makes one from what is in it') from None
        raise BagError(f'{path} is damaged ({str(error).rstrip(".") or type(error).__name__}): was the copy cut short? '
                       f'Copy it again; if it came so from the vehicle, `rosbag reindex {path.name}` saves what is in '
                       'it') from None
    return reader
