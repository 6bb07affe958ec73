# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Which messages of several topics belong together: by nearly equal stamps, or by equal ones.

Both follow the C++ policies of message_filters (ros2/message_filters, include/message_filters/sync_policies/
approximate_time.hpp and exact_time.hpp; http://wiki.ros.org/message_filters/ApproximateTime describes the first), whose
Python counterparts pair worse. Stamps are integers (ns). Within a topic they must rise; `Pairer` sees to that.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections import deque
from enum import Enum
from fractions import Fraction
from sys import maxsize
from typing import Callable, Generic, TypeVar

T = TypeVar('T')

UNBOUNDED = maxsize  # a queue that never overflows


class Reason(str, Enum):
    """Why a message was not used."""

    OVERFLOW = 'overflow'  # the queue was full, its own or that of a topic which then had no partner for it
    NO_PARTNER = 'no partner'  # a better fitting neighbour was used, or another topic ended
    MAX_INTERVAL = 'max interval'
    TOO_OLD = 'too old'  # older than the last set, or out of order
    TIME_JUMP = 'time jump'
    REPEATED = 'repeated stamp'
    NO_STAMP = 'no stamp'


OnDrop = Callable[[int, T, Reason], None]


def _ignore(topic: int, message: T, reason: Reason) -> None:
    """Nobody asked."""


class ApproximateTime(Generic[T]):
    """Sets of one message per topic whose stamps lie closest together.

    The latest of the first messages is the pivot. Of all sets with the pivot, the one of the lowest score
    end · (1 + age_penalty) − start is taken, the earliest of equals, where end and start are its outermost stamps. The
    sets are tried in the order of their starts, and the best is released as soon as no later one can have a lower
    score, given that a topic's next stamp comes at least `bounds[topic]` after its last.

    queue_size: messages kept of each topic. max_interval: longest time between start and end (ns); None: any.
    bounds: the shortest time between two stamps of each topic (ns); may be changed at any time. on_drop is called with
    topic, message and reason for each message that no set will use; it must not raise. Work per message is bounded by
    the queues' lengths, and constant on average.
    """

    __slots__ = ('bounds', 'queue_size', '_max_interval', '_end_weight', '_start_weight', '_on_drop', '_stamps',
                 '_messages', '_at', '_heads', '_waiting', '_pivot', '_pivot_stamp', '_best', '_overflowed')

    def __init__(self, topics: int, queue_size: int, *, age_penalty: float = 0.1, max_interval: int | None = None,
                 on_drop: OnDrop | None = None) -> None:
        _check(topics, queue_size)
        if not 0 <= age_penalty < float('inf'):
            raise ValueError(f'age_penalty is {age_penalty}, expected a number from 0')
        if max_interval is not None and max_interval < 0:
            raise ValueError(f'max_interval is {max_interval} ns, expected 0 or more, or None')
        self.bounds = [0] * topics
        self.queue_size = queue_size
        self._max_interval = float('inf') if max_interval is None else max_interval
        # integers keep scores exact: sets must not depend on the order of arrival
        self._end_weight, self._start_weight = (1 + Fraction(age_penalty).limit_denominator(1000)).as_integer_ratio()
        self._on_drop = on_drop or _ignore
        self._stamps: list[deque[int]] = [deque() for _ in range(topics)]
        self._messages: list[deque[T]] = [deque() for _ in range(topics)]
        self._at = [0] * topics  # where the search stands; a candidate's messages are at 0 of each queue
        self._heads = [0] * topics  # the stamps there; without meaning where the search ran out of messages
        self._waiting = topics  # topics whose messages the search ran out of
        self._pivot = -1  # topic; -1: no candidate
        self._pivot_stamp = self._best = 0
        self._overflowed: set[int] = set()  # topics whose dropped messages may have fitted better than their heads

    def add(self, topic: int, stamp: int, message: T) -> list[tuple[T, ...]]:
        """Take a message; return the sets that are certain now, in order of time."""
        stamps = self._stamps[topic]
        sets: list[tuple[T, ...]] = []
        stamps.append(stamp)
        self._messages[topic].append(message)
        if self._at[topic] == len(stamps) - 1:
            self._heads[topic] = stamp
            self._waiting -= 1
            if not self._waiting:
                self._search(sets)
        if len(stamps) > self.queue_size:
            self._rewind()
            self._drop_first(topic, Reason.OVERFLOW)
            self._overflowed.add(topic)
            if self._pivot >= 0:
                self._pivot = -1
                self._search(sets)
        return sets

    def release(self) -> list[tuple[T, ...]]:
        """Return the sets that are the best if no message follows soon; the rest stays."""
        sets: list[tuple[T, ...]] = []
        while self._pivot >= 0:
            self._release(sets)
            self._search(sets)
        return sets

    def finish(self) -> list[tuple[T, ...]]:
        """Return the sets that are the best now that no message follows; drop the rest."""
        sets = self.release()
        self.reset(Reason.NO_PARTNER)
        return sets

    def reset(self, reason: Reason = Reason.TIME_JUMP) -> None:
        """Drop all messages and begin anew."""
        self._pivot = -1
        self._overflowed.clear()
        for topic, stamps in enumerate(self._stamps):
            while stamps:
                stamps.popleft()
                self._on_drop(topic, self._messages[topic].popleft(), reason)
        self._rewind()

    def _search(self, sets: list[tuple[T, ...]]) -> None:
        """Try the sets at hand, each without the earliest message of the one before."""
        heads, end_weight, start_weight = self._heads, self._end_weight, self._start_weight
        while not self._waiting:
            end, start = max(heads), min(heads)
            first = heads.index(start)
            if self._overflowed:  # of what the other topics dropped, nothing could have been better
                self._overflowed.intersection_update((self._latest(end),))
            score = end * end_weight - start * start_weight
            if self._pivot < 0:
                if end - start > self._max_interval or self._overflowed:
                    self._drop_first(first, Reason.MAX_INTERVAL if end - start > self._max_interval else
                                     Reason.OVERFLOW)
                    continue
                self._pivot, self._pivot_stamp, self._best = self._latest(end), end, score
            elif score < self._best:
                self._best = score
                self._drop_passed()
            self._step(first)
            if (first == self._pivot or end * end_weight - self._pivot_stamp * start_weight >= self._best
                    or self._waiting and self._is_certain()):
                self._release(sets)

    def _is_certain(self) -> bool:
        """Tell whether no set can be better even if messages come as early as the bounds allow."""
        heads, at = self._heads.copy(), self._at.copy()
        pivot, end_weight, start_weight = self._pivot_stamp, self._end_weight, self._start_weight
        for topic, stamps in enumerate(self._stamps):
            if at[topic] == len(stamps):
                heads[topic] = max(pivot, stamps[-1] + self.bounds[topic])
        while True:
            end = max(heads) * end_weight
            if end - pivot * start_weight >= self._best:
                return True
            start = min(heads)
            if end - start * start_weight < self._best:
                return False
            topic = heads.index(start)  # a message before the pivot, so not one that is still to come
            stamps = self._stamps[topic]
            at[topic] += 1
            heads[topic] = (stamps[at[topic]] if at[topic] < len(stamps) else
                            max(pivot, stamps[-1] + self.bounds[topic]))

    def _latest(self, end: int) -> int:
        """Return the last topic whose head is at `end`."""
        heads = self._heads
        return len(heads) - 1 - heads[::-1].index(end)

    def _step(self, topic: int) -> None:
        """Move the search to the topic's next message."""
        at = self._at[topic] = self._at[topic] + 1
        stamps = self._stamps[topic]
        if at < len(stamps):
            self._heads[topic] = stamps[at]
        else:
            self._waiting += 1

    def _rewind(self) -> None:
        """Put the search back to the first messages."""
        self._waiting = 0
        for topic, stamps in enumerate(self._stamps):
            self._at[topic] = 0
            if stamps:
                self._heads[topic] = stamps[0]
            else:
                self._waiting += 1

    def _drop_first(self, topic: int, reason: Reason) -> None:
        """Drop a topic's first message; the search stands there."""
        stamps = self._stamps[topic]
        stamps.popleft()
        if stamps:
            self._heads[topic] = stamps[0]
        else:
            self._waiting += 1
        self._on_drop(topic, self._messages[topic].popleft(), reason)

    def _drop_passed(self) -> None:
        """Drop what the search has passed: it stands at a better set."""
        for topic, passed in enumerate(self._at):
            if passed:
                self._at[topic] = 0
                for _ in range(passed):
                    self._stamps[topic].popleft()
                    self._on_drop(topic, self._messages[topic].popleft(), Reason.NO_PARTNER)

    def _release(self, sets: list[tuple[T, ...]]) -> None:
        """Take the candidate out."""
        self._pivot = -1
        for stamps in self._stamps:
            stamps.popleft()
        sets.append(tuple([messages.popleft() for messages in self._messages]))
        self._rewind()


class ExactTime(Generic[T]):
    """Sets of one message per topic with equal stamps.

    queue_size: incomplete sets kept. A complete set drops the incomplete ones before it. on_drop as for
    ApproximateTime.
    """

    __slots__ = ('queue_size', '_topics', '_on_drop', '_sets', '_order', '_released')

    def __init__(self, topics: int, queue_size: int, *, on_drop: OnDrop | None = None) -> None:
        _check(topics, queue_size)
        self.queue_size = queue_size
        self._topics = topics
        self._on_drop = on_drop or _ignore
        self._sets: dict[int, dict[int, T]] = {}
        self._order: list[int] = []  # the stamps of the incomplete sets, rising
        self._released: int | None = None

    def add(self, topic: int, stamp: int, message: T) -> list[tuple[T, ...]]:
        """Take a message; return the set that it completes, if any."""
        if self._released is not None and stamp <= self._released:
            self._on_drop(topic, message, Reason.TOO_OLD)
            return []
        partners = self._sets.get(stamp)
        if partners is None:
            partners = self._sets[stamp] = {}
            insort(self._order, stamp)
        elif topic in partners:
            self._on_drop(topic, partners[topic], Reason.REPEATED)
        partners[topic] = message
        if len(partners) == self._topics:
            self._drop_oldest(bisect_right(self._order, stamp) - 1, Reason.NO_PARTNER)
            del self._order[0], self._sets[stamp]
            self._released = stamp
            return [tuple([partners[number] for number in range(self._topics)])]
        if len(self._order) > self.queue_size:
            self._drop_oldest(1, Reason.OVERFLOW)
        return []

    def release(self) -> list[tuple[T, ...]]:
        """Return nothing: complete sets never wait."""
        return []

    def finish(self) -> list[tuple[T, ...]]:
        """Drop the incomplete sets, as no message follows."""
        self.reset(Reason.NO_PARTNER)
        return []

    def reset(self, reason: Reason = Reason.TIME_JUMP) -> None:
        """Drop all messages and begin anew."""
        self._drop_oldest(len(self._order), reason)
        self._released = None

    def _drop_oldest(self, count: int, reason: Reason) -> None:
        for stamp in self._order[:count]:
            for topic, message in self._sets.pop(stamp).items():
                self._on_drop(topic, message, reason)
        del self._order[:count]


def _check(topics: int, queue_size: int) -> None:
    if topics < 1:
        raise ValueError(f'{topics} topics, expected 1 or more')
    if queue_size < 1:
        raise ValueError(f'queue_size is {queue_size}, expected 1 or more')
