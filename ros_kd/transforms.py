# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""A tree of frames over time, with the meaning of tf2 and without ROS: what /tf and /tf_static of a bag say.

Differences to tf2: nothing is forgotten, and a leading slash of a frame's name is left out everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Iterator

import numpy as np

from ros_kd import extrinsics


class TransformError(ValueError):
    """A transform that is not known; the text names the frames, the time asked for and the times known."""


@dataclass(frozen=True)
class Coverage:
    """What is known of one edge of the tree. first, last, largest_gap: ns; 0 for a static edge."""

    parent: str
    child: str
    static: bool
    count: int = 1
    first: int = 0
    last: int = 0
    largest_gap: int = 0


@dataclass(frozen=True, eq=False)
class _Edge:
    """From a frame to its parents: stamps int64 [K], ns, rising (static: [1], without meaning); numbers of the parents
    int64 [K]; child to parent float64 [K, 4, 4]."""

    static: bool
    stamps: np.ndarray
    parents: np.ndarray
    matrices: np.ndarray

    def at(self, stamp: int) -> tuple[int, np.ndarray] | None:
        """Return parent and transform [4, 4], interpolated; None outside the stamps."""
        if self.static or stamp == self.stamps[-1]:
            return int(self.parents[-1]), self.matrices[-1]
        if not self.stamps[0] <= stamp < self.stamps[-1]:
            return None
        after = int(np.searchsorted(self.stamps, stamp, 'right'))
        older = after - 1
        if self.parents[older] != self.parents[after]:
            return int(self.parents[older]), self.matrices[older]  # nothing to interpolate between two parents
        begin, end = int(self.stamps[older]), int(self.stamps[after])
        return int(self.parents[older]), extrinsics.interpolate(self.matrices[older], self.matrices[after],
                                                                (stamp - begin) / (end - begin))

    def parents_at(self, stamps: np.ndarray) -> np.ndarray:
        """Return the parents at stamps int64 [M]; -1 where `at` has none."""
        if self.static:
            return np.full(len(stamps), self.parents[-1])
        older = np.clip(np.searchsorted(self.stamps, stamps, 'right') - 1, 0, None)
        known = (stamps >= self.stamps[0]) & (stamps <= self.stamps[-1])
        return np.where(known, self.parents[older], -1)


