# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""The records of an mcap file as bytes, and back. Layouts: https://mcap.dev/spec#records."""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Mapping, Sequence

try:
    from compression import zstd
except ImportError:
    from backports import zstd

try:
    from isal.isal_zlib import crc32  # 5 to 10 times as fast, which shows where the disk is fast
except ImportError:
    from zlib import crc32

Raw = bytes | memoryview

MAGIC = b'\x89MCAP0\r\n'
COMPRESSIONS = ('', 'lz4', 'zstd')
RECORD = struct.Struct('<BQ')  # opcode, length of what follows
MESSAGE = struct.Struct('<BQHIQQ')  # opcode, length, channel, sequence, log time, publish time
MESSAGE_FIELDS = MESSAGE.size - RECORD.size
INDEX = struct.Struct('<BQHI')  # opcode, length, channel, bytes of entries
ENTRY = struct.Struct('<QQ')  # log time, offset of the message in the chunk's records
FOOTER = struct.Struct('<BQQQI')
_CHUNK = struct.Struct('<BQQQQII')  # opcode, length, start, end, unpacked size, CRC, length of the compression's name
_PRIVATE = 0x80  # opcodes from here on are anybody's


class Op(IntEnum):
    """The opcodes of records."""

    HEADER = 1
    FOOTER = 2
    SCHEMA = 3
    CHANNEL = 4
    MESSAGE = 5
    CHUNK = 6
    MESSAGE_INDEX = 7
    CHUNK_INDEX = 8
    ATTACHMENT = 9
    STATISTICS = 11
    METADATA = 12
    SUMMARY_OFFSET = 14
    DATA_END = 15


_IN_DATA = {Op.HEADER, Op.SCHEMA, Op.CHANNEL, Op.MESSAGE, Op.CHUNK, Op.MESSAGE_INDEX, Op.ATTACHMENT, Op.METADATA,
            Op.DATA_END}
_IN_CHUNK = {Op.SCHEMA, Op.CHANNEL, Op.MESSAGE}


def may_be(opcode: int, in_chunk: bool) -> bool:
    """Tell whether a record with this opcode may stand in a chunk, or else in the data section of a file."""
    return opcode >= _PRIVATE or opcode in (_IN_CHUNK if in_chunk else _IN_DATA)


class Malformed(ValueError):
    """Bytes that are not the record that they should be."""


class Fields:
    """Takes the fields of a record one after the other. All raise Malformed where the record is too short."""

    def __init__(self, content: bytes) -> None:
        self._content, self._at = content, 0

    @property
    def left(self) -> int:
        """Bytes that were not taken yet."""
        return len(self._content) - self._at

    def numbers(self, form: str) -> tuple[int, ...]:
        """Take numbers as the struct module's `form` lists them, little-endian."""
        return struct.unpack('<' + form, self.take(struct.calcsize('<' + form)))

    def take(self, size: int) -> bytes:
        """Take `size` bytes."""
        part = self._content[self._at:self._at + size]
        if len(part) != size:
            raise Malformed(f'a record of {len(self._content)} bytes ends within a field of {size}')
        self._at += size
        return part

    def block(self) -> bytes:
        """Take bytes that their 32-bit length stands in front of."""
        return self.take(*self.numbers('I'))

    def text(self) -> str:
        """Take text."""
        try:
            return self.block().decode()
        except UnicodeDecodeError as error:
            raise Malformed(f'a name that is no UTF-8: {error}') from None


@dataclass(frozen=True)
class Schema:
    """A message type: its name, and its definition in `encoding` (ros2msg or ros2idl)."""

    id: int
    name: str
    encoding: str
    definition: bytes

    def record(self) -> bytes:
        """Return the Schema record."""
        return record(Op.SCHEMA, struct.pack('<H', self.id), _text(self.name), _text(self.encoding),
                      _block(self.definition))

    @classmethod
    def parse(cls, content: bytes) -> Schema:
        """Read a record's content. Raises Malformed."""
        fields = Fields(content)
        return cls(*fields.numbers('H'), fields.text(), fields.text(), fields.block())


