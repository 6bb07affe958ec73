# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""What stamps tell: rate, jitter, gaps and how a sensor's clock stands to the recorder's. All on int64 nanoseconds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

PAUSE = 500_000_000  # ns; what a drive notices
_BINS = 50
_JUMP = 1_000_000_000  # ns; no queue delays a message that long and the next one not at all


@dataclass(frozen=True)
class Gap:
    """A pause. start: ns, the stamp before it. seconds: how long."""

    start: int
    seconds: float


@dataclass(frozen=True)
class Rhythm:
    """How regular a stream is.

    start: ns, the first stamp. rate: Hz, messages over time; usual_rate: Hz, of the median period. wide_gaps,
    long_gaps: more than 1.5 and 3 median periods; pauses: long ones of more than 0.5 s. jitter_ms: the middle 90 % of
    the other periods are this far apart. missing: messages that would fill the gaps. gaps: the longest ten of the long
    ones, in order of time.
    """

    count: int
    start: int = 0
    rate: float = 0.0
    usual_rate: float = 0.0
    jitter_ms: float = 0.0
    largest_gap: float = 0.0
    wide_gaps: int = 0
    long_gaps: int = 0
    pauses: int = 0
    missing: int = 0
    gaps: tuple[Gap, ...] = ()

    @property
    def regular(self) -> bool:
        """Whether there is a period that gaps can be told by."""
        return self.count >= 5 and self.usual_rate > 0 and self.jitter_ms < 800 / self.usual_rate


def rhythm(stamps: np.ndarray) -> Rhythm:
    """Return how regular stamps int64 [M] in any order are; equal and zero ones count once and never."""
    rising = np.unique(stamps[stamps > 0])
    periods = np.diff(rising)
    if len(periods) == 0:
        return Rhythm(len(stamps), int(rising[0]) if len(rising) else 0)
    usual = float(np.median(periods))
    wide, long = periods > 1.5 * usual, np.nonzero(periods > 3 * usual)[0]
    low, high = np.percentile(periods[~wide], [5, 95])
    longest = np.sort(long[np.argsort(-periods[long], kind='stable')[:10]])
    return Rhythm(len(stamps), int(rising[0]), float(len(periods) / (rising[-1] - rising[0]) * 1e9), 1e9 / usual,
                  float(high - low) / 1e6, float(periods.max()) / 1e9, int(wide.sum()), len(long),
                  int((periods[long] > PAUSE).sum()), int((np.rint(periods[wide] / usual) - 1).sum()),
                  tuple(Gap(int(rising[i]), float(periods[i]) / 1e9) for i in longest))


@dataclass(frozen=True)
class Order:
    """Strange header stamps in the order of arrival: the same as the one before, older than it, zero."""

    repeated: int = 0
    backward: int = 0
    zero: int = 0


def order(stamps: np.ndarray) -> Order:
    """Count strange stamps int64 [M] in the order of arrival."""
    steps = np.diff(stamps[stamps > 0])
    return Order(int((steps == 0).sum()), int((steps < 0).sum()), int((stamps <= 0).sum()))


@dataclass(frozen=True)
class Clock:
    """Header stamps minus log times.

    start: ns, the first log time. median, low, high (5 and 95 %): s. drift: ppm, 0 where it cannot be told from noise.
    jump: s, the largest lasting step, 0 without one, at `jump_at` (log time, ns).
    """

    start: int
    median: float
    low: float
    high: float
    drift: float = 0.0
    jump: float = 0.0
    jump_at: int = 0

    @property
    def spread(self) -> float:
        """How far the middle 90 % are apart, s."""
        return self.high - self.low


def clock(stamps: np.ndarray, logged: np.ndarray) -> Clock | None:
    """Compare header stamps with log times, both int64 [M], ns; None without a stamp that is set."""
    logged, stamps = logged[stamps > 0], stamps[stamps > 0]
    if len(stamps) == 0:
        return None
    offsets = stamps - logged
    low, median, high = (float(value) / 1e9 for value in np.percentile(offsets, [5, 50, 95]))
    jump, at = _jump(offsets)
    if jump:
        return Clock(int(logged[0]), median, low, high, 0.0, jump, int(logged[at]))
    return Clock(int(logged[0]), median, low, high, _drift(offsets, logged))


def _jump(offsets: np.ndarray, around: int = 10) -> tuple[float, int]:
    """Return the largest step of the offset that lasts, s, and the number of the message behind it; 0 without one."""
    steps = np.diff(offsets)
    best = (0.0, 0)
    candidates = np.nonzero(np.abs(steps) > _JUMP)[0]
    for i in candidates[np.argsort(-np.abs(steps[candidates]), kind='stable')[:20]]:
        lasting = float(np.median(offsets[i + 1:i + 1 + around]) - np.median(offsets[max(0, i + 1 - around):i + 1]))
        if abs(lasting) > max(_JUMP, abs(best[0]) * 1e9):
            best = (lasting / 1e9, int(i) + 1)
    return best


def _drift(offsets: np.ndarray, logged: np.ndarray) -> float:
    """Return the slope of the offset, ppm.

    A late message lowers the offset, never raises it, so the 90th percentile of each of 50 intervals follows the
    clocks; the slope is the median of those between them (Theil-Sen), and 0 if it is less than twice its own noise.
    """
    if len(offsets) < 4 * _BINS or logged[-1] == logged[0]:
        return 0.0
    parts = np.array_split(np.arange(len(offsets)), _BINS)
    times = np.array([logged[part].mean() for part in parts]) - logged[0]
    levels = np.array([np.percentile(offsets[part], 90) for part in parts])
    one, other = np.triu_indices(_BINS, 1)
    apart = times[other] > times[one]
    slope = float(np.median((levels[other] - levels[one])[apart] / (times[other] - times[one])[apart]))
    residual = levels - slope * times
    noise = 1.4826 * float(np.median(np.abs(residual - np.median(residual)))) / (times.std() * np.sqrt(_BINS))
    return slope * 1e6 if abs(slope) > 2 * noise and abs(slope) * 1e6 > 0.1 else 0.0
