# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Reads what is in a finished mcap file from the summary at its end."""

from __future__ import annotations

import os
import zlib

import numpy as np

from ros_kd.bags.mcap.contents import CHUNK, Contents, Window, complete, look_inside, read_indexes, row_of
from ros_kd.bags.mcap.records import (COMPRESSIONS, FOOTER, MAGIC, RECORD, Channel, ChunkHead, Fields, Malformed, Op,
                                      Schema)

_SUMMARY = {Op.SCHEMA, Op.CHANNEL, Op.CHUNK_INDEX, Op.STATISTICS}


def is_finished(file: int) -> bool:
    """Tell whether an open file has a whole footer, and a whole summary if it names one."""
    return _summary(file) is not None


def read_finished(file: int) -> Contents | None:
    """Return what is in an open file by its summary, None where that is missing or does not list all messages."""
    records = _summary(file)
    if not records:
        return None
    try:
        contents, expected = _contents(records)
        window = Window(file)
        if (contents.chunks['data'] + contents.chunks['size'] > window.size).any():
            return None
        messages, broken = read_indexes(file, contents.chunks, np.arange(len(contents.chunks)))
        if len(broken) and len(messages) < expected:
            inside = [look_inside(window, number, contents.chunks[number]) for number in broken.tolist()]
            messages = np.concatenate([messages, *(part.messages for part in inside)])
    except Malformed:
        return None
    if len(messages) != expected:
        return None
    return complete(window, contents, messages)


def summary_is_wrong(file: int, messages: int) -> bool:
    """Tell whether a finished file has a summary that does not list just so many messages."""
    records = _summary(file) or []
    if all(opcode != Op.STATISTICS for opcode, _ in records):
        return False
    listed = read_finished(file)
    return listed is None or len(listed.messages) != messages


def _summary(file: int) -> list[tuple[int, bytes]] | None:
    """Return opcode and content of the records of the summary; none if the footer says that there is no summary."""
    size = os.fstat(file).st_size
    end = size - FOOTER.size - len(MAGIC)
    tail = os.pread(file, FOOTER.size + len(MAGIC), max(end, 0))
    if len(tail) != FOOTER.size + len(MAGIC) or tail[FOOTER.size:] != MAGIC:
        return None
    opcode, length, start, _, crc = FOOTER.unpack_from(tail)
    if opcode != Op.FOOTER or length != FOOTER.size - RECORD.size or start > end:
        return None
    data = os.pread(file, end - start, start) if start else b''
    if crc and crc != zlib.crc32(tail[:FOOTER.size - 4], zlib.crc32(data)):
        return None
    return _split(data)


def _split(data: bytes) -> list[tuple[int, bytes]] | None:
    records, at = [], 0
    while at < len(data):
        if at + RECORD.size > len(data):
            return None
        opcode, length = RECORD.unpack_from(data, at)
        at += RECORD.size + length
        if at > len(data):
            return None
        if opcode in _SUMMARY:
            records.append((opcode, data[at - length:at]))
    return records


def _contents(records: list[tuple[int, bytes]]) -> tuple[Contents, int]:
    """Return schemas, channels and chunks, and how many messages there are. Raises Malformed."""
    contents, chunks, expected = Contents(finished=True), [], -1
    for opcode, content in records:
        if opcode == Op.SCHEMA:
            schema = Schema.parse(content)
            contents.schemas[schema.id] = schema
        elif opcode == Op.CHANNEL:
            channel = Channel.parse(content)
            contents.channels[channel.id] = channel
        elif opcode == Op.CHUNK_INDEX:
            chunks.append(_chunk(content))
        else:
            (expected,) = Fields(content).numbers('Q')
    contents.chunks = np.array(chunks, CHUNK)
    return contents, expected


def _chunk(content: bytes) -> tuple:
    """Return the CHUNK row of a Chunk Index record. Raises Malformed."""
    fields = Fields(content)
    start, end, offset, _ = fields.numbers('QQQQ')
    fields.block()
    (indexes,) = fields.numbers('Q')
    compression = fields.text()
    size, unpacked = fields.numbers('QQ')
    if compression not in COMPRESSIONS or max(offset, size, unpacked, indexes) >= 2**62:
        raise Malformed(f'a chunk at {offset} compressed as "{compression}"')
    return row_of(ChunkHead(start, end, unpacked, 0, compression, size), offset, indexes)
