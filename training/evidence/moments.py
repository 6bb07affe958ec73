# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""Which images of other moments see the points of a scan, and which of its points stand still."""

from __future__ import annotations

import logging
import zlib
from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import Sequence

import numpy as np

from ros_kd import extrinsics
from ros_kd.frames import CameraView, PairedFrame
from ros_kd.projection import OcclusionFilter, Projection, project_all
from training.evidence.depths import DepthTest, Surroundings, Window

_FASTEST = 100.0  # m/s; two poses that need more are not of one world frame


@dataclass(frozen=True)
class Moments:
    """How images of other moments are used.

    depth: what their scans must have measured where a point is; None trusts every pixel. seen_through: a point is taken
    for something that moves, and only its own moment's images are asked, if more than this share of the moments that
    tell look through it. still: what teachers call a person or a vehicle in another moment's image counts only where
    so many moments found the point and none looked through it (a parked car), and where nothing nearer is beside it; 0:
    at all points. contradicted: how much other moments count, 0..1, where they see nothing movable and the point's own
    image does: teachers overlook people more often than they invent them. consistent: a moment where less than this
    share of the points that it can judge is found has a wrong pose, and is left out; with right ones 0.93 to 0.99 were
    found on drives of KITTI, PandaSet and the simulated world, a quarter turn off 0.24 to 0.71. near: the distance from
    a camera at which an answer counts half, metres. fading: the time after which it counts half, seconds.
    """

    depth: DepthTest | None = DepthTest()
    seen_through: float = 0.34
    still: int = 2
    contradicted: float = 0.3
    consistent: float = 0.8
    near: float = 20.0
    fading: float = 10.0

    def __post_init__(self) -> None:
        shares = (self.seen_through, self.contradicted, self.consistent)
        if not (min(shares) >= 0 and max(shares) <= 1 and self.still >= 0):
            raise ValueError(f'{self}: expected shares from 0 to 1, and a number of moments')
        if not (self.near > 0 and self.fading > 0):
            raise ValueError(f'{self}: expected a distance and a time above 0')


@dataclass(frozen=True, eq=False)
class Look:
    """The points of a scan that one view sees: index int64 [M], rising; uv float32 [M, 2]; depth float32 [M], metres.

    seconds: between the scan and the moment of the view. edge: bool [M], points beside something nearer, whose pixels
    may show that; only told of other moments.
    """

    view: CameraView
    index: np.ndarray
    uv: np.ndarray
    depth: np.ndarray
    seconds: float
    edge: np.ndarray

    @classmethod
    def of(cls, view: CameraView, seen: Projection, index: np.ndarray, seconds: float) -> Look:
        """Return the look of a projection, of points that are the scan's rows index [M]."""
        return cls(view, index, seen.uv, seen.depth, seconds, np.zeros(len(index), bool))

    def at(self, rows: np.ndarray) -> Look:
        """Return those points that `rows` (a mask or places) chooses."""
        return replace(self, index=self.index[rows], uv=self.uv[rows], depth=self.depth[rows],
                       edge=self.edge[rows])


@dataclass(frozen=True, eq=False)
class Sight:
    """All views of a scan's points. own: of its moment; others: of other moments. still: bool [N], points that other
    moments found in the same place, and none looked through."""

    own: tuple[Look, ...]
    others: tuple[Look, ...]
    still: np.ndarray

    @property
    def seen(self) -> np.ndarray:
        """bool [N]: points that any view sees."""
        seen = np.zeros(len(self.still), bool)
        for look in (*self.own, *self.others):
            seen[look.index] = True
        return seen

    def standing(self) -> Sight:
        """Return the sight with no points of other moments but those that stand still."""
        return replace(self, others=tuple(look.at(self.still[look.index]) for look in self.others))

    def only(self, rows: np.ndarray) -> Sight:
        """Return the sight of the scan's rows int64 [M], rising, renumbered 0 to M - 1."""
        place = np.full(len(self.still), -1)
        place[rows] = np.arange(len(rows))

        def chosen(look: Look) -> Look:
            look = look.at(place[look.index] >= 0)
            return replace(look, index=place[look.index])
        return Sight(tuple(map(chosen, self.own)), tuple(map(chosen, self.others)), self.still[rows])


