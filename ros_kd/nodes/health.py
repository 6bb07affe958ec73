# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""What the segmenter counts, and how it says so on /diagnostics."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from threading import Lock
from time import monotonic

from diagnostic_msgs.msg import DiagnosticStatus, KeyValue

FAULTS = ('broken layout', 'missing field', 'empty cloud', 'internal error')
HOUR = 3.6e6  # ms
OVERTAKEN, UNWATCHED = 'overtaken by a newer cloud', 'nobody subscribes'


@dataclass
class Health:
    """Counts of a running segmenter; may be used from any thread.

    processing_ms: the time from the worker taking the last cloud to its result being published. latency_ms: from its
    stamp to then. texts: the last message of each kind of fault.
    """

    received: int = 0
    processed: int = 0
    dropped: Counter = field(default_factory=Counter)
    texts: dict[str, str] = field(default_factory=dict)
    processing_ms: float = 0.0
    latency_ms: float = 0.0
    points: int = 0
    without_position: int = 0
    last_received: float = field(default_factory=monotonic)
    _reported: Counter = field(default_factory=Counter)
    _lock: Lock = field(default_factory=Lock)

    def receive(self) -> None:
        """Count a message."""
        with self._lock:
            self.received += 1
            self.last_received = monotonic()

    def drop(self, reason: str, text: str = '') -> bool:
        """Count a message that was not labelled. Return True for the first one of its kind."""
        with self._lock:
            self.dropped[reason] += 1
            self.texts[reason] = text
            return self.dropped[reason] == 1

    def process(self, processing_ms: float, latency_ms: float, points: int, without_position: int) -> None:
        """Count a message that was labelled."""
        with self._lock:
            self.processed += 1
            self.processing_ms, self.latency_ms = processing_ms, latency_ms
            self.points, self.without_position = points, without_position

    def silence(self) -> float:
        """Return the seconds since the last message or the start."""
        return monotonic() - self.last_received

    def status(self, name: str, checkpoint: str, silent: str) -> DiagnosticStatus:
        """Return the diagnostic of the time since the last call. silent: why no message comes, or empty if one did."""
        with self._lock:
            faults = [reason for reason in FAULTS if self.dropped[reason] > self._reported[reason]]
            self._reported = Counter(self.dropped)
            if silent:
                level, text = DiagnosticStatus.ERROR, silent
            elif faults:
                level, text = DiagnosticStatus.WARN, f'{faults[0]}: {self.texts[faults[0]]}'
            else:
                level, text = DiagnosticStatus.OK, f'{self.processed} clouds labelled'
            values = {
                'received': self.received, 'processed': self.processed, 'processing_ms': f'{self.processing_ms:.1f}',
                'latency_ms': f'{self.latency_ms:.1f}' if 0 <= self.latency_ms < HOUR else 'stamps of another clock',
                'points': self.points,
                'points_without_position': self.without_position, 'checkpoint': checkpoint,
                **{f'dropped: {reason}': count for reason, count in sorted(self.dropped.items())}}
            return DiagnosticStatus(level=level, name=name, message=text, hardware_id=checkpoint,
                                    values=[KeyValue(key=key, value=str(value)) for key, value in values.items()])
