# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Pairing of recorded stamps, and how far a pairing is from the best there is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Sequence

import numpy as np

from ros_kd.pairing import UNBOUNDED, OnDrop, Pairer

SLOP = 100_000_000  # ns between the messages of a pair, as the recorder's default


def pair_stamps(stamps: Sequence[np.ndarray], *, max_interval: int | None = SLOP, received: Sequence[np.ndarray] | None
                = None, offsets: Sequence[int] | None = None, queue_size: int = UNBOUNDED, age_penalty: float = 0.1,
                exact: bool = False, on_drop: OnDrop | None = None) -> np.ndarray:
    """Return the sets that a Pairer makes of stamps (ns) int64 [N] of K topics, as indices int64 [M, K], in order.

    received: when each message came (ns), as a bag's log times: messages are taken in that order, so that jumps of
    time are seen and what live pairing drops as too old is dropped. None: in the order of their stamps, whatever that
    of the arrays; only for stamps without a jump. offsets: ns taken off the stamps of each topic. on_drop is called
    with topic, index and reason for each message in no set. Raises ValueError for arrays that do not fit together.
    """
    stamps = [np.asarray(values, np.int64).reshape(-1) for values in stamps]
    offsets = [0] * len(stamps) if offsets is None else list(offsets)
    if received is None:
        received = [values - offset for values, offset in zip(stamps, offsets)]
    if not len(stamps) == len(received) == len(offsets):
        raise ValueError(f'stamps of {len(stamps)} topics, times of {len(received)} and offsets of {len(offsets)}, '
                         'expected as many')
    for topic, (values, times) in enumerate(zip(stamps, received)):
        if len(values) != len(times):
            raise ValueError(f'topic {topic} has {len(values)} stamps, but {len(times)} times of arrival')
    names = [str(topic) for topic in range(len(stamps))]
    pairer = Pairer(names, queue_size=queue_size, max_interval=max_interval, age_penalty=age_penalty, exact=exact,
                    offsets=dict(zip(names, offsets)), bounds=None, on_drop=on_drop)
    sets: list[tuple[int, ...]] = []
    topics = np.repeat(np.arange(len(stamps)), [len(values) for values in stamps])
    indices = np.concatenate([np.arange(len(values)) for values in stamps])
    order = np.argsort(np.concatenate([np.asarray(times) for times in received]), kind='stable')
    columns = topics[order], np.concatenate(stamps)[order], indices[order]
    for topic, stamp, index in zip(*(column.tolist() for column in columns)):
        sets += pairer.add(topic, stamp, index)
    return np.array(sets + pairer.finish(), np.int64).reshape(-1, len(stamps))


def best_pairs(one: np.ndarray, other: np.ndarray, max_interval: int = SLOP) -> np.ndarray:
    """Return the optimum for two topics, as indices int64 [M, 2] into their stamps (ns), in order of time.

    It has the most pairs within max_interval (ns) that do not cross and use no message twice, and of those the least
    sum of |Δt|.
    """
    one, other = np.asarray(one, np.int64), np.asarray(other, np.int64)
    if len(one) > len(other):
        return best_pairs(other, one, max_interval)[:, ::-1]
    rows, columns = np.argsort(one, kind='stable'), np.argsort(other, kind='stable')
    pairs = _best_of_rising(one[rows], other[columns], max_interval)
    return np.stack([rows[pairs[:, 0]], columns[pairs[:, 1]]], 1)


def _best_of_rising(one: np.ndarray, other: np.ndarray, max_interval: int) -> np.ndarray:
    """Solve by dynamic programming: with V[i, j] for the first i and j messages,
    V[i, j] = max(V[i−1, j], V[i, j−1], V[i−1, j−1] + worth of pair (i, j)), kept for the j within reach of i only.
    """
    begins = np.searchsorted(other, one - max_interval)
    ends = np.searchsorted(other, one + max_interval, 'right')
    unit = len(one) ** 2 * max_interval // 2**62 + 1  # ns; keeps worths within int64
    pair_worth = (len(one) + 1) * (max_interval // unit + 1)  # a pair more outweighs any sum of |Δt|
    values = np.zeros(len(other) + 1, np.int64)  # V of the last row; right of its reach, V stays what it is at the end
    reach, choices = 0, []
    for stamp, begin, end in zip(one.tolist(), begins.tolist(), ends.tolist()):
        values[reach + 1:end + 1] = values[reach]
        reach = max(reach, end)
        paired = values[begin:end] + (pair_worth - np.abs(other[begin:end] - stamp) // unit)
        best = np.maximum.accumulate(paired)
        partner = np.maximum.accumulate(np.where(paired == best, np.arange(begin, end), begin))
        choices.append(np.where(best > values[begin + 1:end + 1], partner, -1))
        np.maximum(values[begin + 1:end + 1], best, out=values[begin + 1:end + 1])
    return _trace_back(begins, choices, len(other))


def _trace_back(begins: np.ndarray, choices: list[np.ndarray], end: int) -> np.ndarray:
    """Follow each row's choices (partner of the row by the number of columns allowed, -1: none) from the last one."""
    pairs = []
    for row in range(len(choices) - 1, -1, -1):
        column = min(end - begins[row], len(choices[row])) - 1
        if column >= 0 and choices[row][column] >= 0:
            end = int(choices[row][column])
            pairs.append((row, end))
    return np.array(pairs[::-1], np.int64).reshape(-1, 2)


@dataclass(frozen=True)
class PairingQuality:
    """A pairing of two topics beside the optimum. pairs, best_pairs: counts. delta, best_delta: means of |Δt| (ns), 0
    without pairs."""

    pairs: int
    best_pairs: int
    delta: float
    best_delta: float

    @property
    def ratio(self) -> float:
        """Mean |Δt| by the optimum's; 1 if both are 0, inf if only the optimum's is."""
        if self.delta == self.best_delta:
            return 1.0
        return self.delta / self.best_delta if self.best_delta else float('inf')

    @property
    def share(self) -> float:
        """Pairs by the optimum's; 1 if there are none."""
        return self.pairs / self.best_pairs if self.best_pairs else 1.0


def rate_pairs(pairs: np.ndarray, one: np.ndarray, other: np.ndarray, max_interval: int = SLOP) -> PairingQuality:
    """Return the quality of pairs, indices int64 [M, 2] into stamps (ns); of more topics, rate each camera against the
    scans."""
    best = best_pairs(one, other, max_interval)
    return PairingQuality(len(pairs), len(best), _mean_delta(pairs, one, other), _mean_delta(best, one, other))


def _mean_delta(pairs: np.ndarray, one: np.ndarray, other: np.ndarray) -> float:
    if not len(pairs):
        return 0.0
    return float(np.abs(np.asarray(one, np.int64)[pairs[:, 0]] - np.asarray(other, np.int64)[pairs[:, 1]]).mean())
