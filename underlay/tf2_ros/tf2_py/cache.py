# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""History of the transform from one frame to its parent. Times are nanoseconds; 0 means "the newest"."""
from bisect import bisect_left, bisect_right
from typing import List, Optional, Tuple

from tf2_py.exceptions import ExtrapolationException
from tf2_py.rigid import interpolate, Rigid

Sample = Tuple[str, Rigid]  # parent frame, transform child -> parent


class TimeCache:
    """Samples in order of time, no older than max_age before the newest."""

    def __init__(self, max_age: int) -> None:
        self._max_age = max_age
        self._stamps: List[int] = []
        self._samples: List[Sample] = []

    @property
    def latest(self) -> int:
        return self._stamps[-1] if self._stamps else 0

    def insert(self, stamp: int, parent: str, rigid: Rigid) -> bool:
        """Keep a sample; False if it is older than the history reaches."""
        expired = bisect_left(self._stamps, self.latest - self._max_age)
        del self._stamps[:expired], self._samples[:expired]
        if self._stamps and stamp < self.latest - self._max_age:
            return False
        place = slice(bisect_left(self._stamps, stamp), bisect_right(self._stamps, stamp))
        self._stamps[place], self._samples[place] = [stamp], [(parent, rigid)]
        return True

    def newest(self) -> Optional[Sample]:
        return self._samples[-1] if self._samples else None

    def at(self, stamp: int) -> Sample:
        """The sample at a time, interpolated; ExtrapolationException outside the history."""
        stamps = self._stamps
        if stamps and stamp in (0, stamps[-1]):
            return self._samples[-1]
        if not stamps or not stamps[0] <= stamp < stamps[-1]:
            raise ExtrapolationException(self._why_not(stamp))
        place = bisect_right(stamps, stamp)
        older, newer = self._samples[place - 1], self._samples[place]
        if older[0] != newer[0]:
            return older  # the parent changed in between: there is nothing to interpolate
        begin = stamps[place - 1]
        return older[0], interpolate(older[1], newer[1], (stamp - begin) / (stamps[place] - begin))

    def _why_not(self, stamp: int) -> str:
        if not self._stamps:
            return ''
        if len(self._stamps) == 1:
            return (f'Lookup would require extrapolation at time {stamp / 1e9:.6f}, '
                    f'but only time {self.latest / 1e9:.6f} is in the buffer')
        direction, end, bound = ('future', 'latest', self.latest) if stamp > self.latest else \
            ('past', 'earliest', self._stamps[0])
        return (f'Lookup would require extrapolation into the {direction}.  Requested time {stamp / 1e9:.6f} '
                f'but the {end} data is at time {bound / 1e9:.6f}')

    def clear(self) -> None:
        self._stamps.clear()
        self._samples.clear()


class StaticCache(TimeCache):
    """A transform that holds at every time; it never limits the newest common time, and survives clear()."""

    latest = 0

    def insert(self, stamp: int, parent: str, rigid: Rigid) -> bool:
        self._samples = [(parent, rigid)]
        return True

    def at(self, stamp: int) -> Sample:
        return self._samples[0]

    def clear(self) -> None:
        pass
