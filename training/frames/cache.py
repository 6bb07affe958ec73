# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""What teachers say of the points of a data set, on disk, computed once and shared between trainings.

A folder holds shards, NAME.safetensors and NAME.jsonl. Each process that writes has one of its own, so that any number
may share the folder. A shard is one safetensors document for each frame, one after the other; a line of its index is
written after the document that it tells of: where it begins, its size, its CRC-32, and what it is the answer to. So a
process that is killed loses the frame that it was at, no more, and what a damaged disk changed is seen and made anew.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import socket
import sys
import time
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Callable, Iterator

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from training.frames.targets import Targets

SHARD = 256 << 20  # bytes from which on a writer begins another shard


class CacheError(ValueError):
    """A cache that cannot be written; the text says why and what to do."""


@dataclass(frozen=True)
class _Place:
    """Where a document lies: number of its shard, first byte, bytes, CRC-32."""

    shard: int
    start: int
    size: int
    checksum: int


class TargetCache:
    """Targets by a text that says everything they depend on. Only the index is in memory.

    folder: made when something is written. shard_size: bytes from which on a writer begins another shard.
    added, written: how many targets this process has added, and their bytes.
    """

    def __init__(self, folder: Path, shard_size: int = SHARD) -> None:
        self.folder, self.shard_size = Path(folder), shard_size
        self._shards: list[Path] = []
        self._read: dict[Path, int] = {}  # bytes of each index that are known already
        self._places: dict[bytes, list[_Place]] = {}
        self._named: set[Path] = set()
        self._writer: _Writer | None = None
        self.written = self.added = 0
        self._refresh()

    def __len__(self) -> int:
        return len(self._places)

    def get(self, text: str) -> Targets | None:
        """Return what is known under a text, None if nothing is or it is damaged (which is said once a shard)."""
        key = _key(text)
        if key not in self._places:
            self._refresh()
        for place in reversed(self._places.get(key, [])[:]):  # made anew after it was damaged: the last one
            targets = self._load(place)
            if targets is not None:
                return targets
            self._places[key].remove(place)
        self._places.pop(key, None)
        return None

    def get_or_make(self, text: str, make: Callable[[], Targets]) -> Targets:
        """Return what is known under a text, making and keeping it if nothing is. Raises CacheError if it is full."""
        targets = self.get(text)
        if targets is None:
            targets = make()
            self.put(text, targets)
        return targets

    def put(self, text: str, targets: Targets) -> None:
        """Keep targets under a text. Raises CacheError if the disk is full or the folder cannot be written to."""
        try:
            if self._writer is None or self._writer.process != os.getpid() or self._writer.size >= self.shard_size:
                self._close()
                self._writer = _Writer(self.folder)
            document = save(_tensors(targets))
            self._writer.write(text, document)
            self.added, self.written = self.added + 1, self.written + len(document)
        except OSError as error:
            raise self._explained(error) from None

    def _close(self) -> None:
        if self._writer is not None:
            self._writer.close()
        self._writer = None

    def __getstate__(self) -> dict[str, Any]:
        """What a loader process gets: everything but the writer, which is this process's own."""
        return {**self.__dict__, '_writer': None}

    def _explained(self, error: OSError) -> CacheError:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            free = free_space(self.folder)
            return CacheError(f'no space left for the cache {self.folder} ({free / 1e6:.0f} MB free): what it holds is '
                              'kept, so make space and run the same command again, or choose a folder on another disk')
        return CacheError(f'the cache {self.folder} cannot be written to ({error.strerror}): choose another folder')

    def _load(self, place: _Place) -> Targets | None:
        path = self._shards[place.shard]
        try:
            with path.open('rb') as file:
                file.seek(place.start)
                document = file.read(place.size)
            if len(document) != place.size:
                return self._name(path, f'ends {place.size - len(document)} bytes early')
            if zlib.crc32(document) != place.checksum:
                return self._name(path, 'does not have the checksum of its index')
            return _targets(load(document))
        except (OSError, SafetensorError, KeyError) as error:
            return self._name(path, f'cannot be read ({error})')

    def _name(self, path: Path, what: str) -> None:
        if path not in self._named:
            self._named.add(path)
            print(f'warning: shard {path} {what}: damaged frames are computed anew', file=sys.stderr)

    def _refresh(self) -> None:
        """Read what was added to the indices since the last time, by this process or another."""
        for index in sorted(self.folder.glob('*.jsonl')):
            with index.open('rb') as file:
                file.seek(self._read.get(index, 0))
                lines = file.read()
            complete = lines.rfind(b'\n') + 1  # the rest is being written, or its writer was killed
            if complete == 0:
                continue
            self._read[index] = self._read.get(index, 0) + complete
            for key, place in self._parsed(index, lines[:complete]):
                self._places.setdefault(key, []).append(place)

    def _parsed(self, index: Path, lines: bytes) -> Iterator[tuple[bytes, _Place]]:
        number = self._number(index.with_suffix('.safetensors'))
        for line in lines.splitlines():
            try:
                entry = json.loads(line)
                yield bytes.fromhex(entry['key']), _Place(number, *map(int, (entry['start'], entry['size'],
                                                                             entry['crc32'])))
            except (ValueError, KeyError, TypeError):
                self._name(index, 'has a line that is none of an index')

    def _number(self, shard: Path) -> int:
        if shard not in self._shards:
            self._shards.append(shard)
        return self._shards.index(shard)


class _Writer:
    """A shard of this process alone."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.process = os.getpid()
        name = f'{time.time_ns():x}-{socket.gethostname().partition(".")[0]}-{self.process}'
        self._documents: BinaryIO = (folder / f'{name}.safetensors').open('xb', buffering=0)
        self._index: BinaryIO = (folder / f'{name}.jsonl').open('xb', buffering=0)

    @property
    def size(self) -> int:
        """Bytes so far."""
        return self._documents.tell()

    def write(self, text: str, document: bytes) -> None:
        """Append a document, then its line. Raises OSError, with both files as they were before."""
        start, line = self._documents.tell(), self._index.tell()
        entry = {'key': _key(text).hex(), 'start': start, 'size': len(document), 'crc32': zlib.crc32(document),
                 'of': text}
        try:
            _write_all(self._documents, document)
            _write_all(self._index, (json.dumps(entry) + '\n').encode())
        except OSError:
            for file, end in ((self._documents, start), (self._index, line)):
                file.seek(end)
                file.truncate()
            raise

    def close(self) -> None:
        """Close both files."""
        self._documents.close()
        self._index.close()


def _write_all(file: BinaryIO, data: bytes) -> None:
    """Write all of it: a write to a disk that is nearly full may take a part, and only the next one fails."""
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest):]


def free_space(folder: Path) -> int:
    """Return the bytes that are free on the disk of a folder, which need not exist yet."""
    folder = folder.absolute()
    return shutil.disk_usage(next(path for path in (folder, *folder.parents) if path.exists())).free


def _key(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()[:16]


def _tensors(targets: Targets) -> dict[str, np.ndarray]:
    tensors = {'index': targets.index.astype(np.uint32), 'values': targets.values.astype(np.float16),
               'weight': targets.weight.astype(np.float32)}
    if targets.group is not None:
        tensors['group'] = targets.group.astype(np.int32)
    return {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}


def _targets(tensors: dict[str, np.ndarray]) -> Targets:
    return Targets(tensors['index'].astype(np.int64), tensors['values'], tensors['weight'], tensors.get('group'))
