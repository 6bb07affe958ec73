# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Messages of a rosbag2 bag in sqlite3 files, the default of `ros2 bag record` up to Humble (schemas of Foxy to Jazzy).

Only the tables `topics` and `messages` are used, which are the same in all of them.
"""

from __future__ import annotations

import os
import re
import sqlite3
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ros_kd.bags import BagError

try:
    from compression import zstd
except ImportError:
    from backports import zstd

_PLACE = np.dtype([('stamp', '<i8'), ('row', '<i8'), ('file', '<i4')])
_ZSTD = b'\x28\xb5\x2f\xfd'  # no message begins so: its encapsulation begins with 0


@dataclass
class SqliteStore:
    """The messages of a .db3 file, or of all of a folder as one (ros_kd.bags.store.MessageStore).

    Each thread and each forked worker gets its own connections. A file that was not finished, or is damaged, is read as
    far as sqlite can. Raises BagError where there is nothing to read.
    """

    path: Path
    types: dict[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    _files: list[Path] = field(default_factory=list)
    _places: dict[str, np.ndarray] = field(default_factory=dict)
    _connections: dict[tuple[int, int, int], sqlite3.Connection] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._files = _files(self.path)
        if self.path.is_dir() and not (self.path / 'metadata.yaml').exists():
            self._warn(f'{self.path} has no metadata.yaml: recording it did not finish; what its files hold is read')
        parts: dict[str, list[np.ndarray]] = {}
        for number, file in enumerate(self._files):
            self._add(number, file, parts)
        for topic, part in parts.items():
            joined = np.concatenate(part)
            self._places[topic] = joined[np.argsort(joined['stamp'], kind='stable')]

    def _warn(self, text: str) -> None:
        self.warnings += (text,)

    def _add(self, number: int, file: Path, parts: dict[str, list[np.ndarray]]) -> None:
        connection, rows = self._connection(number), []
        try:
            topics = connection.execute('SELECT id, name, type, serialization_format FROM topics').fetchall()
            for row in connection.execute('SELECT topic_id, timestamp, id FROM messages'):
                rows.append(row)
        except sqlite3.DatabaseError as error:
            if not rows:
                raise BagError(f'{file} cannot be read ({error}): was recording killed, or the copy cut short? '
                               f'`sqlite3 {file.name} .recover | sqlite3 NEW.db3` saves what is in it') from None
            self._warn(f'{file} is damaged ({error}): {len(rows)} messages of it are read, what comes after is lost')
        table = _numbers(rows, file)
        for topic, name, kind, encoding in topics:
            if encoding != 'cdr':
                raise BagError(f'{name} in {file} is serialised as "{encoding}", expected cdr')
            self.types[name] = kind
            mine = table[table[:, 0] == topic]
            part = np.empty(len(mine), _PLACE)
            part['stamp'], part['row'], part['file'] = mine[:, 1], mine[:, 2], number
            parts.setdefault(name, []).append(part)

    def _connection(self, file: int) -> sqlite3.Connection:
        key = os.getpid(), threading.get_ident(), file
        if key not in self._connections:
            self._connections[key] = self._connect(self._files[file])
        return self._connections[key]

    def _connect(self, file: Path) -> sqlite3.Connection:
        """Open read-only. An immutable file needs no locks, but what a killed recorder left in its log is not seen."""
        log = file.with_name(file.name + '-wal')
        if log.exists() and log.stat().st_size:
            connection = sqlite3.connect(f'{file.absolute().as_uri()}?mode=ro', uri=True, check_same_thread=False)
            try:
                connection.execute('SELECT count(*) FROM topics')
                return connection
            except sqlite3.OperationalError as error:
                connection.close()
                text = f'{log} cannot be read ({error}): the last messages are missing; copy the bag to a folder ' \
                       'that can be written to'
                if text not in self.warnings:
                    self._warn(text)
        connection = sqlite3.connect(f'{file.absolute().as_uri()}?immutable=1', uri=True, check_same_thread=False)
        connection.execute('PRAGMA writable_schema=ON')  # makes sqlite look into files that were cut short
        return connection

    def stamps(self, topic: str) -> np.ndarray:
        """Return the log times of a topic's messages, int64 [M], ns, rising."""
        return self._places[topic]['stamp'] if topic in self._places else np.empty(0, np.int64)

    def read(self, topic: str, number: int) -> bytes:
        """Return a topic's message by its number in the order of log times. Raises BagError where it is damaged."""
        return self._get(topic, number, None)

    def head(self, topic: str, number: int, size: int) -> bytes:
        """Return the first `size` bytes of `read`, without reading the rest."""
        return self._get(topic, number, size)

    def _get(self, topic: str, number: int, size: int | None) -> bytes:
        place = self._places[topic][number]
        file, row = int(place['file']), int(place['row'])
        try:
            data = _blob(self._connection(file), row, size)
            if data[:4] != _ZSTD:
                return data
            whole = data if size is None else _blob(self._connection(file), row, None)
            return zstd.decompress(whole) if size is None else zstd.ZstdDecompressor().decompress(whole, size)
        except (sqlite3.DatabaseError, zstd.ZstdError) as error:
            raise BagError(f'message {number} on {topic} in {self._files[file]} cannot be read: {error}') from None

    def close(self) -> None:
        """Close the files."""
        for key in list(self._connections):
            if key[0] == os.getpid():
                self._connections.pop(key).close()

    def __reduce__(self) -> Any:
        return SqliteStore, (self.path,)


def _numbers(rows: list[tuple[int, int, int]], file: Path) -> np.ndarray:
    try:
        return np.array(rows, np.int64).reshape(-1, 3)
    except (ValueError, TypeError) as error:
        raise BagError(f'{file} has messages whose topic or time is no number ({error}): it is no rosbag2 file, or '
                       'damaged') from None


def _blob(connection: sqlite3.Connection, row: int, size: int | None) -> bytes:
    if size is not None and hasattr(connection, 'blobopen'):  # Python 3.11 on; substr loads the whole message
        with connection.blobopen('messages', 'data', row, readonly=True) as blob:
            return blob.read(size)
    column = 'data' if size is None else f'substr(data, 1, {int(size)})'
    return connection.execute(f'SELECT {column} FROM messages WHERE id = ?', (row,)).fetchone()[0]


def _files(path: Path) -> list[Path]:
    """Return the .db3 files in the order of their numbers. Raises BagError where there are none."""
    files = sorted(path.glob('*.db3'), key=lambda file: [int(part) if part.isdigit() else part
                                                         for part in re.split(r'(\d+)', file.name)]) \
        if path.is_dir() else [path]
    packed = [file for file in path.glob('*.db3.zstd') if file.with_suffix('') not in files] if path.is_dir() else []
    if packed:
        raise BagError(f'{path} holds compressed files {sorted(file.name for file in packed)}, in which no message can '
                       f'be found by itself: unpack them first with `zstd -d {path}/*.db3.zstd`')
    if not files or not all(file.is_file() for file in files):
        raise BagError(f'no bag at {path}: expected an .db3 file, or a folder that holds such files')
    return files
