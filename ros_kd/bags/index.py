# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Where each message of an mcap bag lies; the payloads stay on disk. Unfinished and torn files are read as well."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ros_kd.bags import BagError, EmptyBagError
from ros_kd.bags.mcap.contents import CHUNK, Contents, head_of
from ros_kd.bags.mcap.finished import read_finished
from ros_kd.bags.mcap.records import MAGIC, MESSAGE, MESSAGE_FIELDS, Malformed, Op, unpack, zstd
from ros_kd.bags.mcap.scan import scan
from ros_kd.bags.metadata import NAME, read_metadata

_PLACE = np.dtype([('stamp', '<i8'), ('offset', '<i8'), ('chunk', '<i4')])
_ZSTD = b'\x28\xb5\x2f\xfd'  # no message begins so: its encapsulation begins with 0


@dataclass
class BagIndex:
    """The messages of an .mcap file, or of all of a folder as one (ros_kd.bags.store.MessageStore).

    What is on disk counts, not what metadata.yaml says. Reads with pread, so that threads and forked workers share one.
    Raises BagError where there is no message to read.
    """

    path: Path
    types: dict[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    _places: dict[str, np.ndarray] = field(default_factory=dict)
    _chunks: np.ndarray = field(default_factory=lambda: np.empty(0, CHUNK))
    _chunk_files: np.ndarray = field(default_factory=lambda: np.empty(0, np.int32))
    _files: list[int] = field(default_factory=list)
    _last: tuple[int, bytes] = (-1, b'')

    def __post_init__(self) -> None:
        files = bag_files(self.path)
        parts: dict[str, list[np.ndarray]] = {}
        chunks = []
        for file in files:
            self._open(file)
            contents = read_finished(self._files[-1]) or scan(self._files[-1])
            self._warn(file, contents)
            self._add(file, contents, sum(map(len, chunks)), parts)
            outside = np.zeros(1, CHUNK)  # stands for all that is in no chunk: offsets count from the file's begin
            chunks += [contents.chunks, outside]
            self._chunk_files = np.append(self._chunk_files, np.full(len(contents.chunks) + 1, len(self._files) - 1))
        self._chunks = np.concatenate(chunks)
        if not parts and self.warnings:
            raise EmptyBagError(f'{self.path} holds no whole message: {"; ".join(self.warnings)}')
        for topic, tables in parts.items():
            joined = np.concatenate(tables)
            self._places[topic] = joined[np.argsort(joined['stamp'], kind='stable')]
        self._check_metadata(files)

    def _open(self, file: Path) -> None:
        try:
            self._files.append(os.open(file, os.O_RDONLY | os.O_CLOEXEC))
        except OSError as error:
            raise BagError(f'cannot read {file}: {error.strerror}') from None

    def _add(self, file: Path, contents: Contents, first: int, parts: dict[str, list[np.ndarray]]) -> None:
        chunk = np.where(contents.messages['chunk'] < 0, len(contents.chunks), contents.messages['chunk']) + first
        for number, channel in contents.channels.items():
            if channel.encoding != 'cdr':
                self._say(f'{channel.topic} in {file} is left out: it is encoded as "{channel.encoding}", expected cdr '
                          '(`rosbags-convert` makes a ROS 2 bag of a ROS 1 bag)')
                continue
            schema = contents.schemas.get(channel.schema)
            self.types.setdefault(channel.topic, _full_name(schema.name) if schema else '')
            mine = contents.messages['channel'] == number
            part = np.empty(int(mine.sum()), _PLACE)
            part['stamp'], part['offset'] = contents.messages['stamp'][mine], contents.messages['offset'][mine]
            part['chunk'] = chunk[mine]
            parts.setdefault(channel.topic, []).append(part)

    def stamps(self, topic: str) -> np.ndarray:
        """Return the log times of a topic's messages, int64 [M], ns, rising."""
        return self._places[topic]['stamp'] if topic in self._places else np.empty(0, np.int64)

    def read(self, topic: str, number: int) -> bytes | memoryview:
        """Return a topic's message by its number in the order of log times. Raises BagError where it is damaged."""
        data = self._get(topic, number, None)
        return zstd.decompress(data) if data[:4] == _ZSTD else data

    def head(self, topic: str, number: int, size: int) -> bytes | memoryview:
        """Return the first `size` bytes of `read`, without reading the rest."""
        data = self._get(topic, number, max(size, len(_ZSTD)))
        return self.read(topic, number)[:size] if data[:4] == _ZSTD else data[:size]

    def _get(self, topic: str, number: int, size: int | None) -> bytes | memoryview:
        """Return a message as it is stored, or its first bytes."""
        stamp, offset, number = self._places[topic][number].item()
        chunk = self._chunks[number]
        if chunk['compression']:
            record = memoryview(self._unpacked(number))[offset:]
        else:
            file, offset = self._files[self._chunk_files[number]], offset + int(chunk['data'])
            record = os.pread(file, MESSAGE.size + (size or 0), offset)
        opcode, length, _, _, logged, _ = MESSAGE.unpack_from(record) if len(record) >= MESSAGE.size else (0,) * 6
        length -= MESSAGE_FIELDS
        if opcode != Op.MESSAGE or logged != stamp or length < 0:
            raise BagError(f'{self.path} is damaged: no message on {topic} at {stamp} ns, where the index has one; '
                           f'`ros2 run ros_kd recover {self.path} --out NEW` saves the others')
        wanted = length if size is None else min(size, length)
        data = record[MESSAGE.size:MESSAGE.size + wanted] if chunk['compression'] or size is not None \
            else os.pread(file, wanted, offset + MESSAGE.size)
        if len(data) != wanted:
            raise BagError(f'{self.path} ends within a message on {topic}: the file was cut short; copy it again')
        return data

    def _unpacked(self, number: int) -> bytes:
        last, records = self._last
        if last != number:
            chunk = self._chunks[number]
            data = os.pread(self._files[self._chunk_files[number]], int(chunk['size']), int(chunk['data']))
            try:
                records = unpack(data, head_of(chunk))
            except Malformed as error:
                raise BagError(f'{self.path} is damaged: {error}; `ros2 run ros_kd recover {self.path} --out NEW` '
                               'saves the rest') from None
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

    # ---- what is wrong with the bag

    def _say(self, text: str) -> None:
        self.warnings += (text,)

    def _warn(self, file: Path, contents: Contents) -> None:
        begin = os.pread(self._files[-1], len(MAGIC), 0)
        if begin != MAGIC[:len(begin)]:
            self._say(f'{file} begins with {begin!r}: an mcap file begins with {MAGIC!r}')
        if contents.damaged:
            self._say(f'{sum(end - begin for begin, end in contents.damaged)} bytes in {len(contents.damaged)} places '
                      f'of {file} are damaged and left out; `ros2 run ros_kd recover {self.path} --out NEW` makes a '
                      'whole bag of the rest')
        elif not contents.finished:
            lost = 'nothing is lost but its index' if not contents.torn else \
                f'{contents.torn} bytes at its end, which are not whole, are left out'
            self._say(f'{file} was not finished: {lost}; `ros2 run ros_kd recover {self.path}` finishes it')
        if contents.unnamed:
            self._say(f'{contents.unnamed} messages of {file} are left out: what topic they are of is lost')

    def _check_metadata(self, files: list[Path]) -> None:
        if not self.path.is_dir():
            return
        listed, names = read_metadata(self.path), {file.name for file in files}
        if listed is None and not self.warnings:
            self._say(f'{self.path} has no {NAME} that can be read; `ros2 run ros_kd recover {self.path}` writes it')
        elif listed is not None and set(listed.names) - names:
            self._say(f'{self.path / NAME} names {sorted(set(listed.names) - names)}, which are not there: what they '
                      'held is not read')
        elif listed is not None and names - set(listed.names) and not self.warnings:
            self._say(f'{self.path / NAME} does not name {sorted(names - set(listed.names))}, which are read all the '
                      f'same; `ros2 run ros_kd recover {self.path}` adds them')


def bag_files(path: Path) -> list[Path]:
    """Return the .mcap files of a bag in the order of their numbers. Raises BagError where there are none."""
    packed = [file for file in path.glob('*.mcap.zstd') if not file.with_suffix('').exists()] if path.is_dir() else []
    if packed:
        raise BagError(f'{path} holds compressed files {sorted(file.name for file in packed)}, in which no message can '
                       f'be found by itself: unpack them first with `zstd -d {path}/*.mcap.zstd`')
    files = sorted(path.glob('*.mcap'), key=_numbered) if path.is_dir() else [path]
    if not files or not all(file.is_file() and file.suffix == '.mcap' for file in files):
        raise BagError(f'no bag at {path}: expected an .mcap file, or a folder that holds such files')
    return files


def _numbered(file: Path) -> list[tuple[int, str]]:
    return [(int(part) if part.isdigit() else -1, part) for part in re.split(r'(\d+)', file.name)]


def _full_name(name: str) -> str:
    package, _, kind = name.partition('/')
    return f'{package}/msg/{kind}' if kind and '/' not in kind else name
