# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""What the simulated vehicle measures when, in the order in which it becomes known."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from itertools import count
from typing import Iterator

from ros_kd.world.rig import Rig
from ros_kd.world.simulation import EPOCH

POSE, IMAGE, SCAN = range(3)


@dataclass(frozen=True, order=True)
class Due:
    """Something to publish at `moment` (ns): the pose, the image of `camera`, or a scan.

    stamp: when it was measured, ns. A scan is stamped with its begin and known at its end.
    """

    moment: int
    kind: int
    stamp: int = field(compare=False)
    camera: str = field(compare=False, default='')


def schedule(rig: Rig, start: float, pose_rate: float = 50.0) -> Iterator[Due]:
    """Yield what is due from `start` (s) on, for ever; a pose comes at or before each other stamp's moment."""
    def poses() -> Iterator[Due]:
        for number in count(int(start * pose_rate)):
            moment = EPOCH + round(number / pose_rate * 1e9)
            yield Due(moment, POSE, moment)

    def images(name: str) -> Iterator[Due]:
        model = rig.camera(name)
        for number in count(max(int((start - model.phase) * model.rate) + 1, 0)):
            moment = model.exposure(number, EPOCH)
            yield Due(moment, POSE, moment)
            yield Due(moment, IMAGE, moment, name)

    def scans() -> Iterator[Due]:
        for number in count(int(start * rig.lidar.rate) + 1):
            yield Due(rig.lidar.stamp(number + 1, EPOCH), SCAN, rig.lidar.stamp(number, EPOCH))

    return heapq.merge(poses(), *(images(model.name) for model in rig.cameras), scans())


def limited(dues: Iterator[Due], scans: int = 0, seconds: float = 0.0) -> Iterator[Due]:
    """Yield up to and including the scan number `scans`, within `seconds` of the first; 0: no limit."""
    first, seen = None, 0
    for due in dues:
        first = due.moment if first is None else first
        if seconds and due.moment - first > seconds * 1e9:
            return
        yield due
        seen += due.kind == SCAN
        if scans and seen == scans:
            return
