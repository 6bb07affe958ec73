# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""What the stamps of topics say about their clocks: jumps of time, and how soon the next stamp may come."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from ros_kd.pairing_policies import Reason

LATE = 10**9  # ns that a message may be late
CLOSE = LATE // 10  # ns that a topic's first message may lie behind the newest of all without a doubt
GAP = LATE // 4  # ns between messages of a topic that goes on as before
SOON = 2 * LATE  # ns after a jump, and of stamps, in which messages from before it still arrive


@dataclass(slots=True)
class _Left:
    """The time before a jump. end: the newest stamp there. begin: the first stamp after the jump. last: the newest
    stamp of each topic there. behind: topics that have not shown a stamp from after the jump. late: the oldest
    late stamp of each topic that had one."""

    end: int
    begin: int
    last: list[int | None]
    behind: set[int]
    late: dict[int, int] = field(default_factory=dict)


@dataclass(slots=True)
class _Trial:
    """A topic that began behind the others. first: its first stamp. newest: of all topics then. others: topics that
    have not gone on well beyond that."""

    first: int
    newest: int
    others: set[int]


class TimeBases:
    """Judges stamps (ns) one by one: in order, out of order, or evidence that time has jumped back.

    One message older than its topic's last one is out of order; two in a row that rise show a jump. A topic that begins
    behind the others may be late, or may have jumped with them before they show it: it is on trial until they have gone
    on, or it has for LATE. After a jump, topics that go on as before it, or whose stamps are nearer to its end than to
    the newest since, deliver late messages; they count again as soon as that ends, at the latest LATE after the end of
    the time before, or SOON after their oldest late message.
    """

    __slots__ = ('jump', '_last', '_suspect', '_newest', '_left', '_trials')

    def __init__(self, topics: int) -> None:
        self.jump = 0  # how far back (ns) time jumped with the stamp judged last
        self._last: list[int | None] = [None] * topics
        self._suspect: list[int | None] = [None] * topics  # the topic's message before, if it was too old
        self._newest: int | None = None
        self._left: _Left | None = None
        self._trials: dict[int, _Trial] = {}

    def judge(self, topic: int, stamp: int) -> Reason | None:
        """Return None for a stamp to use, else why not; `jump` tells whether it begins a new time."""
        self.jump = 0
        if self._left is not None and self._is_late(self._left, topic, stamp):
            return Reason.TIME_JUMP
        last = self._last[topic]
        if last is None:
            if self._is_on_trial(topic, stamp):
                return Reason.TOO_OLD
        elif stamp <= last:
            suspect = self._suspect[topic]
            if stamp in (last, suspect):
                return Reason.REPEATED
            self._suspect[topic] = stamp
            if suspect is None or stamp < suspect:
                return Reason.TOO_OLD
            self._begin_anew(topic, stamp)
            return None
        self._last[topic] = stamp
        self._suspect[topic] = None
        if self._newest is None or stamp > self._newest:
            self._newest = stamp
        if self._trials:
            self._acquit(topic, stamp)
        return None

    def _is_on_trial(self, topic: int, stamp: int) -> bool:
        trial = self._trials.get(topic)
        if trial is None:
            if self._newest is None or stamp >= self._newest - CLOSE:
                return False
            trial = self._trials[topic] = _Trial(stamp, self._newest, {
                other for other, known in enumerate(self._last) if known is not None})
        return bool(trial.others) and stamp <= trial.first + LATE

    def _acquit(self, topic: int, stamp: int) -> None:
        self._trials.pop(topic, None)
        for trial in self._trials.values():
            if stamp > trial.newest + GAP:
                trial.others.discard(topic)

    def _begin_anew(self, topic: int, stamp: int) -> None:
        self.jump = self._newest - stamp
        topics = len(self._last)
        self._left = _Left(self._newest, stamp, self._last, set(range(topics)) - {topic})
        self._last, self._suspect, self._trials = [None] * topics, [None] * topics, {}
        self._last[topic] = self._newest = stamp

    def _is_late(self, left: _Left, topic: int, stamp: int) -> bool:
        """Tell whether a message is from before the jump."""
        if self._newest >= left.end or self._newest - left.begin > SOON and not left.behind:
            self._left = None  # nothing tells the two apart any more, or nothing needs to
            return False
        if self._seems_late(left, topic, stamp):
            left.late[topic] = min(stamp, left.late.get(topic, stamp))
            if stamp <= left.late[topic] + SOON:
                if topic in left.behind:
                    last = left.last[topic]
                    left.last[topic] = stamp if last is None else max(last, stamp)
                return True
        if topic in left.behind:
            left.behind.discard(topic)
            self._last[topic] = stamp - 1  # whatever the others did since, it is in order
        return False

    def _seems_late(self, left: _Left, topic: int, stamp: int) -> bool:
        if stamp > left.end + LATE:
            return False
        near = abs(stamp - left.end) < abs(stamp - self._newest)
        if topic not in left.behind:
            return near and self._newest - left.begin <= SOON and not 0 < stamp - self._last[topic] <= GAP
        last = left.last[topic]
        return near or last is not None and 0 < stamp - last <= GAP and stamp >= left.end - LATE


class LearnedBound:
    """The shortest time to expect between two stamps of a topic (ns), from its last periods.

    `bound` is 0 until EVERY of them are known. It is a low quantile, which lost messages do not touch, as they make
    periods longer. Where even a low share of the periods is much shorter (bunches, a topic without a rate), it is the
    shortest one: to wait for nothing costs delay, but to release a set too early costs its quality. The figures are
    those of benchmarks/pairing.py: a bound near the middle of what jitter does to the periods errs by less than that
    jitter, while a safer one makes more than one set in 20 wait for a message that is no better.
    """

    __slots__ = ('bound', '_periods', '_new')

    WINDOW = 32  # periods
    EVERY = 8  # periods between two looks at them
    QUANTILE = 0.4
    FACTOR = 0.99
    REGULAR = 0.7  # least ratio of the lowest tenth to the quantile where there is a rate

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
            self.bound = int(self.FACTOR * (low if lowest >= self.REGULAR * low else periods[0]))
        return self.bound
