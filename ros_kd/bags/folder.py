# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""A new rosbag2 folder: its mcap files, one after the other, and metadata.yaml."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from pathlib import Path
from typing import Sequence

from ros_kd.bags.mcap.file import McapFile, Topic
from ros_kd.bags.mcap.records import Raw
from ros_kd.bags.metadata import FileEntry, sync_folder, write_metadata


class BagFolder:
    """Files <name>_0.mcap, <name>_1.mcap ...: all but the last are finished, and metadata.yaml lists those that are.

    All methods raise OSError where the disk refuses, after which what was written is whole. `sync` may be called from
    another thread than the others. paths: of the files so far.
    """

    def __init__(self, path: Path, compression: str = '') -> None:
        path.mkdir(parents=True)
        self.path, self.paths = path, []
        self._compression = compression
        self._entries: list[FileEntry] = []
        self._listed = 0  # entries that metadata.yaml has
        self._finished_bytes = 0
        self._unsynced: list[McapFile] = []
        self._names_synced = False
        self._changing = threading.Lock()
        self._file: McapFile | None = None
        try:
            self._begin()
        except OSError:
            path.rmdir()
            raise

    @property
    def size(self) -> int:
        """Bytes of all files."""
        file = self._file
        return self._finished_bytes + (file.size if file is not None else 0)

    @property
    def file_size(self) -> int:
        """Bytes of the file that is being written, with what its index takes later."""
        file = self._file
        return file.size + file.summary.chunk_bytes if file is not None else 0

    @property
    def file_start(self) -> int | None:
        """The first log time in the file that is being written (ns), None before that."""
        return self._file.summary.start if self._file is not None and self._file.summary.messages else None

    def write(self, stamp: int, messages: Sequence[tuple[Topic, Raw]]) -> None:
        """Write messages, logged at `stamp` (ns), as one chunk."""
        if self._file is None:
            self._begin()
        self._file.write(stamp, messages)

    def split(self) -> None:
        """Finish the file, if anything is in it; the next one begins with the next message."""
        if self.file_start is None:
            return
        self._file.finish()
        self._entries.append(FileEntry(self._file.path.name, self._file.summary))
        self._finished_bytes += self._file.size
        with self._changing:
            late, self._unsynced = self._unsynced, [self._file]
            self._file = None
        _sync_and_close(late)
        self._write_metadata()

    def _write_metadata(self) -> None:
        if self._listed < len(self._entries):
            write_metadata(self.path, self._entries)
            self._listed = len(self._entries)

    def sync(self) -> None:
        """Force all that was written onto the disk."""
        with self._changing:
            finished, self._unsynced = self._unsynced, []
            file, new, self._names_synced = self._file, not self._names_synced, True
        _sync_and_close(finished)
        if file is not None:
            file.sync()
        if new:
            sync_folder(self.path)
            sync_folder(self.path.parent)

    def close(self) -> None:
        """Finish the last file and metadata.yaml; a folder without messages is removed. May be tried again."""
        self.split()
        if self._file is not None:
            self._file.close()
            self._file.path.unlink()
            self.paths.remove(self._file.path)
            self._file = None
        if not self._entries:
            self.path.rmdir()
            return
        self._write_metadata()
        self.sync()

    def abandon(self) -> None:
        """Close the files as they are."""
        for file in [*self._unsynced, self._file]:
            if file is not None:
                file.close()

    def _begin(self) -> None:
        path = self.path / f'{self.path.name}_{len(self.paths)}.mcap'
        file = McapFile(path, self._compression)
        self.paths.append(path)
        with self._changing:
            self._file, self._names_synced = file, False


def _sync_and_close(files: Sequence[McapFile]) -> None:
    with ExitStack() as stack:
        for file in files:
            stack.callback(file.close)
        for file in files:
            file.sync()
