# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""The end of an mcap file: schemas, channels, where the chunks are, counts. Gathered while the file grows."""

from __future__ import annotations

import struct
import zlib
from collections import Counter
from typing import Iterator

from ros_kd.bags.mcap.records import (ENTRY, FOOTER, INDEX, MAGIC, RECORD, Channel, ChunkHead, Malformed, Op,
                                      Schema, record)

_NEVER = 2**63 - 1


class Summary:
    """What a file holds: schemas and channels by id, messages by channel, first and last log time (ns)."""

    def __init__(self) -> None:
        self.schemas: dict[int, Schema] = {}
        self.channels: dict[int, Channel] = {}
        self.counts: Counter[int] = Counter()
        self.start, self.end = _NEVER, 0
        self.attachments = self.metadata = 0
        self._chunks, self._chunk_count = bytearray(), 0

    @property
    def messages(self) -> int:
        """Messages of all channels."""
        return sum(self.counts.values())

    @property
    def chunk_bytes(self) -> int:
        """Bytes that the places of the chunks take at the end of the file."""
        return len(self._chunks)

    def add_chunk(self, offset: int, head: ChunkHead, indexes: bytes) -> None:
        """Add the chunk at `offset` in the file, with its Message Index records, which stand right after it."""
        length, places = head.length + head.size, b''
        for channel, count, at in index_records(indexes):
            places += struct.pack('<HQ', channel, offset + length + at)
            self.counts[channel] += count
        self._chunks += record(
            Op.CHUNK_INDEX, struct.pack('<QQQQI', head.start, head.end, offset, length, len(places)), places,
            struct.pack('<QI', len(indexes), len(head.compression)), head.compression.encode(),
            struct.pack('<QQ', head.size, head.unpacked))
        self._chunk_count += 1
        self.span(head.start, head.end)

    def span(self, start: int, end: int) -> None:
        """Stretch the time of the file to log times (ns) of its messages."""
        self.start, self.end = min(self.start, start), max(self.end, end)

    def forget_chunks(self) -> None:
        """Let go of where the chunks are, which is most of the memory, once it is written."""
        self._chunks = bytearray()

    def records(self, offset: int) -> bytes:
        """Return all that comes after the data of the file, which end at `offset`."""
        data_end = record(Op.DATA_END, bytes(4))
        groups = ((Op.SCHEMA, b''.join(schema.record() for schema in self.schemas.values())),
                  (Op.CHANNEL, b''.join(channel.record() for channel in self.channels.values())),
                  (Op.CHUNK_INDEX, bytes(self._chunks)), (Op.STATISTICS, self._statistics()))
        start = at = offset + len(data_end)
        offsets = b''
        for opcode, group in groups:
            if group:
                offsets += record(Op.SUMMARY_OFFSET, struct.pack('<BQQ', opcode, at, len(group)))
            at += len(group)
        body = b''.join(group for _, group in groups) + offsets
        footer = FOOTER.pack(Op.FOOTER, FOOTER.size - RECORD.size, start, at, 0)[:-4]
        return data_end + body + footer + struct.pack('<I', zlib.crc32(footer, zlib.crc32(body))) + MAGIC

    def _statistics(self) -> bytes:
        counts = b''.join(struct.pack('<HQ', channel, count) for channel, count in sorted(self.counts.items()))
        start = self.start if self.counts else 0
        return record(Op.STATISTICS, struct.pack(
            '<QHIIIIQQI', self.messages, len(self.schemas), len(self.channels), self.attachments, self.metadata,
            self._chunk_count, start, self.end, len(counts)), counts)


def index_records(indexes: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield channel, number of messages and offset of each of a chunk's Message Index records.

    Raises Malformed where they are damaged.
    """
    at = 0
    while at < len(indexes):
        if len(indexes) - at < INDEX.size:
            raise Malformed('a message index that ends too early')
        opcode, length, channel, size = INDEX.unpack_from(indexes, at)
        if opcode != Op.MESSAGE_INDEX or length != INDEX.size - RECORD.size + size or size % ENTRY.size:
            raise Malformed(f'a message index of {length} bytes with {size} bytes of entries')
        if size:
            yield channel, size // ENTRY.size, at
        at += RECORD.size + length
