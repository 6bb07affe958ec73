# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Finds what is in an mcap file without its summary: after a crash, a power cut or a copy cut short."""

from __future__ import annotations

import os
import re
from dataclasses import replace

import numpy as np

from ros_kd.bags.mcap.contents import (CHUNK, Contents, Inside, Window, checksum_holds, complete,
                                       look_inside, message_at, message_table, read_indexes, row_of)
from ros_kd.bags.mcap.finished import is_finished
from ros_kd.bags.mcap.records import HEAD, MAGIC, RECORD, Channel, ChunkHead, Malformed, Op, Schema, may_be

_BLOCK = 2**22
_DAY = 86400 * 10**9
# A record's opcode, and the upper bytes of a length that is below a terabyte.
_BEGIN = {op: re.compile(re.escape(bytes([op])) + rb'(?=.{5}\x00{3})', re.DOTALL) for op in (Op.CHUNK, Op.MESSAGE)}


def scan(file: int, verify: bool = False) -> Contents:
    """Return what is in an open file, from its records, over broken stretches. Few payloads are read.

    verify: read all of them, and leave out each chunk whose checksum does not hold.
    """
    return _Scan(file, verify).run()


class _Scan:
    def __init__(self, file: int, verify: bool) -> None:
        self._file, self._window, self._verify = file, Window(file), verify
        self._found = Contents()
        self._chunks: list[tuple] = []
        self._inside: dict[int, np.ndarray] = {}  # messages of the chunks that were looked into
        self._unsure: set[int] = set()  # chunks before a broken stretch, where their index may have been
        self._outside: list[tuple[int, int, int, int]] = []
        self._misdated: list[int] = []  # chunks whose head has other times than their messages
        self._tail = -1
        self._limit = self._window.size  # what comes after is no data

    def run(self) -> Contents:
        found, size = self._found, self._window.size
        at = len(MAGIC) if self._window.read(0, len(MAGIC)) == MAGIC else self._broken(0)
        while at < size:
            at = self._next(at)
        if not found.finished:
            self._check_last()
            if found.end == self._tail:
                self._take_beginning(self._tail)
            found.torn = self._limit - found.end
        found.damaged = [(begin, end) for begin, end in found.damaged if begin < found.end]
        return self._gather()

    def _next(self, at: int) -> int:
        """Take in the record at `at`; return where the next one begins."""
        data = self._window.read(at, RECORD.size)
        opcode, length = RECORD.unpack(data) if len(data) == RECORD.size else (0, 0)
        end = at + RECORD.size + length
        try:
            if not may_be(opcode, in_chunk=False) or end > self._window.size:
                raise Malformed(f'a record {opcode} of {length} bytes')
            if opcode == Op.DATA_END:
                self._found.end, self._limit, self._found.finished = at, at, is_finished(self._file)
                return self._window.size
            self._take(opcode, at, end)
        except Malformed:
            return self._broken(at)
        return end

    def _take(self, opcode: int, at: int, end: int) -> None:
        found, content = self._found, at + RECORD.size
        if opcode == Op.CHUNK:
            self._take_chunk(at)
        elif opcode == Op.MESSAGE_INDEX:
            if not self._chunks or at != _end(self._chunks[-1]):
                return  # of a chunk that was left out
            self._chunks[-1] = _with_index(self._chunks[-1], end - at)
        elif opcode == Op.MESSAGE:
            self._outside.append((*message_at(self._window, at), -1, at))
        elif opcode == Op.SCHEMA:
            schema = Schema.parse(self._window.read(content, end - content))
            found.schemas[schema.id] = schema
        elif opcode == Op.CHANNEL:
            channel = Channel.parse(self._window.read(content, end - content))
            found.channels[channel.id] = channel
        elif opcode != Op.HEADER:
            found.others.append((opcode, at, end))
        found.end = end

    def _take_chunk(self, at: int) -> None:
        head, number = ChunkHead.parse(self._window.read(at, HEAD)), len(self._chunks)
        if self._verify:
            inside = self._look(row_of(head, at), number)
            self._note(inside, number)
            stamps = inside.messages['stamp'].tolist()
            if stamps and not head.start <= min(stamps) <= max(stamps) <= head.end:
                self._misdated.append(number)
                head = replace(head, start=min(stamps), end=max(stamps))
        self._chunks.append(row_of(head, at))

    def _look(self, row: tuple, number: int) -> Inside:
        """Return what a whole chunk holds. Raises Malformed where its checksum or its records are wrong."""
        chunk = np.array(row, CHUNK)[()]
        if not checksum_holds(self._window, chunk):
            raise Malformed('a chunk whose checksum does not hold')
        inside = look_inside(self._window, number, chunk)
        if inside.end != chunk['unpacked']:
            raise Malformed(f'a chunk with {inside.end} of {chunk["unpacked"]} bytes in whole records')
        return inside

    def _note(self, inside: Inside, number: int) -> None:
        self._found.schemas.update(inside.schemas)
        self._found.channels.update(inside.channels)
        self._inside[number] = inside.messages

    # ---- broken stretches

    def _broken(self, at: int) -> int:
        """Return where the first sound record after the broken one at `at` begins, or the end of the file."""
        if self._chunks:
            self._unsure.add(len(self._chunks) - 1)
        following = self._next_sound(at + 1)
        if following is None:
            self._tail = at
            return self._window.size
        self._found.damaged.append((at, following))
        return following

    def _next_sound(self, at: int) -> int | None:
        opcode = Op.MESSAGE if self._outside and not self._chunks else Op.CHUNK
        sound = self._is_message if opcode == Op.MESSAGE else self._is_chunk
        for begin in range(at, self._window.size, _BLOCK):
            data = os.pread(self._file, _BLOCK + HEAD, begin)
            for match in _BEGIN[opcode].finditer(data):
                if match.start() < _BLOCK and sound(begin + match.start()):
                    return begin + match.start()
        return None

    def _is_chunk(self, at: int) -> bool:
        try:
            row = row_of(ChunkHead.parse(self._window.read(at, HEAD)), at)
            return _end(row) <= self._window.size and len(self._look(row, 0).messages) > 0
        except Malformed:
            return False

    def _is_message(self, at: int) -> bool:
        try:
            stamp, channel = message_at(self._window, at)
        except Malformed:
            return False
        end = at + RECORD.size + RECORD.unpack(self._window.read(at, RECORD.size))[1]
        after = self._window.read(end, 1)
        return (channel in self._found.channels and abs(stamp - self._outside[-1][0]) < _DAY
                and (end == self._window.size or bool(after) and may_be(after[0], in_chunk=False)))

    def _check_last(self) -> None:
        """Leave out chunks at the end that the disk has not got whole, as after a power cut."""
        while self._chunks and self._found.end == _end(self._chunks[-1]):
            number = len(self._chunks) - 1
            try:
                self._note(self._look(self._chunks[-1], number), number)
                return
            except Malformed:
                self._found.end = self._chunks.pop()[0]

    def _take_beginning(self, at: int) -> None:
        """Take in the whole messages of an uncompressed chunk that the end of the file cuts off."""
        try:
            head = ChunkHead.parse(self._window.read(at, HEAD))
            row = row_of(head, at)
            if head.compression or _end(row) <= self._window.size:
                return
            inside = look_inside(self._window, len(self._chunks), np.array(row, CHUNK)[()])
        except Malformed:
            return
        if len(inside.messages):
            stamps = inside.messages['stamp']
            row = row_of(head.cut(inside.end, int(stamps.min()), int(stamps.max())), at)
            self._note(inside, len(self._chunks))
            self._chunks.append(row)
            self._found.cut, self._found.end = True, _end(row)

    # ---- messages

    def _gather(self) -> Contents:
        found = self._found
        found.chunks = np.array(self._chunks, CHUNK)
        numbers = np.arange(len(found.chunks))
        looked = np.union1d(list(self._inside), list(self._unsure))
        indexed, broken = read_indexes(self._file, found.chunks, np.setdiff1d(numbers, looked))
        for number in sorted({*broken.tolist(), *self._unsure} & {*numbers.tolist()} - self._inside.keys()):
            try:
                self._note(look_inside(self._window, number, found.chunks[number]), number)
            except Malformed:
                found.damaged.append((self._chunks[number][0], _end(self._chunks[number])))
        outside = message_table(self._outside)
        complete(self._window, found, np.concatenate([outside, indexed, *self._inside.values()]))
        if self._verify:
            found.stale = np.union1d(_stale_indexes(self._file, found), self._misdated)
        return found


def _end(row: tuple) -> int:
    """Return where a chunk and its message index end, from its CHUNK row."""
    _, data, size, _, indexes, *_ = row
    return data + size + indexes


def _with_index(row: tuple, size: int) -> tuple:
    return (*row[:4], row[4] + size, *row[5:])


def _stale_indexes(file: int, contents: Contents) -> np.ndarray:
    """Return the numbers of the chunks whose message index does not list just what is in them."""
    numbers = np.nonzero(contents.chunks['indexes'])[0]
    listed, broken = read_indexes(file, contents.chunks, numbers)
    listed = listed[np.lexsort((listed['offset'], listed['chunk']))]
    there = contents.messages[np.isin(contents.messages['chunk'], np.setdiff1d(numbers, broken))]
    if np.array_equal(listed, there):
        return broken
    either, count = np.unique(np.concatenate([listed, there]), return_counts=True)
    return np.union1d(either['chunk'][count == 1], broken)
