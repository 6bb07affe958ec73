# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Where each message of an mcap bag lies, from the index that the file carries; the payloads stay on disk.

Record layouts: https://mcap.dev/spec (Message Index, Chunk, Message).
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rosbags.rosbag2 import Reader, ReaderError
from rosbags.rosbag2.storage_mcap import ChunkInfo, McapReader, decompress

from ros_kd.bags import BagError

_ENTRY = np.dtype([('stamp', '<u8'), ('offset', '<u8')])
_PLACE = np.dtype([('stamp', '<i8'), ('offset', '<u8'), ('chunk', '<u4')])
_RECORD, _CHUNK_HEADER, _MESSAGE_HEADER = 9, 40, 22


@dataclass(frozen=True)
class Chunk:
    """A chunk: its file, and where its compressed records begin."""

    file: int
    start: int
    info: ChunkInfo


@dataclass
class BagIndex:
    """The messages of a bag by topic, in the order of their log times.

    Reads with pread, so that threads and forked workers share one. Raises BagError where the bag is missing, unfinished
    or without an index.
    """

    path: Path
    types: dict[str, str] = field(default_factory=dict)
    _places: dict[str, np.ndarray] = field(default_factory=dict)
    _chunks: list[Chunk] = field(default_factory=list)
    _files: list[int] = field(default_factory=list)
    _last: tuple[int, bytes] = (-1, b'')

    def __post_init__(self) -> None:
        reader = _open(self.path)
        try:
            places: dict[str, list[np.ndarray]] = {}
            for storage in getattr(reader.storage, 'storages', [reader.storage]):
                self._add(storage, places)
        finally:
            reader.close()
        for topic, parts in places.items():
            joined = np.concatenate(parts)
            self._places[topic] = joined[np.argsort(joined['stamp'], kind='stable')]

    def _add(self, storage: McapReader, places: dict[str, list[np.ndarray]]) -> None:
        if not isinstance(storage, McapReader):
            raise BagError(f'{self.path} is no mcap bag: convert it with `ros2 bag convert`')
        if storage.metadata.message_count and not storage.chunks:
            raise BagError(f'{storage.path} has no chunk index: rewrite it with `mcap recover` or `ros2 bag convert`')
        topics = {connection.id: connection.topic for connection in storage.connections}
        self.types |= {connection.topic: connection.msgtype for connection in storage.connections}
        self._files.append(os.open(storage.path, os.O_RDONLY | getattr(os, 'O_CLOEXEC', 0)))
        for info in storage.chunks:
            start = info.chunk_start_offset + _RECORD + _CHUNK_HEADER + len(info.compression)
            self._chunks.append(Chunk(len(self._files) - 1, start, info))
            for channel, entries in self._message_indices(info).items():
                part = np.empty(len(entries), _PLACE)
                part['stamp'], part['offset'] = entries['stamp'], entries['offset']
                part['chunk'] = len(self._chunks) - 1
                places.setdefault(topics[channel], []).append(part)

    def _message_indices(self, info: ChunkInfo) -> dict[int, np.ndarray]:
        raw = self._pread(len(self._files) - 1, info.message_index_length, info.chunk_start_offset + info.chunk_length)
        found, at = {}, 0
        while at < len(raw):
            (length,) = struct.unpack_from('<Q', raw, at + 1)
            channel, size = struct.unpack_from('<HI', raw, at + _RECORD)
            if size:
                found[channel] = np.frombuffer(raw, _ENTRY, size // _ENTRY.itemsize, at + _RECORD + 6)
            at += _RECORD + length
        return found

    def _pread(self, file: int, size: int, offset: int) -> bytes:
        data = os.pread(self._files[file], size, offset)
        if len(data) != size:
            raise BagError(f'{self.path} ends at {len(data)} of {size} bytes of a record at {offset}: the file is '
                           'truncated; copy it again')
        return data

    def stamps(self, topic: str) -> np.ndarray:
        """Return the log times of a topic's messages, int64 [M], ns, rising."""
        return self._places[topic]['stamp'] if topic in self._places else np.empty(0, np.int64)

    def at(self, topic: str, stamp: int) -> bytes | memoryview | None:
        """Return the first message of a topic that was logged exactly at `stamp` (ns), serialised, or None."""
        stamps = self.stamps(topic)
        position = int(np.searchsorted(stamps, stamp))
        return self.read(topic, position) if position < len(stamps) and stamps[position] == stamp else None

    def before(self, topic: str, stamp: int) -> int:
        """Return the number of the last message of a topic logged at or before `stamp` (ns), -1 if there is none."""
        return int(np.searchsorted(self.stamps(topic), stamp, 'right')) - 1

    def read(self, topic: str, number: int) -> bytes | memoryview:
        """Return a topic's message by its number in the order of log times, serialised."""
        place = self._places[topic][number]
        number, offset = int(place['chunk']), int(place['offset'])
        chunk = self._chunks[number]
        if chunk.info.compression:
            records = self._decompressed(number)
            (length,) = struct.unpack_from('<Q', records, offset + 1)
            return memoryview(records)[offset + _RECORD + _MESSAGE_HEADER:offset + _RECORD + length]
        (length,) = struct.unpack('<Q', self._pread(chunk.file, 8, chunk.start + offset + 1))
        return self._pread(chunk.file, length - _MESSAGE_HEADER, chunk.start + offset + _RECORD + _MESSAGE_HEADER)

    def _decompressed(self, number: int) -> bytes:
        last, records = self._last
        if last != number:
            chunk = self._chunks[number]
            data = self._pread(chunk.file, chunk.info.compressed_size, chunk.start)
            records = decompress(data, chunk.info.compression, chunk.info.uncompressed_size, 0)
            self._last = (number, records)
        return records

    def close(self) -> None:
        """Close the files."""
        files, self._files = self._files, []
        for file in files:
            os.close(file)

    def __del__(self) -> None:
        self.close()

    def __reduce__(self) -> Any:
        return BagIndex, (self.path,)


def is_bag(path: Path) -> bool:
    """Tell whether `path` is a rosbag2 folder (finished or not) or a storage file of one."""
    if path.is_dir():
        return (path / 'metadata.yaml').exists() or any(path.glob('*.mcap')) or any(path.glob('*.db3'))
    return path.suffix in ('.mcap', '.db3')


def _open(path: Path) -> Reader:
    if not path.exists() or not is_bag(path):
        raise BagError(f'no bag at {path}: expected a rosbag2 folder with metadata.yaml, or an .mcap file')
    if path.is_dir() and not (path / 'metadata.yaml').exists():
        raise BagError(f'{path} has no metadata.yaml: recording it did not finish. Rebuild the index of its files with '
                       '`mcap recover`, then the metadata with `ros2 bag reindex`')
    try:
        reader = Reader(path)
        reader.open()
    except (ReaderError, FileNotFoundError, OSError, EOFError, TypeError) as error:
        raise BagError(f'{path} is damaged or was not finished ({str(error).rstrip(".")}): was recording killed, or '
                       'the copy cut short? `mcap recover FILE -o NEW_FILE` saves what is in it') from None
    return reader
