# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Finishes an mcap file whose end is torn, and copies what is whole of a damaged one."""

from __future__ import annotations

import os
from collections import Counter
from contextlib import suppress
from pathlib import Path

import numpy as np

from ros_kd.bags.mcap.contents import CHUNK, Contents, head_of, row_of
from ros_kd.bags.mcap.file import write_all
from ros_kd.bags.mcap.records import RECORD, Op, header, message_index
from ros_kd.bags.mcap.summary import Summary

_BLOCK = 2**23


def finish_file(file: int, contents: Contents) -> Summary:
    """Cut off what is torn at the end of a file, and write the summary there; no payload is read or moved.

    A kill at any moment leaves a file for which the same can be done again, and so does an OSError.
    """
    last = len(contents.chunks) - 1
    chunk = contents.chunks[last] if last >= 0 and contents.end == _end(contents.chunks[last]) else None
    indexes = index_of(contents, last) if chunk is not None else b''
    end = int(contents.end if chunk is None else chunk['data'] + chunk['size'])
    os.ftruncate(file, end)
    if chunk is not None and (contents.cut or last in contents.stale):
        write_all(file, [head_of(chunk).record()], int(chunk['offset']))
    summary = Summary()
    for number, earlier in enumerate(contents.chunks):
        part = os.pread(file, int(earlier['indexes']), int(earlier['data'] + earlier['size'])) \
            if chunk is None or number < last else indexes
        summary.add_chunk(int(earlier['offset']), head_of(earlier), part)
    describe(summary, contents)
    try:
        write_all(file, [indexes, summary.records(end + len(indexes))], end)
    except OSError:
        with suppress(OSError):
            os.ftruncate(file, end)
        raise
    os.fsync(file)
    return summary


def copy_file(file: int, contents: Contents, target: Path) -> Summary:
    """Write what is whole of a file to a new one, with a fresh index. Raises OSError."""
    copy = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    try:
        summary = Summary()
        described = [item.record() for item in (*contents.schemas.values(), *contents.channels.values())]
        at = write_all(copy, [header(), *described], 0)
        for _, begin, end in contents.others:
            at += _copy(file, begin, end - begin, copy, at)
        for begin in contents.messages['offset'][contents.messages['chunk'] < 0].tolist():
            _, length = RECORD.unpack(os.pread(file, RECORD.size, begin))
            at += _copy(file, begin, RECORD.size + length, copy, at)
        for number in np.unique(contents.messages['chunk'][contents.messages['chunk'] >= 0]).tolist():
            head, indexes = head_of(contents.chunks[number]), index_of(contents, number)
            summary.add_chunk(at, head, indexes)
            at += write_all(copy, [head.record()], at)
            at += _copy(file, int(contents.chunks[number]['data']), head.size, copy, at)
            at += write_all(copy, [indexes], at)
        describe(summary, contents)
        write_all(copy, [summary.records(at)], at)
        os.fsync(copy)
    finally:
        os.close(copy)
    return summary


def cut_after(file: int, contents: Contents, channels: set[int]) -> None:
    """Of the torn last chunk, keep what comes up to the last message of one of these channels, or else nothing."""
    last, before = len(contents.chunks) - 1, contents.end
    chunk, mine = contents.chunks[last], contents.messages['chunk'] == last
    ends = contents.messages[mine & np.isin(contents.messages['channel'], list(channels))]['offset']
    if len(ends) == 0:
        contents.messages, contents.chunks = contents.messages[~mine], contents.chunks[:last]
        contents.cut, contents.end = False, int(chunk['offset'])
        contents.torn += before - contents.end
        return
    offset = int(ends.max())
    _, length = RECORD.unpack(os.pread(file, RECORD.size, int(chunk['data']) + offset))
    contents.messages = contents.messages[~mine | (contents.messages['offset'] <= offset)]
    kept = contents.messages['stamp'][contents.messages['chunk'] == last]
    head = head_of(chunk).cut(offset + RECORD.size + length, int(kept.min()), int(kept.max()))
    contents.chunks[last] = np.array(row_of(head, int(chunk['offset'])), CHUNK)
    contents.end = _end(contents.chunks[last])
    contents.torn += before - contents.end


def describe(summary: Summary, contents: Contents) -> Summary:
    """Complete a summary that has the chunks; messages may be outside of them, or in some without an index."""
    summary.schemas, summary.channels = contents.schemas, contents.channels
    channels, counts = np.unique(contents.messages['channel'], return_counts=True)
    summary.counts = Counter(dict(zip(channels.tolist(), counts.tolist())))
    if len(channels):
        summary.start, summary.end = (int(part(contents.messages['stamp'])) for part in (np.min, np.max))
    summary.attachments = sum(opcode == Op.ATTACHMENT for opcode, _, _ in contents.others)
    summary.metadata = sum(opcode == Op.METADATA for opcode, _, _ in contents.others)
    return summary


def index_of(contents: Contents, number: int) -> bytes:
    """Return the Message Index records of a chunk."""
    entries: dict[int, list[tuple[int, int]]] = {}
    first, after = np.searchsorted(contents.messages['chunk'], [number, number + 1])
    for stamp, offset, _, channel in contents.messages[first:after].tolist():
        entries.setdefault(channel, []).append((stamp, offset))
    return b''.join(message_index(*entry) for entry in entries.items())


def _copy(file: int, begin: int, size: int, copy: int, at: int) -> int:
    for done in range(0, size, _BLOCK):
        write_all(copy, [os.pread(file, min(_BLOCK, size - done), begin + done)], at + done)
    return size


def _end(chunk: np.void) -> int:
    return int(chunk['data'] + chunk['size'] + chunk['indexes'])