@dataclass(frozen=True)
class Channel:
    """A topic with its schema. metadata: rosbag2 keeps offered_qos_profiles (YAML) and topic_type_hash there."""

    id: int
    schema: int
    topic: str
    encoding: str
    metadata: Mapping[str, str]

    def record(self) -> bytes:
        """Return the Channel record."""
        pairs = b''.join(_text(key) + _text(value) for key, value in self.metadata.items())
        return record(Op.CHANNEL, struct.pack('<HH', self.id, self.schema), _text(self.topic), _text(self.encoding),
                      _block(pairs))

    @classmethod
    def parse(cls, content: bytes) -> Channel:
        """Read a record's content. Raises Malformed."""
        fields = Fields(content)
        ids, topic, encoding, pairs = fields.numbers('HH'), fields.text(), fields.text(), Fields(fields.block())
        metadata = {}
        while pairs.left:
            key = pairs.text()
            metadata[key] = pairs.text()
        return cls(*ids, topic, encoding, metadata)


@dataclass(frozen=True)
class ChunkHead:
    """What stands in front of a chunk's `size` bytes of records: log times (ns), size before compression, CRC-32 of the
    uncompressed records (0 = not known)."""

    start: int
    end: int
    unpacked: int
    crc: int
    compression: str
    size: int

    @property
    def length(self) -> int:
        """Bytes from the begin of the chunk to its records."""
        return _CHUNK.size + len(self.compression) + 8

    def record(self) -> bytes:
        """Return the Chunk record up to its records."""
        return _CHUNK.pack(Op.CHUNK, self.length - RECORD.size + self.size, self.start, self.end, self.unpacked,
                           self.crc, len(self.compression)) \
            + self.compression.encode() + struct.pack('<Q', self.size)

    @classmethod
    def parse(cls, data: bytes) -> ChunkHead:
        """Read the begin of a Chunk record. Raises Malformed where its fields contradict each other."""
        if len(data) < _CHUNK.size + 8:
            raise Malformed(f'a chunk of {len(data)} bytes')
        opcode, length, start, end, unpacked, crc, named = _CHUNK.unpack_from(data)
        compression = data[_CHUNK.size:_CHUNK.size + named].decode('latin-1') if named <= 16 else '?'
        if opcode != Op.CHUNK or compression not in COMPRESSIONS or len(data) < _CHUNK.size + named + 8:
            raise Malformed(f'a chunk compressed as "{compression}"')
        (size,) = struct.unpack_from('<Q', data, _CHUNK.size + named)
        head = cls(start, end, unpacked, crc, compression, size)
        if length != head.length - RECORD.size + size or not compression and size != unpacked:
            raise Malformed(f'a chunk of {length} bytes with {size} bytes of records')
        return head

    def cut(self, size: int, start: int, end: int) -> ChunkHead:
        """Return the head of the first `size` bytes of an uncompressed chunk."""
        return replace(self, start=start, end=end, unpacked=size, size=size, crc=0)


HEAD = _CHUNK.size + max(map(len, COMPRESSIONS)) + 8  # enough bytes for ChunkHead.parse


def record(opcode: int, *parts: bytes) -> bytes:
    """Return a record."""
    content = b''.join(parts)
    return RECORD.pack(opcode, len(content)) + content


def header() -> bytes:
    """Return what a file begins with."""
    return MAGIC + record(Op.HEADER, _text('ros2'), _text('ros_kd'))


def message_index(channel: int, entries: Sequence[tuple[int, int]]) -> bytes:
    """Return the Message Index record of a channel: log time (ns) and offset of each of its messages in a chunk."""
    size = len(entries) * ENTRY.size
    return INDEX.pack(Op.MESSAGE_INDEX, INDEX.size - RECORD.size + size, channel, size) \
        + b''.join(ENTRY.pack(*entry) for entry in entries)


def unpack(data: bytes, head: ChunkHead) -> bytes:
    """Return a chunk's records, uncompressed. Raises Malformed where they are damaged."""
    try:
        if head.compression == 'zstd':
            data = zstd.decompress(data)
        elif head.compression == 'lz4':
            from lz4.frame import decompress  # foreign bags only

            data = decompress(data)
    except (zstd.ZstdError, RuntimeError, EOFError) as error:
        raise Malformed(f'a chunk that does not decompress ({error})') from None
    if len(data) != head.unpacked:
        raise Malformed(f'a chunk of {len(data)} bytes, expected {head.unpacked}')
    return data


def _text(text: str) -> bytes:
    return _block(text.encode())


def _block(data: bytes) -> bytes:
    return struct.pack('<I', len(data)) + data
