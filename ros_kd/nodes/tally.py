# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""What a stream of pairs took in, passed on and lost, and why."""

from __future__ import annotations

import time
from array import array
from collections import Counter
from dataclasses import dataclass, field

import numpy as np


@dataclass
class Tally:
    """Counts of one stream; pairs may be added in one thread and read in another.

    received: messages by input. lost: pairs and scans by reason. left_out: pairs that were not wanted, by reason.
    unused: messages that no pair took, by input and reason. faults: what is wrong with pairs that were taken, by kind.
    offsets: image's stamp minus scan's, in seconds, by camera, of the pairs. seconds: that the pairs span by the stamps
    of their scans.
    """

    received: Counter[str] = field(default_factory=Counter)
    lost: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)
    unused: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    pairs: int = 0
    offsets: dict[str, array] = field(default_factory=dict)
    begin: float = field(default_factory=time.monotonic)
    seconds: float = 0.0
    _last: int = 0

    def add_pair(self, stamp: int, offsets: dict[str, float]) -> None:
        """Count a pair by its scan's stamp (ns), with its Δt (s) by camera."""
        if 0 < self._last < stamp:
            self.seconds += (stamp - self._last) * 1e-9
        self._last = stamp
        self.pairs += 1
        for camera, offset in offsets.items():
            self.offsets.setdefault(camera, array('d')).append(offset)

    @property
    def rate(self) -> float:
        """Pairs per second of the drive."""
        return (self.pairs - 1) / self.seconds if self.seconds else 0.0

    def recent_offsets(self, count: int) -> dict[str, np.ndarray]:
        """Return the last Δt (s) by camera, at most `count` of each."""
        return {camera: np.array(offsets[-count:]) for camera, offsets in tuple(self.offsets.items())}

    def line(self) -> str:
        """Return the state in one line."""
        return (f'{self.pairs} pairs ({self.rate:.1f}/s); received {_listed(self.received) or "nothing yet"}; '
                f'lost: {_listed(self.lost) or "none"}')

    def report(self) -> list[str]:
        """Return the lines of the report at the end: pairs, rate, Δt per camera, losses by reason."""
        lines = [f'{self.pairs} pairs in {time.monotonic() - self.begin:.1f} s ({self.rate:.1f}/s)']
        for camera, offsets in self.offsets.items():
            shares = np.percentile(np.abs(offsets), (50, 95, 99, 100)) * 1e3
            lines.append(f'{camera}: image - scan {np.mean(offsets) * 1e3:+.1f} ms on average, |Δt| median '
                         f'{shares[0]:.1f}, 95 % {shares[1]:.1f}, 99 % {shares[2]:.1f}, at most {shares[3]:.1f} ms')
        lines.append('received: ' + (_listed(self.received) or 'nothing'))
        lines.append(f'lost: {_listed(self.lost) or "none"}')
        for what, counts in (('left out', self.left_out), ('in no pair', self.unused), ('faults', self.faults)):
            if counts:
                lines.append(f'{what}: {_listed(counts)}')
        return lines


def _listed(counts: Counter[str]) -> str:
    return ', '.join(f'{count} {what}' for what, count in counts.most_common())
