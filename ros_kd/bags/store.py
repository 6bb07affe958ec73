# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""The messages of a bag by topic and number, whatever kind of file they are in."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np

from ros_kd.bags import BagError

SUFFIXES = ('.mcap', '.db3', '.bag')


class MessageStore(Protocol):
    """A bag that stays on disk but for its index; pickles by path; threads and forked workers may share one.

    types: the ROS 2 message type of each topic. warnings: what is wrong with the bag but did not stop it, such as that
    it was not finished.
    """

    types: dict[str, str]
    warnings: tuple[str, ...]

    def stamps(self, topic: str) -> np.ndarray:
        """Return the log times of a topic's messages, int64 [M], ns, rising; empty for a topic that is not there."""

    def read(self, topic: str, number: int) -> bytes | memoryview:
        """Return a topic's message by its number in the order of log times: CDR with its encapsulation.

        Raises BagError where it is damaged.
        """

    def head(self, topic: str, number: int, size: int) -> bytes | memoryview:
        """Return the first `size` bytes of `read` (fewer if it is shorter), without reading the rest."""

    def close(self) -> None:
        """Close the files."""


def open_store(path: Path) -> MessageStore:
    """Open a bag folder or file by what is on disk: mcap, sqlite3 (.db3) or ROS 1 (.bag).

    Raises BagError where there is none, or where it cannot be read.
    """
    if not path.exists() or not is_bag(path):
        raise BagError(f'no bag at {path}: expected a rosbag2 folder (metadata.yaml beside .mcap or .db3 files), or an '
                       '.mcap, .db3 or .bag file')
    if path.suffix == '.bag' and path.is_file():
        from ros_kd.bags.ros1_store import Ros1Store

        return Ros1Store(path)
    if path.suffix == '.db3' and path.is_file() or _holds(path, '.db3') and not _holds(path, '.mcap'):
        from ros_kd.bags.sqlite_store import SqliteStore

        return SqliteStore(path)
    from ros_kd.bags.index import BagIndex

    return BagIndex(path)


def is_bag(path: Path) -> bool:
    """Tell whether `path` is a rosbag2 folder, finished or not, or a bag file."""
    if path.is_dir():
        return (path / 'metadata.yaml').exists() or _holds(path, '.mcap') or _holds(path, '.db3')
    return path.suffix in SUFFIXES


def _holds(path: Path, suffix: str) -> bool:
    return any(path.glob(f'*{suffix}')) or any(path.glob(f'*{suffix}.zstd'))


def at(store: MessageStore, topic: str, stamp: int) -> bytes | memoryview | None:
    """Return the first message of a topic that was logged exactly at `stamp` (ns), or None."""
    stamps = store.stamps(topic)
    position = int(np.searchsorted(stamps, stamp))
    return store.read(topic, position) if position < len(stamps) and stamps[position] == stamp else None


def before(store: MessageStore, topic: str, stamp: int) -> int:
    """Return the number of the last message of a topic logged at or before `stamp` (ns), -1 if there is none."""
    return int(np.searchsorted(store.stamps(topic), stamp, 'right')) - 1
