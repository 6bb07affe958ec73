# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Whether the tree of frames of a raw bag has what pairs need, and when."""

from __future__ import annotations

import numpy as np

from ros_kd.bags.raw.motion import RawMotion
from ros_kd.inspection.figures import Chain, Edge, Frames
from ros_kd.inspection.timing import PAUSE, Gap, rhythm
from ros_kd.transforms import Coverage, TransformError, TransformTree

_WANTED = 'odom'


def frames(motion: RawMotion, cameras: dict[str, str], stamps: np.ndarray, wanted: str | None) -> Frames:
    """Return the figures of the tree.

    cameras: frame of each camera by name. stamps: of the scans, int64 [M], ns. wanted: the fixed frame asked for, None
    for any, '' for none.
    """
    tree, lidar = motion.tree, motion.lidar
    chains = [chain(tree, f'camera {name}', lidar, frame, stamps) for name, frame in cameras.items()]
    targets = list(cameras.values())
    if wanted != '':
        targets.append(motion.fixed or wanted or _WANTED)
        chains.append(chain(tree, 'fixed frame', lidar, targets[-1], stamps))
    edges = tree.edges()
    used = set().union(*(_between(edges, lidar, target) for target in targets))
    return Frames(tree.as_text(), tuple(_edge(tree, edge, edge.child in used) for edge in edges), tuple(chains))


def chain(tree: TransformTree, what: str, source: str, target: str, stamps: np.ndarray) -> Chain:
    """Ask for the transform from `source` to `target` at each of `stamps`."""
    covered = tree.covers(target, source, stamps)
    reason = '' if covered.all() else _reason(tree, target, source, int(stamps[~covered][0]))
    return Chain(what, source, target, len(stamps), int(covered.sum()), reason, _spans(stamps, ~covered))


def _reason(tree: TransformTree, target: str, source: str, stamp: int) -> str:
    try:
        tree.lookup(target, source, stamp)
    except TransformError as error:
        return str(error)
    return 'not known at those times'


def _spans(stamps: np.ndarray, missing: np.ndarray) -> tuple[Gap, ...]:
    """Return the spans of stamps in a row that are missing."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], missing, [False]]).astype(np.int8)))
    return tuple(Gap(int(stamps[first]), float(stamps[after - 1] - stamps[first]) / 1e9)
                 for first, after in zip(edges[::2], edges[1::2]))


def _between(edges: list[Coverage], one: str, other: str) -> set[str]:
    """Return the children of the edges on the way between two frames."""
    parents = {edge.child: edge.parent for edge in edges}
    ways = []
    for frame in (one.lstrip('/'), other.lstrip('/')):
        way: list[str] = []
        while frame in parents and frame not in way:
            way.append(frame)
            frame = parents[frame]
        ways.append(set(way))
    return ways[0] ^ ways[1]


def _edge(tree: TransformTree, edge: Coverage, used: bool) -> Edge:
    if edge.static:
        return Edge(edge.parent, edge.child, True, used=used)
    beats = rhythm(tree.stamps(edge.child))
    return Edge(edge.parent, edge.child, False, edge.count, beats.usual_rate, edge.largest_gap / 1e9,
                tuple(gap for gap in beats.gaps if gap.seconds * 1e9 > PAUSE), used)
