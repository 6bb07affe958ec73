# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""What a recording took in, kept and lost, and why."""

from __future__ import annotations

import time
from array import array
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np


@dataclass
class Tally:
    """Counts of one recording. offsets: image's stamp minus scan's, in seconds, by camera, of the pairs recorded."""

    received: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)
    pairs: int = 0
    unlabelled: int = 0
    offsets: dict[str, array] = field(default_factory=dict)
    begin: float = field(default_factory=time.monotonic)
    first_pair: float = 0.0
    last_pair: float = 0.0

    def add_pair(self, offsets: dict[str, float]) -> None:
        """Count a recorded pair with its Δt (s) by camera."""
        self.last_pair = time.monotonic()
        self.first_pair = self.first_pair or self.last_pair
        self.pairs += 1
        for camera, offset in offsets.items():
            self.offsets.setdefault(camera, array('d')).append(offset)

    @property
    def rate(self) -> float:
        """Pairs per second between the first pair and the last."""
        return (self.pairs - 1) / (self.last_pair - self.first_pair) if self.last_pair > self.first_pair else 0.0

    def losses(self) -> str:
        """Return the pairs and messages lost by reason, as text."""
        return ', '.join(f'{count} {reason}' for reason, count in self.dropped.most_common()) or 'none'

    def line(self) -> str:
        """Return the state in one line."""
        received = ', '.join(f'{count} {what}' for what, count in self.received.items()) or 'nothing yet'
        return f'{self.pairs} pairs ({self.rate:.1f}/s); received {received}; lost: {self.losses()}'

    def report(self, path: Path, size: int) -> str:
        """Return the report at the end: pairs, rate, Δt per camera, losses, the bag and its size in bytes."""
        lines = [f'{self.pairs} pairs in {time.monotonic() - self.begin:.1f} s ({self.rate:.1f}/s)']
        for camera, offsets in self.offsets.items():
            shares = np.percentile(np.abs(offsets), (50, 95, 100)) * 1e3
            lines.append(f'{camera}: image - scan {np.mean(offsets) * 1e3:+.1f} ms on average, |Δt| median '
                         f'{shares[0]:.1f}, 95 % {shares[1]:.1f}, at most {shares[2]:.1f} ms')
        lines.append('received: ' + (', '.join(f'{n} {what}' for what, n in self.received.items()) or 'nothing'))
        lines.append(f'lost: {self.losses()}')
        if self.unlabelled:
            lines.append(f'{self.unlabelled} images without their label image')
        lines.append(f'bag: {path} ({size / 1e6:.1f} MB)' if self.pairs else 'no bag: nothing was recorded')
        return '\n  '.join(lines)
