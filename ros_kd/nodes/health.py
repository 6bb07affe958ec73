# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""What the segmenter counts, and how it says so on /diagnostics."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from statistics import fmean, median
from threading import Lock
from time import monotonic
from typing import Callable

from diagnostic_msgs.msg import DiagnosticStatus, KeyValue

from ros_kd.nodes.segment_timing import HOUR, Times

FAULTS = ('broken layout', 'missing field', 'empty cloud', 'out of memory', 'internal error')
OVERTAKEN, UNWATCHED = 'overtaken by a newer cloud', 'nobody subscribes'
_PERIODS = 30  # arrivals that the time between clouds is judged by
_ENOUGH = 5


class Silence:
    """The time without a message, by the time that the node follows and by the wall clock: the shorter of the two.

    A simulation that pauses, is slow, or jumps does not make a sensor silent, nor does one that is fast.
    """

    def __init__(self, seconds: Callable[[], float]) -> None:
        self._seconds = seconds
        self.end()

    def end(self) -> None:
        """A message has come."""
        self._since, self._wall_since = self._seconds(), monotonic()

    def seconds(self) -> float:
        """Return how long it has lasted."""
        now = self._seconds()
        self._since = min(self._since, now)  # time has jumped back
        return min(now - self._since, monotonic() - self._wall_since)


@dataclass(frozen=True)
class Findings:
    """What the node knows besides its counts.

    silent: why no message comes, or empty if one did. unheard: which publishers of the topic it cannot hear. twin:
    who else publishes what it does. model, checkpoint: what labels. budget_ms: as the parameter.
    """

    model: str = ''
    checkpoint: str = ''
    budget_ms: float = 0.0
    silent: str = ''
    unheard: str = ''
    twin: str = ''


@dataclass
class Health:
    """Counts of a running segmenter; may be used from any thread.

    times: of the last cloud. latency_ms: from its stamp to its result being published. texts: the last message of each
    kind of fault.
    """

    received: int = 0
    processed: int = 0
    dropped: Counter = field(default_factory=Counter)
    texts: dict[str, str] = field(default_factory=dict)
    times: Times | None = None
    latency_ms: float = 0.0
    points: int = 0
    without_position: int = 0
    over_budget: int = 0
    _arrivals: deque = field(default_factory=lambda: deque(maxlen=_PERIODS))
    _totals: list[float] = field(default_factory=list)
    _reported: Counter = field(default_factory=Counter)
    _last: tuple[float, int, int] = field(default_factory=lambda: (monotonic(), 0, 0))
    _lock: Lock = field(default_factory=Lock)

    def receive(self) -> None:
        """Count a message."""
        with self._lock:
            self.received += 1
            self._arrivals.append(monotonic())

    def drop(self, reason: str, text: str = '') -> bool:
        """Count a message that was not labelled. Return True for the first one of its kind."""
        with self._lock:
            self.dropped[reason] += 1
            self.texts[reason] = text
            return self.dropped[reason] == 1

    def process(self, times: Times, latency_ms: float, points: int, without_position: int) -> None:
        """Count a message that was labelled."""
        with self._lock:
            self.processed += 1
            self.times, self.latency_ms = times, latency_ms
            self.points, self.without_position = points, without_position
            self._totals.append(times.total)

    def period_ms(self) -> float:
        """Return the usual time between the last messages; 0 before there are enough to tell."""
        arrivals = list(self._arrivals)
        gaps = [later - earlier for earlier, later in zip(arrivals, arrivals[1:])]
        return 1e3 * median(gaps) if len(gaps) >= _ENOUGH else 0.0

    def status(self, name: str, found: Findings) -> DiagnosticStatus:
        """Return the diagnostic of the time since the last call."""
        with self._lock:
            budget = found.budget_ms or self.period_ms()
            totals, self._totals = self._totals, []
            if budget:
                self.over_budget += sum(total > budget for total in totals)
            level, text = self._judge(found, budget, fmean(totals) if totals else 0.0)
            self._reported = Counter(self.dropped)
            values = {**self._rates(), **self._last_cloud(),
                      'budget_ms': f'{budget:.1f}' if budget else 'not known yet',
                      'clouds over budget': self.over_budget, 'model': found.model, 'checkpoint': found.checkpoint,
                      **{f'dropped: {reason}': count for reason, count in sorted(self.dropped.items())}}
        return DiagnosticStatus(level=level, name=name, message=text, hardware_id=found.checkpoint,
                                values=[KeyValue(key=key, value=str(value)) for key, value in values.items()])

    def _judge(self, found: Findings, budget: float, mean: float) -> tuple[bytes, str]:
        faults = [reason for reason in FAULTS if self.dropped[reason] > self._reported[reason]]
        if found.silent:
            return DiagnosticStatus.ERROR, found.silent
        if faults:
            return DiagnosticStatus.WARN, f'{faults[0]}: {self.texts[faults[0]]}'
        if found.unheard or found.twin:
            return DiagnosticStatus.WARN, found.unheard or found.twin
        if budget and mean > budget:
            origin = 'parameter budget_ms' if found.budget_ms else 'the time between clouds'
            return DiagnosticStatus.WARN, (
                f'a cloud takes {mean:.0f} ms, the budget is {budget:.0f} ms ({origin}): clouds are left out or late; '
                'take a faster student, tta:=1 or fewer points')
        return DiagnosticStatus.OK, f'{self.processed} clouds labelled'

    def _rates(self) -> dict[str, object]:
        then, received, processed = self._last
        now = monotonic()
        self._last = now, self.received, self.processed
        seconds = max(now - then, 1e-9)
        return {'received': self.received, 'processed': self.processed,
                'rate in, 1/s': f'{(self.received - received) / seconds:.1f}',
                'rate out, 1/s': f'{(self.processed - processed) / seconds:.1f}',
                'time between clouds, ms': f'{self.period_ms():.1f}'}

    def _last_cloud(self) -> dict[str, object]:
        if self.times is None:
            return {}
        return {**{f'{stage}_ms': f'{getattr(self.times, stage):.1f}' for stage in Times.__dataclass_fields__},
                'latency_ms': f'{self.latency_ms:.1f}' if 0 <= self.latency_ms < HOUR else 'stamps of another clock',
                'points': self.points, 'points_without_position': self.without_position}
