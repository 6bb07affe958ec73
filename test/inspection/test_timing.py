# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Figures of stamps with a known rate, gap, clock."""

from __future__ import annotations

import numpy as np
import pytest

from ros_kd.inspection.timing import Gap, Order, clock, order, rhythm

START = 1_700_000_000_000_000_000
MS = 1_000_000


def _stream(count: int, period: int = 100 * MS) -> np.ndarray:
    return START + np.arange(count, dtype=np.int64) * period


def test_a_steady_stream_has_its_rate_and_no_gap() -> None:
    found = rhythm(_stream(101))
    assert (found.count, found.wide_gaps, found.long_gaps, found.missing, found.gaps) == (101, 0, 0, 0, ())
    assert found.rate == pytest.approx(10) and found.usual_rate == pytest.approx(10)
    assert found.jitter_ms == 0 and found.largest_gap == pytest.approx(0.1) and found.regular


def test_gaps_are_counted_measured_and_found() -> None:
    stamps = np.delete(_stream(200), [20, 50, 51, 52, 120, 121, 122, 123, 124, 125])
    found = rhythm(stamps)
    assert (found.wide_gaps, found.long_gaps, found.pauses, found.missing) == (3, 2, 1, 10)
    assert found.gaps == (Gap(START + 4900 * MS, 0.4), Gap(START + 11900 * MS, 0.7))
    assert found.largest_gap == pytest.approx(0.7) and found.usual_rate == pytest.approx(10) and found.rate < 9.6


def test_jitter_is_the_width_of_the_middle_periods() -> None:
    random = np.random.default_rng(0)
    found = rhythm(_stream(2000) + random.integers(-5 * MS, 5 * MS, 2000))
    # The difference of two uniform values is triangular on +-10 ms: 90 % lie within +-6.84 ms.
    assert found.jitter_ms == pytest.approx(13.7, abs=0.7) and found.regular and found.wide_gaps == 0


def test_lost_messages_are_no_jitter() -> None:
    found = rhythm(np.delete(_stream(200), np.arange(5, 195, 9)))
    assert found.jitter_ms == 0 and found.wide_gaps == found.missing == 22 and found.regular


def test_events_have_no_period_that_gaps_can_be_told_by() -> None:
    random = np.random.default_rng(1)
    assert not rhythm(START + np.cumsum(random.exponential(1e9, 300)).astype(np.int64)).regular
    assert not rhythm(_stream(2)).regular


@pytest.mark.parametrize('stamps', [np.empty(0, np.int64), np.array([START]), np.array([START, START])])
def test_a_stream_without_two_stamps_has_no_rate(stamps: np.ndarray) -> None:
    found = rhythm(stamps)
    assert (found.count, found.rate, found.regular) == (len(stamps), 0.0, False)


def test_strange_stamps_are_counted_and_do_not_bend_the_rate() -> None:
    stamps = _stream(10)
    stamps[[3, 7]] = stamps[[2, 5]]
    stamps[5] = 0
    assert order(stamps) == Order(repeated=1, backward=1, zero=1)
    found = rhythm(stamps)
    assert found.usual_rate == pytest.approx(10) and found.largest_gap == pytest.approx(0.2)


def test_the_clock_offset_is_the_header_minus_the_log() -> None:
    logged = _stream(1000)
    random = np.random.default_rng(2)
    found = clock(logged - 37_000 * MS - random.integers(2 * MS, 30 * MS, 1000), logged)
    assert found.median == pytest.approx(-37.016, abs=0.002) and found.spread == pytest.approx(0.025, abs=0.003)
    assert found.drift == 0 and found.jump == 0


@pytest.mark.parametrize('ppm', [-50, 3, 200])
def test_drift_is_told_from_latency(ppm: int) -> None:
    logged = _stream(6000)
    random = np.random.default_rng(3)
    late = random.integers(2 * MS, 12 * MS, 6000) + (random.random(6000) < 0.05) * 200 * MS
    found = clock(logged - late + ((logged - START) * ppm * 1e-6).astype(np.int64), logged)
    assert found.drift == pytest.approx(ppm, rel=0.1, abs=0.5)


def test_a_clock_that_is_set_while_driving_is_a_jump_at_its_time_and_no_drift() -> None:
    logged = _stream(600)
    stamps = logged - 5 * MS
    stamps[400:] += 37_000 * MS
    found = clock(stamps, logged)
    assert found.jump == pytest.approx(37) and found.jump_at == logged[400] and found.drift == 0


def test_one_late_message_is_no_jump() -> None:
    logged = _stream(600)
    stamps = logged - 5 * MS
    stamps[300] -= 4000 * MS
    assert clock(stamps, logged).jump == 0


def test_a_stream_without_stamps_has_no_clock() -> None:
    assert clock(np.zeros(5, np.int64), _stream(5)) is None
