# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Recorded stamps are paired as live ones, and rated against a pairing that none can beat."""

from __future__ import annotations

from collections import Counter
from functools import lru_cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ros_kd.offline_pairing import best_pairs, pair_stamps, rate_pairs
from ros_kd.pairing import Reason

MS = 1_000_000
BASE = 1_700_000_000 * 10**9


def at(*milliseconds):
    return BASE + np.array(milliseconds, np.int64) * MS


def optimum(one, other, max_interval):
    """Return (pairs, -sum of |Δt|) of the best pairing, by trying all."""
    @lru_cache(None)
    def best(i, j):
        if i == len(one) or j == len(other):
            return 0, 0
        found = max(best(i + 1, j), best(i, j + 1))
        delta = abs(one[i] - other[j])
        if delta <= max_interval:
            pairs, cost = best(i + 1, j + 1)
            found = max(found, (pairs + 1, cost - delta))
        return found
    return best(0, 0)


values = st.lists(st.integers(0, 40), max_size=9)


@settings(deadline=None, max_examples=300)
@given(values, values, st.integers(0, 15))
def test_the_optimum_has_the_most_pairs_and_of_those_the_least_sum(one, other, max_interval):
    pairs = best_pairs(np.array(one), np.array(other), max_interval)
    chosen = np.stack([np.array(one)[pairs[:, 0]], np.array(other)[pairs[:, 1]]], 1) if len(pairs) else pairs
    deltas = np.abs(chosen[:, 0] - chosen[:, 1])
    assert (deltas <= max_interval).all() and (np.diff(chosen, axis=0) >= 0).all()
    assert len(set(pairs[:, 0].tolist())) == len(set(pairs[:, 1].tolist())) == len(pairs)
    assert (len(pairs), -deltas.sum()) == optimum(tuple(sorted(one)), tuple(sorted(other)), max_interval)


def test_the_optimum_prefers_a_pair_more_to_nearer_pairs():
    one, other = at(100, 190), at(0, 99)
    assert best_pairs(one, other, 100 * MS).tolist() == [[0, 0], [1, 1]]
    assert best_pairs(one, other, 99 * MS).tolist() == [[0, 1]]
    assert best_pairs(one, at(), 99 * MS).shape == best_pairs(at(), at()).shape == (0, 2)


def test_long_recordings_with_a_wide_interval_are_rated_without_overflow():
    random = np.random.default_rng(0)
    one = BASE + np.arange(20_000) * 100 * MS
    other = one + random.integers(-20 * MS, 20 * MS, len(one))
    quality = rate_pairs(best_pairs(one, other, 2000 * MS), one, other, 2000 * MS)
    assert quality.pairs == quality.best_pairs == len(one)
    assert quality.delta == pytest.approx(np.abs(one - other).mean(), rel=1e-6)


def test_stamps_are_paired_in_the_order_of_time_whatever_that_of_the_arrays():
    camera, scans = at(133, 0, 33, 66, 100, 233, 166, 200), at(70, 170)
    assert pair_stamps([scans, camera]).tolist() == [[0, 3], [1, 6]]
    assert pair_stamps([camera, scans]).tolist() == [[3, 0], [6, 1]]
    assert pair_stamps([at(), scans]).shape == (0, 2)


def test_the_last_set_is_found_and_every_other_message_is_accounted_for():
    drops = []
    sets = pair_stamps([at(0, 100, 200), at(10, 110, 210, 500), at(20, 120, 220)],
                       on_drop=lambda *drop: drops.append(drop))
    assert sets.tolist() == [[0, 0, 0], [1, 1, 1], [2, 2, 2]]
    assert drops == [(1, 3, Reason.NO_PARTNER)]


def test_offsets_count_for_pairing_only():
    camera, scans = at(60, 160, 260), at(0, 100, 200)
    assert pair_stamps([camera, scans], offsets=[60 * MS, 0]).tolist() == [[0, 0], [1, 1], [2, 2]]
    assert pair_stamps([camera, scans])[0].tolist() == [0, 1]


def test_pairs_of_a_recording_with_a_jump_do_not_cross_it():
    times = np.arange(0, 4000, 100)
    scans = np.append(at(*times), at(*times))
    camera = scans + 3 * MS
    played = BASE + np.arange(80) * 100 * MS
    drops = Counter()
    sets = pair_stamps([scans, camera], received=[played, played + 50 * MS],
                       on_drop=lambda topic, _, reason: drops.update([(topic, reason)]))
    assert (sets[:, 0] == sets[:, 1]).all() and 75 <= len(sets) < 80
    assert drops[0, Reason.TIME_JUMP] + drops[1, Reason.TIME_JUMP] >= 1


def test_an_exact_pairing_needs_equal_stamps():
    assert pair_stamps([at(0, 10, 20), at(10, 20, 21)], exact=True).tolist() == [[1, 0], [2, 1]]


@pytest.mark.parametrize('arguments, text', [
    ({'received': [at(0)]}, 'stamps of 2 topics, times of 1 and offsets of 2'),
    ({'offsets': [0]}, 'offsets of 1, expected as many'),
    ({'received': [at(0), at(0)]}, 'topic 1 has 2 stamps, but 1 times')])
def test_arrays_that_do_not_fit_are_refused(arguments, text):
    with pytest.raises(ValueError, match=text):
        pair_stamps([at(0), at(0, 1)], **arguments)


def test_the_live_policy_is_rated_against_the_optimum():
    random = np.random.default_rng(3)
    camera = BASE + (np.arange(3600) * 33.3 * MS).astype(np.int64)
    scans = BASE + (np.arange(1200) * 100.1 * MS).astype(np.int64) + random.integers(0, MS, 1200)
    quality = rate_pairs(pair_stamps([camera, scans]), camera, scans)
    assert quality.pairs == quality.best_pairs == 1199 and quality.share == 1
    assert 1 <= quality.ratio <= 1.02 and 5 * MS < quality.best_delta < 10 * MS
    one_later = np.stack([best_pairs(camera, scans)[:-3, 0] + 3, best_pairs(camera, scans)[:-3, 1]], 1)
    assert rate_pairs(one_later, camera, scans).ratio > 5
    assert rate_pairs(best_pairs(scans, scans), scans, scans).ratio == 1
    assert rate_pairs(np.empty((0, 2), np.int64), camera, scans).share == 0
