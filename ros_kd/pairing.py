# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Pairing of live messages by their stamps: a policy, and what real clocks, drivers and networks make necessary."""

from __future__ import annotations

from collections import Counter
from typing import Callable, Generic, Mapping, Sequence

from ros_kd.pairing_clocks import LearnedBound, TimeBases
from ros_kd.pairing_policies import UNBOUNDED, ApproximateTime, ExactTime, OnDrop, Reason, T

__all__ = ['ApproximateTime', 'ExactTime', 'LEARN', 'Pairer', 'Reason', 'UNBOUNDED']

LEARN = 'learn'
_END = 2**63  # stamps are int64 wherever they come from


class Pairer(Generic[T]):
    """Pairs messages of named topics; no stamp makes it raise.

    offsets: by topic, ns taken off its stamps before pairing, as for a camera that is stamped after its exposure.
    bounds: LEARN: the shortest periods are learned from the stamps, so that a set is released before the next message;
    a mapping: they are given by topic (ns); None: no message is expected before it comes. on_jump is called with the
    topic that showed a jump back of time and how far (ns); the messages of before are dropped by then. on_drop is
    called with topic, message and reason. Neither may raise or call the pairer.
    """

    def __init__(self, names: Sequence[str], *, queue_size: int = 20, max_interval: int | None = None,
                 age_penalty: float = 0.1, exact: bool = False, offsets: Mapping[str, int] | None = None,
                 bounds: Mapping[str, int] | str | None = LEARN, on_drop: OnDrop | None = None,
                 on_jump: Callable[[str, int], None] | None = None) -> None:
        self.names = tuple(names)
        self.pairs = self.jumps = 0
        self.on_drop, self.on_jump = on_drop, on_jump
        self._received = [0] * len(self.names)
        self._dropped = [dict.fromkeys(Reason, 0) for _ in self.names]
        self._offsets = self._by_topic('offsets', offsets or {})
        self._policy = (ExactTime(len(self.names), queue_size, on_drop=self._drop) if exact else
                        ApproximateTime(len(self.names), queue_size, age_penalty=age_penalty,
                                        max_interval=max_interval, on_drop=self._drop))
        self._learned: list[LearnedBound] = []
        if bounds == LEARN and not exact:
            self._learned = [LearnedBound() for _ in self.names]
        elif bounds and not exact:
            self._policy.bounds = self._by_topic('bounds', bounds)
        self._bases = TimeBases(len(self.names))
        self._last: list[int | None] = [None] * len(self.names)

    def _by_topic(self, what: str, values: Mapping[str, int]) -> list[int]:
        if not isinstance(values, Mapping):
            raise ValueError(f'{what} is {values!r}, expected ns by topic' + f' or {LEARN!r}' * (what == 'bounds'))
        if unknown := sorted(set(values) - set(self.names)):
            raise ValueError(f'{what} of {unknown}, expected some of {list(self.names)}')
        return [int(values.get(name, 0)) for name in self.names]

    def add(self, topic: int, stamp: int, message: T) -> list[tuple[T, ...]]:
        """Take a message of topic number `topic` with its stamp (ns); return the sets that are certain now."""
        self._received[topic] += 1
        if not 0 < stamp < _END:
            self._drop(topic, message, Reason.NO_STAMP)
            return []
        stamp -= self._offsets[topic]
        reason = self._bases.judge(topic, stamp)
        if reason is not None:
            self._drop(topic, message, reason)
            return []
        if self._bases.jump:
            self._begin_anew(topic)
        if self._learned:
            last, self._last[topic] = self._last[topic], stamp
            if last is not None:
                self._policy.bounds[topic] = self._learned[topic].add(stamp - last)
        sets = self._policy.add(topic, stamp, message)
        self.pairs += len(sets)
        return sets

    def release(self) -> list[tuple[T, ...]]:
        """Return the sets that are the best if no message follows soon, as in a lull of all topics; the rest stays."""
        sets = self._policy.release()
        self.pairs += len(sets)
        return sets

    def finish(self) -> list[tuple[T, ...]]:
        """Return the sets that are the best now that no message follows; drop the rest."""
        sets = self._policy.finish()
        self.pairs += len(sets)
        return sets

    def _begin_anew(self, topic: int) -> None:
        self.jumps += 1
        self._last = [None] * len(self.names)
        self._policy.reset(Reason.TIME_JUMP)
        if self.on_jump is not None:
            self.on_jump(self.names[topic], self._bases.jump)

    def _drop(self, topic: int, message: T, reason: Reason) -> None:
        self._dropped[topic][reason] += 1
        if self.on_drop is not None:
            self.on_drop(topic, message, reason)

    @property
    def received(self) -> Counter[str]:
        """Messages by topic."""
        return Counter(dict(zip(self.names, self._received)))

    @property
    def dropped(self) -> Counter[tuple[str, Reason]]:
        """Messages that no set used, by topic and reason."""
        return Counter({(name, reason): count for name, counts in zip(self.names, self._dropped)
                        for reason, count in counts.items() if count})
