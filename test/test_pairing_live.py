# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Live pairing: rates are learned, clocks may jump, and no stamp stops it."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ros_kd.offline_pairing import best_pairs
from ros_kd.pairing import LEARN, UNBOUNDED, Pairer, Reason

S, MS = 10**9, 10**6
BASE = 1000 * S
A, B = 0, 1


def feed(pairer, arrivals):
    """Return the sets, by stamps in ms after BASE; arrivals: (stamp in ms, topic)."""
    return [one for stamp, topic in arrivals for one in pairer.add(topic, BASE + stamp * MS, stamp)]


def both(begin, end, step=100):
    """Return the messages of A, and of B 10 ms later, every `step` ms."""
    return [message for stamp in range(begin, end, step) for message in ((stamp, A), (stamp + 10, B))]


# ---- settings and counters

def test_what_is_received_paired_and_dropped_is_counted_by_name_and_reason():
    drops = []
    pairer = Pairer(['front', 'scans'], max_interval=50 * MS, on_drop=lambda *drop: drops.append(drop))
    assert len(feed(pairer, [(0, A), *both(100, 300), (200, A), (150, A), (900, A)])) == 2
    assert pairer.add(A, 0, 'zero') == pairer.add(B, -5, 'negative') == []
    assert pairer.finish() == [] and pairer.pairs == 2
    assert pairer.received == {'front': 7, 'scans': 3}
    assert pairer.dropped == {('front', Reason.MAX_INTERVAL): 1, ('front', Reason.REPEATED): 1,
                              ('front', Reason.TOO_OLD): 1, ('front', Reason.NO_STAMP): 1,
                              ('scans', Reason.NO_STAMP): 1, ('front', Reason.NO_PARTNER): 1}
    assert drops[1] == (A, 200, Reason.REPEATED) and len(drops) == 6


def test_an_offset_is_taken_off_the_stamps():
    messages = [message for stamp in range(0, 1000, 100) for message in ((stamp, B), (stamp + 60, A))]
    assert feed(Pairer(['camera', 'scans'], bounds=None), messages)[0] == (60, 100)
    assert feed(Pairer(['camera', 'scans'], bounds=None, offsets={'camera': 60 * MS}), messages)[0] == (60, 0)


def test_the_exact_policy_pairs_equal_stamps_only():
    pairer = Pairer(['camera', 'scans'], exact=True)
    assert feed(pairer, [(1, A), (2, A), (2, B), (3, B), (3, A)]) == [(2, 2), (3, 3)]
    assert pairer.dropped == {('camera', Reason.NO_PARTNER): 1}


@pytest.mark.parametrize('settings, text', [
    ({'offsets': {'rear': 5}}, r"offsets of \['rear'\], expected some of \['front', 'scans'\]"),
    ({'bounds': {'rear': 5}}, r"bounds of \['rear'\]"), ({'queue_size': 0}, 'queue_size is 0'),
    ({'bounds': 'lear'}, "bounds is 'lear', expected ns by topic or 'learn'")])
def test_impossible_settings_are_refused(settings, text):
    with pytest.raises(ValueError, match=text):
        Pairer(['front', 'scans'], **settings)


# ---- rate bounds

def held_back(pairer, messages):
    """Return for each set released how many messages came after its last one; messages as for `feed`."""
    came, held = {}, []
    for number, (stamp, topic) in enumerate(messages):
        came[topic, stamp] = number
        for one in feed(pairer, [(stamp, topic)]):
            held.append(number - max(came[item] for item in enumerate(one)))
    return held


def test_with_learned_bounds_a_set_is_released_as_it_is_complete():
    messages = both(0, 10000)
    assert set(held_back(Pairer(['a', 'b'], bounds=None), messages)) == {1}
    assert set(held_back(Pairer(['a', 'b'], bounds=LEARN), messages)[20:]) == {0}
    assert set(held_back(Pairer(['a', 'b'], bounds={'a': 80 * MS}), messages)) == {0}


def stream(random, periods, late):
    """Return stamps and arrivals, int64 [N], ns, of a topic with these periods (ms)."""
    stamps = BASE + (np.cumsum(periods) * MS + random.uniform(0, 100 * MS)).astype(np.int64)
    return stamps, stamps + late * MS


def live(topics):
    """Return the sets of a Pairer, indices int64 [M, 2], and the delays of their release, int64 [L], ns."""
    order = sorted((arrival, topic, stamp, number) for topic, (stamps, arrivals) in enumerate(topics)
                   for number, (stamp, arrival) in enumerate(zip(stamps.tolist(), arrivals.tolist())))
    pairer, sets, delays = Pairer(['camera', 'scans'], max_interval=100 * MS), [], []
    for arrival, topic, stamp, number in order:
        for one in pairer.add(topic, stamp, number):
            sets.append(one)
            delays.append(arrival - max(int(arrivals[index]) for (_, arrivals), index in zip(topics, one)))
    return np.array(sets + pairer.finish()), np.array(delays)


def kept(random, periods, loss):
    """Return the periods between the messages that are not lost."""
    times = np.cumsum(periods)[random.random(len(periods)) >= loss]
    return np.diff(times, prepend=0.0)