class Moment:
    """A frame as other frames ask it: its depth images are made when they are first needed."""

    def __init__(self, frame: PairedFrame, test: DepthTest | None) -> None:
        self.frame, self.test = frame, test
        self._surroundings: Surroundings | None = None
        self._windows: list[Window | None] = [None] * len(frame.views)

    def judge(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return bool [N] there and gone for points float32 [N, 3] in this moment's LiDAR frame."""
        if self.test is None:
            return np.isfinite(points).all(1), np.zeros(len(points), bool)
        if self._surroundings is None:
            self._surroundings = Surroundings.of(self.frame.points, self.test)
        return self._surroundings.judge(points)

    def looks(self, points: np.ndarray, index: np.ndarray, seconds: float) -> list[Look]:
        """Return what this moment's views see of points float32 [M, 3] in its LiDAR frame; index: their rows [M]."""
        looks = []
        for number, seen in enumerate(project_all(points, self.frame.views, None)):
            look = Look.of(self.frame.views[number], seen, index[seen.index], seconds)
            if self.test is not None and len(look.index):
                if self._windows[number] is None:
                    self._windows[number] = Window.of(self.frame.points, look.view, self.test)
                look = look.at(~self._windows[number].hidden(look.uv, look.depth))
                look = replace(look, edge=self._windows[number].edge(look.uv, look.depth))
            if len(look.index):
                looks.append(look)
        return looks


class Memory:
    """The depth images of recent moments: frames next to each other ask the same ones."""

    def __init__(self, test: DepthTest | None) -> None:
        self.test = test
        self._kept: OrderedDict[tuple, Moment] = OrderedDict()

    def moments(self, frames: Sequence[PairedFrame]) -> list[Moment]:
        """Return the frames as moments; those of the last call, and two more, are kept."""
        found = []
        for frame in frames:
            key = _identity(frame)
            moment = self._kept.pop(key, None) or Moment(frame, self.test)
            moment.frame = frame  # perhaps read anew
            self._kept[key] = moment
            found.append(moment)
        while len(self._kept) > len(frames) + 2:
            self._kept.popitem(last=False)
        return found


def _identity(frame: PairedFrame) -> tuple:
    """Keys and stamps may repeat between drives, so a part of the content is in it, too."""
    sample = np.ascontiguousarray(frame.points[::max(len(frame.points) // 64, 1)])
    views = tuple((view.camera.K.tobytes(), view.lidar_to_camera.tobytes()) for view in frame.views)
    return frame.key, frame.stamp, len(frame.points), zlib.crc32(sample.tobytes()), views


def sight(frame: PairedFrame, others: Sequence[PairedFrame], occlusion: OcclusionFilter | None, moments: Moments,
          memory: Memory) -> Sight:
    """Return what the frame's views and those of others see of the frame's points.

    Other frames without a pose, with one that is not finite, or whose pose contradicts the scans (a new world frame
    after odometry was lost) are left out; the latter two with a warning.
    """
    own = tuple(Look.of(view, seen, seen.index, 0.0)
                for view, seen in zip(frame.views, project_all(frame.points, frame.views, occlusion)))
    found = np.zeros(len(frame.points), np.int16)
    passed = np.zeros(len(frame.points), np.int16)
    kept = []
    for moment in memory.moments([other for other in others if _placed(frame, other)]):
        there_from_here = extrinsics.invert(moment.frame.world_from_lidar) @ frame.world_from_lidar
        points = extrinsics.apply(there_from_here, frame.points)
        there, gone = moment.judge(points)
        if there.sum() < moments.consistent * (there.sum() + gone.sum()):
            _warn(frame, moment.frame, f'of {there.sum() + gone.sum()} points where both scans measured, only '
                                       f'{there.sum()} are in the same place')
            continue
        found += there
        passed += gone
        kept.append((moment, points, there))
    trusted = passed <= moments.seen_through * (found + passed)
    looks = []
    for moment, points, there in kept:
        index = np.flatnonzero(there & trusted)
        looks += moment.looks(points[index], index, abs(moment.frame.stamp - frame.stamp) * 1e-9)
    return Sight(own, tuple(looks), (found >= max(moments.still, 1)) & (passed == 0) if moments.still else trusted)


def _placed(frame: PairedFrame, other: PairedFrame) -> bool:
    """Tell whether two frames have poses in what may be one world."""
    poses = (frame.world_from_lidar, other.world_from_lidar)
    if any(pose is None for pose in poses):
        return False
    if not all(np.isfinite(pose).all() for pose in poses):
        _warn(frame, other, 'a pose is not finite')
        return False
    seconds = abs(frame.stamp - other.stamp) * 1e-9
    metres = float(np.linalg.norm(poses[0][:3, 3] - poses[1][:3, 3]))
    if seconds > 0 and metres > 1 + _FASTEST * seconds:
        _warn(frame, other, f'they are {metres:.0f} m apart after {seconds:.2f} s')
        return False
    return True


def _warn(frame: PairedFrame, other: PairedFrame, reason: str) -> None:
    logging.getLogger(__name__).warning('frame %s does not learn from the images of frame %s: %s; are the poses of one '
                                        'drive and in one fixed frame?', frame.key, other.key, reason)
