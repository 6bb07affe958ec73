# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""What is in an mcap file and where, in a few bytes for each message and chunk; the payloads stay on disk."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Iterator

import numpy as np

from ros_kd.bags.mcap.records import (COMPRESSIONS, ENTRY, INDEX, MESSAGE, MESSAGE_FIELDS, RECORD, Channel, ChunkHead,
                                      Malformed, Op, Schema, crc32, may_be, unpack)

# offset: of the record in the file; data, size: of the records inside, as stored; indexes: bytes of the Message Index
# records after it; compression: number in COMPRESSIONS.
CHUNK = np.dtype([('offset', '<i8'), ('data', '<i8'), ('size', '<i8'), ('unpacked', '<i8'), ('indexes', '<i8'),
                  ('start', '<i8'), ('end', '<i8'), ('crc', '<u4'), ('compression', 'u1')])
# stamp: log time, ns; chunk: -1 for a message outside of chunks; offset: in the chunk's uncompressed records, or else
# in the file.
MESSAGES = np.dtype([('stamp', '<i8'), ('offset', '<i8'), ('chunk', '<i4'), ('channel', '<u2')])

_BATCH = 2**24  # bytes of message indexes that are in memory at once
_BLOCK = 2**22
_LATEST = 2**63 - 1


@dataclass
class Contents:
    """A file's schemas and channels by id; its chunks (CHUNK) and messages (MESSAGES), in the order of the file.

    end: where the data end; only the summary, or what was torn, comes after. finished: the file has its summary. torn:
    bytes of incomplete records at the end. damaged: begin and end of broken stretches before it. cut: the last chunk is
    the complete beginning of a torn one. unnamed: messages left out because their channel is lost. stale: chunks
    whose head or message index does not fit their messages, which are whole (only looked for to verify). others:
    opcode, begin and end of attachments and metadata.
    """

    schemas: dict[int, Schema] = field(default_factory=dict)
    channels: dict[int, Channel] = field(default_factory=dict)
    chunks: np.ndarray = field(default_factory=lambda: np.empty(0, CHUNK))
    messages: np.ndarray = field(default_factory=lambda: np.empty(0, MESSAGES))
    end: int = 0
    finished: bool = False
    torn: int = 0
    damaged: list[tuple[int, int]] = field(default_factory=list)
    cut: bool = False
    unnamed: int = 0
    stale: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))
    others: list[tuple[int, int, int]] = field(default_factory=list)


class Bytes:
    """Reads at any place of bytes in memory."""

    def __init__(self, data: bytes) -> None:
        self._data, self.size = data, len(data)

    def read(self, offset: int, size: int) -> bytes:
        """Return `size` bytes at `offset`, fewer at the end."""
        return self._data[offset:offset + size]


class Window:
    """Reads a few bytes at any place of a file without a system call for each."""

    def __init__(self, file: int, size: int = 4096) -> None:
        self.file, self.size = file, os.fstat(file).st_size
        self._width, self._begin, self._data = size, 0, b''

    def read(self, offset: int, size: int) -> bytes:
        """Return `size` bytes at `offset`, fewer at the end of the file."""
        begin = offset - self._begin
        if begin < 0 or begin + size > len(self._data):
            self._data, self._begin, begin = os.pread(self.file, max(size, self._width), offset), offset, 0
        return self._data[begin:begin + size]


def row_of(head: ChunkHead, offset: int, indexes: int = 0) -> tuple:
    """Return the CHUNK row of a chunk at `offset` in its file, with so many bytes of Message Index records after it."""
    return (offset, offset + head.length, head.size, head.unpacked, indexes, min(head.start, _LATEST),
            min(head.end, _LATEST), head.crc, COMPRESSIONS.index(head.compression))


def head_of(chunk: np.void) -> ChunkHead:
    """Return the head of a chunk from its row."""
    return ChunkHead(int(chunk['start']), int(chunk['end']), int(chunk['unpacked']), int(chunk['crc']),
                     COMPRESSIONS[chunk['compression']], int(chunk['size']))


def records_of(window: Window, chunk: np.void) -> tuple[Window | Bytes, int]:
    """Return what a chunk's records are read from, and where they begin in it. Raises Malformed."""
    if not chunk['compression']:
        return window, int(chunk['data'])
    data = os.pread(window.file, int(chunk['size']), int(chunk['data']))
    return Bytes(unpack(data, head_of(chunk))), 0


def checksum_holds(window: Window, chunk: np.void) -> bool:
    """Tell whether a chunk's records are those that were written, as far as its CRC and compression can tell."""
    try:
        source, begin = records_of(window, chunk)
    except Malformed:
        return False
    crc, left = 0, int(chunk['unpacked']) if chunk['crc'] else 0
    while left:
        part = os.pread(window.file, min(left, _BLOCK), begin) if isinstance(source, Window) \
            else source.read(begin, min(left, _BLOCK))
        if not part:
            return False
        crc, begin, left = crc32(part, crc), begin + len(part), left - len(part)
    return not chunk['crc'] or crc == chunk['crc']


