# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""What the stamps of topics say about their clocks: jumps of time, and how soon the next stamp may come."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from ros_kd.pairing_policies import Reason

LATE = 10**9  # ns that a message may lie behind the newest of all topics
GAP = LATE // 4  # ns between messages of a topic that goes on as before
SOON = 2 * LATE  # ns after a jump in which messages from before it still arrive


@dataclass(slots=True)
class _Left:
    """The time before a jump. end: the newest stamp there. begin: the first stamp after the jump. last: the newest
    stamp of each topic there. behind: topics that have not shown a stamp from after the jump."""

    end: int
    begin: int
    last: list[int | None]
    behind: set[int]


class TimeBases:
    """Judges stamps (ns) one by one: in order, out of order, or evidence that time has jumped back.

    One message older than its topic's last one is out of order; two in a row that rise show a jump. So do the first two
    of a topic that was silent, if they are older than the newest message of all topics by more than LATE. After a jump,
    topics that go on as before it, or whose stamps are nearer to its end than to the newest since, deliver late
    messages; they count again as soon as that ends, at the latest LATE after the end of the time before.
    """

    __slots__ = ('jump', '_last', '_suspect', '_newest', '_left')

    def __init__(self, topics: int) -> None:
        self.jump = 0  # how far back (ns) time jumped with the stamp judged last
        self._last: list[int | None] = [None] * topics
        self._suspect: list[int | None] = [None] * topics  # the topic's message before, if it was too old
        self._newest: int | None = None
        self._left: _Left | None = None

    def judge(self, topic: int, stamp: int) -> Reason | None:
        """Return None for a stamp to use, else why not; `jump` tells whether it begins a new time."""
        self.jump = 0
        if self._left is not None and self._is_late(self._left, topic, stamp):
            return Reason.TIME_JUMP
        last = self._last[topic]
        if (last is None or not last < stamp <= last + LATE) and not self._is_in_order(topic, stamp, last):
            if stamp in (last, self._suspect[topic]):
                return Reason.REPEATED
            suspect, self._suspect[topic] = self._suspect[topic], stamp
            if suspect is None or stamp < suspect:
                return Reason.TOO_OLD
            if last is not None or stamp < self._newest - LATE:
                self._begin_anew(topic, stamp)
                return None
        self._last[topic] = stamp
        self._suspect[topic] = None
        if self._newest is None or stamp > self._newest:
            self._newest = stamp
        return None

    def _is_in_order(self, topic: int, stamp: int, last: int | None) -> bool:
        if self._newest is None:
            return True
        if last is None:
            return stamp >= self._newest - GAP
        return stamp > last and stamp >= self._newest - LATE

    def _begin_anew(self, topic: int, stamp: int) -> None:
        self.jump = self._newest - stamp
        topics = len(self._last)
        self._left = _Left(self._newest, stamp, self._last, set(range(topics)) - {topic})
        self._last, self._suspect = [None] * topics, [None] * topics
        self._last[topic] = self._newest = stamp

    def _is_late(self, left: _Left, topic: int, stamp: int) -> bool:
        """Tell whether a message is from before the jump."""
        since = self._newest - left.begin
        if self._newest >= left.end or since > SOON and not left.behind:
            self._left = None  # nothing tells the two apart any more, or nothing needs to
            return False
        near = abs(stamp - left.end) < abs(stamp - self._newest) and stamp <= left.end + LATE
        if topic not in left.behind:
            return near and since <= SOON
        last = left.last[topic]
        on = last is not None and 0 < stamp - last <= GAP and left.end - LATE <= stamp <= left.end + LATE
        if near or on:
            left.last[topic] = stamp if last is None else max(last, stamp)
            return True
        left.behind.discard(topic)
        return False


class LearnedBound:
    """The shortest time to expect between two stamps of a topic (ns), from its last periods.

    `bound` is 0 until there are enough. Lost messages make some periods longer, which does not matter to a low
    quantile; where the periods scatter much, their minimum is taken.
    """

    __slots__ = ('bound', '_periods', '_new')

    WINDOW = 32
    QUANTILE = 0.3
    FACTOR = 0.98
    EVERY = 8

    def __init__(self) -> None:
        self.bound = 0
        self._periods: deque[int] = deque(maxlen=self.WINDOW)
        self._new = 0

    def add(self, period: int) -> int:
        """Take the time between two stamps; return the bound."""
        self._periods.append(period)
        self._new += 1
        if self._new == self.EVERY:
            self._new = 0
            periods = sorted(self._periods)
            low, lowest = periods[int(self.QUANTILE * len(periods))], periods[len(periods) // 10]
            self.bound = int(self.FACTOR * (low if lowest > 0.8 * low else periods[0]))
        return self.bound
