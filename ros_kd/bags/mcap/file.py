# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Writes an mcap file by whole chunks, each handed to the kernel in one call straight from the messages' memory."""

from __future__ import annotations

import fcntl
import os
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Sequence

from ros_kd.bags.mcap.records import (MESSAGE, MESSAGE_FIELDS, Channel, ChunkHead, Op, Raw, Schema, crc32, header,
                                      message_index, zstd)
from ros_kd.bags.mcap.summary import Summary

LEVEL = 1  # of zstd: recording must keep up with the sensors
_AT_ONCE = os.sysconf('SC_IOV_MAX')


@dataclass(frozen=True)
class Topic:
    """A topic of a file: its channel and its message type."""

    channel: Channel
    schema: Schema


class McapFile:
    """A new mcap file. After a SIGKILL all chunks are in it that `write` returned for.

    size: bytes up to the end of the last chunk. All methods raise OSError where the disk refuses; what was written
    before stays whole, and all may be tried again. `sync` and `close` may be called from another thread.
    """

    def __init__(self, path: Path, compression: str = '') -> None:
        self.path, self.summary, self.size = path, Summary(), 0
        self._compression, self._closing = compression, threading.Lock()
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        with suppress(OSError):  # tells `recover` that somebody still writes; not every file system can
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        try:
            self._append([header()])
        except OSError:
            os.close(self._file)
            path.unlink()
            raise

    def write(self, stamp: int, messages: Sequence[tuple[Topic, Raw]]) -> None:
        """Append one chunk of serialised messages, logged at `stamp` (ns)."""
        fresh = {topic.channel.id: topic for topic, _ in messages if topic.channel.id not in self.summary.channels}
        schemas = {topic.schema.id: topic.schema for topic in fresh.values()
                   if topic.schema.id not in self.summary.schemas}
        parts: list[Raw] = [schema.record() for schema in schemas.values()]
        parts += [topic.channel.record() for topic in fresh.values()]
        at, entries = sum(map(len, parts)), {}
        for topic, raw in messages:
            entries.setdefault(topic.channel.id, []).append((stamp, at))
            parts += (MESSAGE.pack(Op.MESSAGE, MESSAGE_FIELDS + len(raw), topic.channel.id, 0, stamp, stamp), raw)
            at += MESSAGE.size + len(raw)
        indexes = b''.join(message_index(*entry) for entry in entries.items())
        offset = self.size
        head = self._append_chunk(stamp, at, parts, indexes)
        self.summary.schemas.update(schemas)
        self.summary.channels.update({number: topic.channel for number, topic in fresh.items()})
        self.summary.add_chunk(offset, head, indexes)

    def _append_chunk(self, stamp: int, size: int, parts: list[Raw], indexes: bytes) -> ChunkHead:
        crc = 0
        for part in parts:
            crc = crc32(part, crc)
        packed = _compressed(parts, size) if self._compression else parts
        head = ChunkHead(stamp, stamp, size, crc, self._compression, sum(map(len, packed)))
        self._append([head.record(), *packed, indexes])
        return head

    def finish(self) -> None:
        """Append the summary, with which readers find everything at once."""
        os.ftruncate(self._file, self.size)
        self._append([self.summary.records(self.size)])
        self.summary.forget_chunks()

    def sync(self) -> None:
        """Force what was written onto the disk."""
        with self._closing:
            file = os.dup(self._file) if self._file >= 0 else -1
        if file >= 0:
            try:
                os.fdatasync(file)
            finally:
                os.close(file)

    def close(self) -> None:
        """Close the file as it is."""
        with self._closing:
            file, self._file = self._file, -1
        if file >= 0:
            os.close(file)

    def _append(self, parts: Sequence[Raw]) -> None:
        """Write at the end of the last chunk; where that fails, leave the file as it was."""
        try:
            written = write_all(self._file, parts, self.size)
        except BaseException:
            with suppress(OSError):  # a torn end costs no more than a warning of the reader
                os.ftruncate(self._file, self.size)
            raise
        self.size += written


def write_all(file: int, parts: Sequence[Raw], offset: int) -> int:
    """Write all parts at `offset` of a file, uncopied; return their size. Raises OSError, maybe after some of them."""
    waiting = [memoryview(part) for part in parts if len(part)]
    size = sum(map(len, waiting))
    first = 0
    while first < len(waiting):
        written = os.pwritev(file, waiting[first:first + _AT_ONCE], offset)
        offset += written
        while first < len(waiting) and written >= len(waiting[first]):
            written -= len(waiting[first])
            first += 1
        if written:
            waiting[first] = waiting[first][written:]
    return size


def _compressed(parts: Sequence[Raw], size: int) -> list[bytes]:
    compressor = zstd.ZstdCompressor(level=LEVEL)
    compressor.set_pledged_input_size(size)  # some readers unpack into a buffer of the size that the frame names
    return [*map(compressor.compress, parts), compressor.flush()]