def walk(source: Window | Bytes, begin: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Yield opcode, offset and length of the content of the records in a chunk; stops before the first broken one."""
    while begin + RECORD.size <= min(end, source.size):
        opcode, length = RECORD.unpack(source.read(begin, RECORD.size))
        if not may_be(opcode, in_chunk=True) or begin + RECORD.size + length > min(end, source.size):
            return
        yield opcode, begin, length
        begin += RECORD.size + length


@dataclass
class Inside:
    """What a chunk holds, read from its records. end: how many bytes of them are whole records."""

    schemas: dict[int, Schema]
    channels: dict[int, Channel]
    messages: np.ndarray
    end: int


def look_inside(window: Window, number: int, chunk: np.void) -> Inside:
    """Read the records of chunk `number` up to the first broken one, no payloads. Raises Malformed."""
    source, begin = records_of(window, chunk)
    inside, found, end = Inside({}, {}, np.empty(0, MESSAGES), 0), [], begin
    for opcode, offset, length in walk(source, begin, begin + int(chunk['unpacked'])):
        if opcode == Op.MESSAGE:
            found.append((*message_at(source, offset), number, offset - begin))
        elif opcode == Op.SCHEMA:
            schema = Schema.parse(source.read(offset + RECORD.size, length))
            inside.schemas[schema.id] = schema
        elif opcode == Op.CHANNEL:
            channel = Channel.parse(source.read(offset + RECORD.size, length))
            inside.channels[channel.id] = channel
        end = offset + RECORD.size + length
    inside.messages, inside.end = message_table(found), end - begin
    return inside


def message_at(source: Window | Bytes, offset: int) -> tuple[int, int]:
    """Return log time and channel of the Message record at `offset`. Raises Malformed."""
    data = source.read(offset, MESSAGE.size)
    if len(data) < MESSAGE.size:
        raise Malformed(f'a message of {len(data)} bytes')
    _, length, channel, _, stamp, _ = MESSAGE.unpack(data)
    if length < MESSAGE_FIELDS or stamp >= 2**63:
        raise Malformed(f'a message of {length} bytes, logged at {stamp} ns')
    return stamp, channel


def message_table(found: list[tuple[int, int, int, int]]) -> np.ndarray:
    """Return MESSAGES from log time, channel, chunk and offset of each message."""
    columns = np.array(found, np.int64).reshape(-1, 4)
    table = np.empty(len(found), MESSAGES)
    for name, column in zip(('stamp', 'channel', 'chunk', 'offset'), columns.T):
        table[name] = column
    return table


def read_indexes(file: int, chunks: np.ndarray, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the messages (MESSAGES) of the chunks with these numbers, and the numbers of those without a whole index.
    """
    tables, broken = [], []
    steps = np.diff(np.cumsum(chunks['indexes'][numbers]) // _BATCH, prepend=0)
    for batch in np.split(numbers, np.nonzero(steps)[0]):
        places = np.stack([chunks['data'][batch] + chunks['size'][batch], chunks['indexes'][batch]], 1)
        regions = [os.pread(file, size, offset) for offset, size in places.tolist()]
        ends = np.cumsum([len(region) for region in regions])
        table, bad = _parse(np.frombuffer(b''.join(regions) + bytes(INDEX.size), np.uint8), ends, batch)
        tables.append(table)
        broken.append(bad)
    return np.concatenate(tables or [np.empty(0, MESSAGES)]), np.concatenate(broken or [np.empty(0, np.int64)])


def _parse(data: np.ndarray, ends: np.ndarray, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Read the first index record of each region at once, then the second of each, and so on."""
    at = np.concatenate([[0], ends[:-1]])
    broken, tables = ends == at, []
    while len(open_ := np.nonzero((at < ends) & ~broken)[0]):
        begin = at[open_]
        length, channel, size = (_numbers(data, begin + offset, kind) for offset, kind in
                                 ((1, '<i8'), (9, '<u2'), (11, '<u4')))
        after = begin + RECORD.size + length
        good = (data[begin] == Op.MESSAGE_INDEX) & (length == INDEX.size - RECORD.size + size.astype(np.int64)) \
            & (size % ENTRY.size == 0) & (after <= ends[open_])
        broken[open_[~good]] = True
        open_, begin, channel, count = (part[good] for part in (open_, begin, channel, size // ENTRY.size))
        at[open_] = after[good]
        count = count.astype(np.int64)
        entry = np.repeat(begin + INDEX.size - ENTRY.size * (np.cumsum(count) - count), count) \
            + ENTRY.size * np.arange(count.sum())
        table = np.empty(len(entry), MESSAGES)
        table['stamp'], table['offset'] = _numbers(data, entry, '<i8'), _numbers(data, entry + 8, '<i8')
        table['chunk'], table['channel'] = np.repeat(numbers[open_], count), np.repeat(channel, count)
        tables.append(table)
    messages = np.concatenate(tables or [np.empty(0, MESSAGES)])
    return messages[~np.isin(messages['chunk'], numbers[broken])] if broken.any() else messages, numbers[broken]


def _numbers(data: np.ndarray, at: np.ndarray, kind: str) -> np.ndarray:
    width = np.dtype(kind).itemsize
    return data[at[:, None] + np.arange(width)].view(kind).reshape(-1)


def complete(window: Window, contents: Contents, messages: np.ndarray) -> Contents:
    """Add messages in any order to what is in a file, and the channels that they need if only the chunks name them."""
    messages = messages[np.lexsort((messages['offset'], messages['chunk']))]
    channels, first = np.unique(messages['channel'], return_index=True)
    missing = set(channels.tolist()) - contents.channels.keys()
    if missing:
        likely = [number for channel, number in zip(channels.tolist(), messages['chunk'][first].tolist())
                  if channel in missing and number >= 0]
        for number in [*likely, *range(len(contents.chunks))]:
            if not missing - contents.channels.keys():
                break
            try:
                inside = look_inside(window, number, contents.chunks[number])
            except Malformed:
                continue
            contents.schemas.update(inside.schemas)
            contents.channels.update(inside.channels)
        named = np.isin(messages['channel'], list(contents.channels))
        contents.unnamed = int((~named).sum())
        messages = messages[named]
    contents.messages = messages
    return contents