PERIODS = {
    'steady': lambda random: np.full(2000, 33.3),
    'jitter': lambda random: np.full(2000, 33.3) + np.diff(random.normal(0, 2, 2001)),
    'losses': lambda random: kept(random, np.full(2000, 33.3), 0.3),
    'bunches': lambda random: np.tile([1.0, 1.0, 98.0], 660),
    'some bunches': lambda random: np.concatenate([
        [33.3] * 3 if random.random() > 0.1 else [64.6, 1.0, 34.3] for _ in range(660)]),
    'no rate': lambda random: random.uniform(20, 200, 600),
    'rate changes': lambda random: np.repeat([33.3, 100.0, 33.3, 66.7], [500, 150, 500, 200]),
}


@pytest.mark.parametrize('name', PERIODS)
def test_learned_bounds_do_not_take_the_wrong_message_for_the_nearest(name):
    ours, optimum = [], []
    for seed in range(3):
        random = np.random.default_rng(seed)
        topics = [stream(random, PERIODS[name](random), 80), stream(random, np.full(660, 100.3), 5)]
        sets, _ = live(topics)
        stamps = [stamps for stamps, _ in topics]
        best = best_pairs(*stamps, 100 * MS)
        assert len(sets) >= 0.9 * len(best)
        for figures, pairs in ((ours, sets), (optimum, best)):
            figures.extend(np.abs(stamps[0][pairs[:, 0]] - stamps[1][pairs[:, 1]]).tolist())
    assert np.mean(ours) <= 1.02 * np.mean(optimum)


@pytest.mark.parametrize('name', ['steady', 'jitter', 'some bunches', 'rate changes'])
def test_learned_bounds_hold_few_sets_back(name):
    delays = []
    for seed in range(3):
        random = np.random.default_rng(seed)
        topics = [stream(random, PERIODS[name](random), 80), stream(random, np.full(660, 100.3), 5)]
        delays.extend(live(topics)[1][30:].tolist())
    assert np.percentile(delays, 90) <= 5 * MS


# ---- jumps of time

def test_one_message_out_of_order_is_too_old_and_two_that_rise_are_a_jump():
    jumps = []
    pairer = Pairer(['a', 'b'], on_jump=lambda *jump: jumps.append(jump))
    feed(pairer, [*both(10000, 11000), (10300, A), (11000, A), (10400, B), (10200, B), (11010, B)])
    assert pairer.jumps == 0 and jumps == []
    assert {key: count for key, count in pairer.dropped.items() if key[1] != Reason.NO_PARTNER} == \
        {('a', Reason.TOO_OLD): 1, ('b', Reason.TOO_OLD): 2}
    feed(pairer, [(5000, A), (5100, A)])
    assert jumps == [('a', 5910 * MS)] and pairer.jumps == 1


def test_pairing_goes_on_after_a_jump_and_what_was_queued_is_dropped():
    pairer = Pairer(['a', 'b'])
    assert len(feed(pairer, both(10000, 12000))) > 15
    after = feed(pairer, both(0, 2000))
    assert after[0] == (100, 110) and len(after) >= 18 and pairer.jumps == 1
    assert pairer.dropped['a', Reason.TOO_OLD] == pairer.dropped['b', Reason.TOO_OLD] == 1


def test_late_messages_of_the_time_before_are_dropped_until_their_topic_has_jumped_too():
    pairer = Pairer(['a', 'b'])
    feed(pairer, both(10000, 11000))
    assert feed(pairer, [(0, A), (100, A), (11010, B), (200, A), (11110, B), (300, A), (11210, B)]) == []
    assert pairer.dropped['b', Reason.TIME_JUMP] == 3
    assert feed(pairer, [(310, B), (400, A), (410, B), (500, A), (510, B)]) == [(300, 310), (400, 410), (500, 510)]


def test_a_jump_that_one_topic_makes_and_takes_back_locks_none_out():
    pairer = Pairer(['a', 'b'], max_interval=50 * MS)
    assert feed(pairer, both(10000, 11000))
    wrong = [message for stamp in range(11000, 13000, 100) for message in ((stamp - 5000, A), (stamp + 10, B))]
    assert feed(pairer, wrong) == []
    assert feed(pairer, both(13000, 14000))[:2] == [(13000, 13010), (13100, 13110)]


def test_a_jump_that_one_topic_never_takes_back_leaves_the_others_paired():
    pairer = Pairer(['a', 'b', 'c'], max_interval=50 * MS, queue_size=5)
    for stamp in range(10000, 20000, 100):
        feed(pairer, [(stamp, A), (stamp + 10, B), (stamp - 6000 * (stamp > 12000), 2)])
    assert pairer.jumps == 1 and pairer.dropped['b', Reason.TIME_JUMP] < 15
    assert feed(pairer, [message for stamp in range(20000, 21000, 100)
                         for message in ((stamp, A), (stamp + 10, B), (stamp + 20, 2))])


