# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""History of the transform from one frame to its parent. Times are nanoseconds; 0 means "the newest"."""
from bisect import bisect_left, bisect_right
from typing import List, Optional, Tuple

from tf2_py.exceptions import ExtrapolationException
from tf2_py.rigid import interpolate, Rigid

Sample = Tuple[str, Rigid]  # parent frame, transform child -> parent


def seconds(nanoseconds: int) -> str:
    """A time as tf2 prints it."""
    return f'{nanoseconds / 1e9:.6f}'


class StaticCache:
    """A transform that holds at every time; it survives clear()."""

    latest = oldest = 0  # no time of its own: it never limits the newest common time

    def __init__(self) -> None:
        self._sample: Optional[Sample] = None

    def __len__(self) -> int:
        return 1

    def insert(self, stamp: int, parent: str, rigid: Rigid) -> bool:
        self._sample = (parent, rigid)
        return True

    def newest(self) -> Optional[Sample]:
        return self._sample

    def at(self, stamp: int) -> Sample:
        return self._sample

    def clear(self) -> None:
        pass


class TimeCache:
    """Samples in order of time, no older than max_age before the newest."""

    def __init__(self, max_age: int) -> None:
        self._max_age = max_age
        self._stamps: List[int] = []
        self._samples: List[Sample] = []

    def __len__(self) -> int:
        return len(self._stamps)

    @property
    def latest(self) -> int:
        return self._stamps[-1] if self._stamps else 0

    @property
    def oldest(self) -> int:
        return self._stamps[0] if self._stamps else 0

    def insert(self, stamp: int, parent: str, rigid: Rigid) -> bool:
        """Keep a sample; False if it is older than the history reaches."""
        expired = bisect_left(self._stamps, self.latest - self._max_age)
        if expired:
            del self._stamps[:expired], self._samples[:expired]
        if self._stamps and stamp < self.latest - self._max_age:
            return False
        sample = (parent, rigid)
        place = bisect_right(self._stamps, stamp)
        if sample not in self._samples[bisect_left(self._stamps, stamp):place]:
            self._stamps.insert(place, stamp)
            self._samples.insert(place, sample)
        return True

    def newest(self) -> Optional[Sample]:
        return self._samples[-1] if self._samples else None

    def at(self, stamp: int) -> Sample:
        """The sample at a time, interpolated; ExtrapolationException outside the history."""
        stamps = self._stamps
        if not stamps:
            raise ExtrapolationException('')
        if stamp == 0 or stamp == stamps[-1]:
            return self._samples[-1]
        if stamp == stamps[0]:
            return self._samples[0]
        if not stamps[0] < stamp < stamps[-1]:
            raise ExtrapolationException(self._why_not(stamp))
        place = bisect_right(stamps, stamp)
        older, newer = self._samples[place - 1], self._samples[place]
        if older[0] != newer[0]:
            return older  # the parent changed in between: there is nothing to interpolate
        begin = stamps[place - 1]
        return older[0], interpolate(older[1], newer[1], (stamp - begin) / (stamps[place] - begin))

    def _why_not(self, stamp: int) -> str:
        if len(self._stamps) == 1:
            return (f'Lookup would require extrapolation at time {seconds(stamp)}, '
                    f'but only time {seconds(self.latest)} is in the buffer')
        direction, end, bound = ('future', 'latest', self.latest) if stamp > self.latest else \
            ('past', 'earliest', self.oldest)
        return (f'Lookup would require extrapolation into the {direction}.  Requested time {seconds(stamp)} '
                f'but the {end} data is at time {seconds(bound)}')

    def clear(self) -> None:
        self._stamps.clear()
        self._samples.clear()