class TransformTree:
    """Transforms between frames over time: filled with `add`, then read.

    Stamps are nanoseconds, transforms float64 [4, 4]. `lookup(target, source)` maps coordinates in the source's frame
    to the target's. Nothing is extrapolated.
    """

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._names: list[str] = []
        self._edges: dict[int, _Edge] = {}
        self._new: dict[int, tuple[bool, list[tuple[int, int, np.ndarray]]]] = {}

    # ---- filling

    def add(self, parent: str, child: str, stamp: int, matrix: np.ndarray, static: bool = False) -> None:
        """Add T_parent_child at `stamp`; a static one holds at every time.

        As in tf2, the newest kind of a frame counts: a moving transform replaces a static one, and the other way round;
        a second one at the same stamp replaces the first. Raises TransformError for a transform that cannot be one.
        """
        parent, child = parent.lstrip('/'), child.lstrip('/')
        if not parent or not child or parent == child:
            raise TransformError(f'transform from frame "{child}" to "{parent}": expected two names that differ')
        matrix = np.asarray(matrix, np.float64)
        if matrix.shape != (4, 4) or not np.isfinite(matrix).all():
            raise TransformError(f'transform from "{child}" to "{parent}" is {matrix.tolist()}, expected a finite 4x4')
        number, above = self._number(child), self._number(parent)
        if number not in self._new or self._new[number][0] != static:
            self._new[number] = (static, [])
        samples = self._new[number][1]
        if static:
            samples.clear()
        samples.append((int(stamp), above, matrix))

    def _number(self, name: str) -> int:
        if name not in self._numbers:
            self._numbers[name] = len(self._names)
            self._names.append(name)
        return self._numbers[name]

    def _edge(self, number: int) -> _Edge | None:
        if number in self._new:
            static, samples = self._new.pop(number)
            old = self._edges.get(number)
            self._edges[number] = _merged(static, samples, old if old is not None and old.static == static else None)
        return self._edges.get(number)

    # ---- looking up

    def lookup(self, target: str, source: str, stamp: int | None = None) -> np.ndarray:
        """Return T_target_source float64 [4, 4] at `stamp`; None: the newest that all edges between have.

        Raises TransformError where a frame is unknown, the two are not connected, or the time is not covered.
        """
        ends = self._known(target), self._known(source)
        if stamp is None:
            stamp = self._latest_common(*ends)
        return self._walk(*ends, int(stamp))

    def lookup_full(self, target: str, target_stamp: int, source: str, source_stamp: int, fixed: str) -> np.ndarray:
        """Return the transform from `source` at its stamp to `target` at its stamp, float64 [4, 4].

        `fixed` is the frame that does not move in between. Raises TransformError as `lookup` does.
        """
        return self.lookup(target, fixed, target_stamp) @ self.lookup(fixed, source, source_stamp)

    def covers(self, target: str, source: str, stamps: np.ndarray) -> np.ndarray:
        """Tell for stamps int64 [M] whether `lookup` succeeds, bool [M]; quick, as nothing is interpolated."""
        stamps = np.asarray(stamps, np.int64)
        if not {target.lstrip('/'), source.lstrip('/')} <= self._numbers.keys():
            return np.zeros(len(stamps), bool)
        one, other = (self._ancestors(self._known(name), stamps) for name in (target, source))
        return ((one[:, :, None] == other[:, None, :]) & (one[:, :, None] >= 0)).any((1, 2))

    def _known(self, name: str) -> int:
        number = self._numbers.get(name.lstrip('/'))
        if number is None:
            raise TransformError(f'frame "{name}" is unknown; known: {sorted(self._names) or "none"}')
        return number

    def _walk(self, target: int, source: int, stamp: int) -> np.ndarray:
        """Climb from the source as far as it is known, then from the target until the two ways meet."""
        below: dict[int, np.ndarray] = {}
        gap: TransformError | None = None
        try:
            for frame, transform in self._climb(source, stamp):
                below[frame] = transform
                if frame == target:
                    return transform
        except TransformError as error:
            gap = error  # the ways may meet below it
        for frame, transform in self._climb(target, stamp):
            if frame in below:
                return extrinsics.invert(transform) @ below[frame]
        raise gap or self._unconnected(target, source)

    def _climb(self, frame: int, stamp: int) -> Iterator[tuple[int, np.ndarray]]:
        """Yield the frame and its ancestors, each with the transform from the frame."""
        transform, start = np.eye(4), frame
        for _ in range(len(self._names) + 1):
            yield frame, transform
            edge = self._edge(frame)
            if edge is None:
                return
            step = edge.at(stamp)
            if step is None:
                raise TransformError(self._uncovered(frame, edge, stamp))
            frame, transform = step[0], step[1] @ transform
        raise self._loop(start)

    def _ancestors(self, frame: int, stamps: np.ndarray) -> np.ndarray:
        """Return the frame and its ancestors at stamps [M]: numbers int64 [M, D], -1 above the last one known."""
        columns = [np.full(len(stamps), frame)]
        while (columns[-1] >= 0).any():
            if len(columns) > len(self._names):
                raise self._loop(frame)
            above = np.full(len(stamps), -1)
            for number in np.unique(columns[-1]):
                edge = self._edge(int(number))
                if edge is not None:
                    rows = columns[-1] == number
                    above[rows] = edge.parents_at(stamps[rows])
            columns.append(above)
        return np.stack(columns, 1)

    def _latest_common(self, target: int, source: int) -> int:
        """Return the newest stamp that every moving edge between the frames has; 0 if there is none."""
        never = np.iinfo(np.int64).max
        newest = dict(self._climb_newest(source))
        for frame, common in self._climb_newest(target):
            if frame in newest:
                stamp = min(common, newest[frame])
                return 0 if stamp == never else stamp
        raise self._unconnected(target, source)

    def _climb_newest(self, frame: int) -> Iterator[tuple[int, int]]:
        common, start = np.iinfo(np.int64).max, frame
        for _ in range(len(self._names) + 1):
            yield frame, common
            edge = self._edge(frame)
            if edge is None:
                return
            common = common if edge.static else min(common, int(edge.stamps[-1]))
            frame = int(edge.parents[-1])
        raise self._loop(start)

    # ---- what there is

    @property
    def frames(self) -> list[str]:
        """The names of all frames."""
        return sorted(self._names)

    def edges(self) -> list[Coverage]:
        """Return each edge with what is known of it, by child; the parent is the newest."""
        return [self._coverage(number) for _, number in sorted(self._numbers.items()) if self._edge(number) is not None]

    def stamps(self, child: str) -> np.ndarray:
        """Return when the edge above a frame is known, int64 [K], ns, rising; empty for a static or unknown one."""
        number = self._numbers.get(child.lstrip('/'))
        edge = None if number is None else self._edge(number)
        return np.empty(0, np.int64) if edge is None or edge.static else edge.stamps

    def _coverage(self, number: int) -> Coverage:
        edge = self._edge(number)
        names = self._names[edge.parents[-1]], self._names[number]
        if edge.static:
            return Coverage(*names, True)
        gap = int(np.diff(edge.stamps).max(initial=0))
        return Coverage(*names, False, len(edge.stamps), int(edge.stamps[0]), int(edge.stamps[-1]), gap)

    def as_text(self) -> str:
        """Return the tree as lines, each frame below its newest parent, with what is known of the edge."""
        edges = self.edges()
        lines: list[str] = []

        def add(frame: str, depth: int, note: str) -> None:
            lines.append('  ' * depth + frame + note)
            for edge in edges:
                if edge.parent == frame:
                    add(edge.child, depth + 1, ' (static)' if edge.static else
                        f' ({edge.count} transforms, {_seconds(edge.first)} to {_seconds(edge.last)} s, largest gap '
                        f'{edge.largest_gap * 1e-9:.3g} s)')

        for root in sorted(set(self._names) - {edge.child for edge in edges}):
            add(root, 0, '')
        return '\n'.join(lines)

    # ---- what is wrong

    def _uncovered(self, frame: int, edge: _Edge, stamp: int) -> str:
        first, last = int(edge.stamps[0]), int(edge.stamps[-1])
        early = stamp < first
        off = (first - stamp if early else stamp - last) * 1e-9
        parent = self._names[edge.parents[0 if early else -1]]
        return (f'frame "{self._names[frame]}" in "{parent}" is known from {_seconds(first)} s to {_seconds(last)} s, '
                f'but not at {_seconds(stamp)} s ({off:.3g} s too {"early" if early else "late"})')

    def _unconnected(self, target: int, source: int) -> TransformError:
        return TransformError(f'frames "{self._names[source]}" and "{self._names[target]}" are not connected: nothing '
                              'publishes a transform between their trees')

    def _loop(self, start: int) -> TransformError:
        return TransformError(f'the parents of frame "{self._names[start]}" form a loop: two publishers disagree about '
                              'which of their frames is the parent')


def _merged(static: bool, samples: list[tuple[int, int, np.ndarray]], old: _Edge | None) -> _Edge:
    """Return the edge with samples added, by stamp; of equal stamps the last added counts."""
    stamps = np.array([stamp for stamp, _, _ in samples], np.int64)
    parents = np.array([parent for _, parent, _ in samples], np.int64)
    matrices = np.stack([matrix for _, _, matrix in samples])
    if static:
        return _Edge(True, stamps, parents, matrices)
    if old is not None:
        stamps, parents = np.append(old.stamps, stamps), np.append(old.parents, parents)
        matrices = np.concatenate([old.matrices, matrices])
    order = np.argsort(stamps, kind='stable')
    order = order[np.append(np.diff(stamps[order]) > 0, True)]
    return _Edge(False, stamps[order], parents[order], matrices[order])


def _seconds(stamp: int) -> str:
    """Return ns as seconds with three digits; exact, where a float would round."""
    sign, stamp = '-' if stamp < 0 else '', abs(stamp)
    return f'{sign}{stamp // 10**9}.{stamp % 10**9 // 10**6:03}'