@pytest.mark.parametrize('behind, lost', [(80, 0), (400, 1), (37000, 1)])
def test_a_topic_whose_clock_or_driver_is_late_begins_a_little_later_and_is_no_jump(behind, lost):
    pairer = Pairer(['a', 'b'], queue_size=UNBOUNDED)
    for stamp in range(100000, 160000, 100):
        feed(pairer, [(stamp, A)] + [(stamp - behind, B)] * (stamp % 1300 == 0))
    assert pairer.jumps == 0 and pairer.dropped['b', Reason.TOO_OLD] == lost


def test_a_gap_forward_locks_nothing_up():
    pairer = Pairer(['a', 'b'], max_interval=50 * MS)
    feed(pairer, both(0, 1000))
    assert len(feed(pairer, both(10**9, 10**9 + 1000))) >= 9 and pairer.jumps == 0
    feed(pairer, [(10**12, A)])
    assert len(feed(pairer, both(10**9 + 1000, 10**9 + 3000))) >= 17 and pairer.jumps == 1


def vehicle(random, size, silent, late, rates):
    """Return (arrival, topic, stamp, jumped), sorted, of topics whose time jumps back by `size` seconds after 6 s.

    silent: number of a topic that begins with the jump.
    """
    jump, messages = 6 + random.uniform(0, 0.2), []
    for topic, (delay, rate) in enumerate(zip(late, rates)):
        times = random.uniform(0, 1 / rate) + np.arange(12 * rate) / rate + random.normal(0, 0.0005, 12 * rate)
        arrivals = np.maximum.accumulate(times + delay + random.exponential(0.001, len(times)))
        messages += [(arrival, topic, round((1000 + time - size * (time > jump)) * S), time > jump)
                     for arrival, time in zip(arrivals.tolist(), times.tolist()) if topic != silent or time > jump]
    return sorted(messages)


@pytest.mark.parametrize('silent', [None, 0, 1])
@pytest.mark.parametrize('late, rates', [((0.08, 0.005), (30, 10)), ((0.005, 0.08), (10, 10)),
                                         ((0.06, 0.03, 0.04, 0.08), (20, 12, 12, 12))])
def test_no_set_crosses_a_jump_of_any_size(late, rates, silent):
    for number, size in enumerate((0.3, 0.4, 0.7, 1, 3, 60, 900)):
        for seed in range(3):
            pairer = Pairer([str(topic) for topic in range(len(late))], queue_size=UNBOUNDED if seed else 20)
            messages = vehicle(np.random.default_rng(10 * number + seed), size, silent, late, rates)
            sets = [one for _, topic, stamp, jumped in messages for one in pairer.add(topic, stamp, jumped)]
            assert pairer.jumps == 1
            assert all(len(set(one)) == 1 for one in sets)
            assert Counter(one[0] for one in sets)[True] >= 5 * min(rates) - 10


# ---- anything

near = st.integers(0, 400).map(lambda number: BASE + number * 50 * MS)
anything = st.one_of(near, near, st.integers(), st.integers(-5, 5), st.sampled_from([2**63 - 1, 2**63]))


@settings(deadline=None, max_examples=300)
@given(st.lists(st.tuples(st.integers(0, 2), anything), max_size=60), st.integers(1, 5), st.none() | st.integers(0, S),
       st.booleans(), st.sampled_from([LEARN, None, {'b': 70 * MS}]))
@example([(0, 2**63 - 1), (1, 1), (2, 5), (1, 2), (0, 1), (0, 2)], 1, None, False, LEARN)
def test_any_stamps_are_paired_or_counted(messages, queue, interval, exact, bounds):
    drops, sets = [], []
    pairer = Pairer(['a', 'b', 'c'], queue_size=queue, max_interval=interval, exact=exact, bounds=bounds,
                    offsets={'c': 30 * MS}, on_drop=lambda topic, message, reason: drops.append(message))
    for number, (topic, stamp) in enumerate(messages):
        sets += pairer.add(topic, stamp, (topic, number))
    sets += pairer.finish()
    assert sorted([message for one in sets for message in one] + drops) == sorted(
        (topic, number) for number, (topic, _) in enumerate(messages))
    assert all([topic for topic, _ in one] == [0, 1, 2] for one in sets)
    for one, other in zip(sets, sets[1:]):
        assert all(before < after for (_, before), (_, after) in zip(one, other))
    assert sum(pairer.dropped.values()) == len(drops) and pairer.pairs == len(sets)


@settings(deadline=None, max_examples=200)
@given(st.lists(st.tuples(st.integers(0, 1), near | anything), max_size=30), st.integers(0, 400))
@example([(0, BASE + 5100 * MS), (0, 1), (0, 2)], 0)
@example([(0, BASE), (0, 1), (1, BASE + 5100 * MS), (0, 2), (0, BASE + 4100 * MS), (1, BASE + 4050 * MS)], 0)
def test_whatever_came_before_steady_streams_are_paired_within_seconds(before, begin):
    pairer = Pairer(['a', 'b'], max_interval=50 * MS)
    for topic, stamp in before:
        pairer.add(topic, stamp, stamp)
    feed(pairer, both(begin * 50, begin * 50 + 6000))
    assert len(feed(pairer, both(begin * 50 + 6000, begin * 50 + 7000))) >= 9
