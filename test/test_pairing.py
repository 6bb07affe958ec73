# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""The policies choose the sets that C++'s message_filters chooses, and lose no message without a word."""

from __future__ import annotations

from fractions import Fraction
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ros_kd.pairing import UNBOUNDED, ApproximateTime, ExactTime, Reason

S = 10**9
A, B, C, D = range(4)


def feed(policy, arrivals):
    """Return the sets, by stamps; arrivals: (stamp in seconds, topic)."""
    return [one for stamp, topic in arrivals for one in policy.add(topic, round(stamp * S), stamp)]


PERFECT = [(0, A), (1, B), (3, A), (4, B), (6, A), (7, B)]
DROPPED = [(0, A), (1, B), (3, B), (4, A), (7, B), (8, A), (10, A), (11, B), (13, A), (14, B)]
LATE = [*((stamp, A) for stamp in range(9)), (3, B), (9, A), (10, A), (11, A), (12, A), (10, B), (13, A)]


@pytest.mark.parametrize('arrivals, queue, expected', [  # ros2/message_filters, test/test_approximate_time_policy.cpp
    ([(0, A), (0, B), (3, A), (3, B), (6, A), (6, B)], 10, [(0, 0), (3, 3), (6, 6)]),
    (PERFECT, 10, [(0, 1), (3, 4)]),
    ([(0, A), (1, B), (2, A), (3, A), (5, B), (6, A), (7, B)], 10, [(0, 1), (6, 5)]),
    ([(0, A), (7, B), (12, A), (15, B), (17, A), (18, B)], 10, [(12, 7), (17, 18)]),
    (DROPPED, 1, [(4, 3), (10, 11)]),
    (DROPPED, 2, [(0, 1), (4, 3), (8, 7), (10, 11)]),
    (LATE, 5, [(10, 10)]),
    ([(0, A), (1, B), (3, B), (3, A)], 10, [(0, 1), (3, 3)]),
], ids=['exact', 'perfect', 'imperfect', 'acceleration', 'queue 1', 'queue 2', 'long queue', 'double publish'])
def test_two_topics_are_paired_as_upstream_does(arrivals, queue, expected):
    assert feed(ApproximateTime(2, queue), arrivals) == expected


def test_four_topics_are_paired_as_upstream_does():
    arrivals = [(0, A), (1, B), (2, C), (3, D), (5, A), (5, D), (6, B), (6, C), (8, A), (9, B), (10, C), (11, D),
                (10, A), (13, A), (14, B)]
    assert feed(ApproximateTime(4, 10), arrivals) == [(0, 1, 2, 3), (5, 6, 6, 5), (10, 9, 10, 11)]


def test_a_set_is_released_as_soon_as_no_better_one_can_come():
    policy = ApproximateTime(4, 10)
    assert feed(policy, [(0, A), (1, B), (2, C), (3, D)]) == []
    assert feed(policy, [(7, A)]) == [(0, 1, 2, 3)]


@pytest.mark.parametrize('bound, expected', [(1.5, [(0, 1), (3, 4)]), (2, [(0, 1), (3, 4), (6, 7)])])
def test_a_rate_bound_releases_the_last_set_at_once_if_it_proves_it_the_best(bound, expected):
    policy = ApproximateTime(2, 10)
    policy.bounds[A] = round(bound * S)
    assert feed(policy, PERFECT) == expected


def test_a_bound_that_changes_counts_from_the_next_message():
    policy = ApproximateTime(2, 10)
    assert feed(policy, PERFECT[:4]) == [(0, 1)]
    policy.bounds[A] = 2 * S
    assert feed(policy, PERFECT[4:]) == [(3, 4), (6, 7)]


def test_the_end_of_the_stream_releases_what_is_the_best_so_far():
    drops = []
    policy = ApproximateTime(2, 10, on_drop=lambda *drop: drops.append(drop))
    assert feed(policy, [*PERFECT, (9, A), (9.5, A)]) == [(0, 1), (3, 4), (6, 7)]
    assert feed(policy, [(9.7, B)]) == [] and policy.finish() == [(9.5, 9.7)]
    assert drops == [(A, 9, Reason.NO_PARTNER)]
    assert feed(policy, PERFECT) == [(0, 1), (3, 4)], 'a finished policy begins anew'


def test_each_lost_message_has_its_reason():
    drops = []
    policy = ApproximateTime(2, 2, max_interval=2 * S, on_drop=lambda *drop: drops.append(drop))
    assert feed(policy, [(0, A), (5, B), (5.5, A), (9, B)]) == [(5.5, 5)]
    assert feed(policy, [(6, A), (10, B), (11, B)]) == []
    policy.reset()
    assert drops == [(A, 0, Reason.MAX_INTERVAL), (A, 6, Reason.MAX_INTERVAL), (B, 9, Reason.OVERFLOW),
                     (B, 10, Reason.TIME_JUMP), (B, 11, Reason.TIME_JUMP)]


def test_a_topic_that_lost_messages_is_no_pivot_and_its_partners_are_lost_too():
    drops = []
    policy = ApproximateTime(2, 1, on_drop=lambda *drop: drops.append(drop))
    assert feed(policy, [(0, A), (4, A), (3, B)]) == []  # B at 3 might have had a better partner than A at 4
    assert drops == [(A, 0, Reason.OVERFLOW), (B, 3, Reason.OVERFLOW)]


@pytest.mark.parametrize('arguments, text', [
    ((0, 10), '0 topics, expected'), ((2, 0), 'queue_size is 0, expected 1'),
    ((2, 1, -1), 'age_penalty is -1'), ((2, 1, float('nan')), 'age_penalty is nan'),
    ((2, 1, 0.1, -5), 'max_interval is -5 ns')])
def test_impossible_settings_are_refused(arguments, text):
    names = ('topics', 'queue_size', 'age_penalty', 'max_interval')
    with pytest.raises(ValueError, match=text):
        ApproximateTime(**dict(zip(names, arguments)))


# ---- properties

def rising(largest=60, count=9):
    return st.lists(st.integers(0, largest), max_size=count, unique=True).map(sorted)


streams = st.lists(rising(), min_size=2, max_size=4)
penalties = st.sampled_from([0.0, 0.1, 0.5, 2.0])
intervals = st.none() | st.integers(0, 40)


def interleave(stamps, random):
    """Return (topic, stamp, message) in an order that keeps that of each topic; messages are (topic, number)."""
    order = [topic for topic, values in enumerate(stamps) for _ in values]
    random.shuffle(order)
    numbers = [iter(enumerate(values)) for values in stamps]
    return [(topic, stamp, (topic, number)) for topic in order for number, stamp in [next(numbers[topic])]]


def paired(policy, arrivals):
    sets = [one for arrival in arrivals for one in policy.add(*arrival)]
    return sets + policy.finish()


@settings(deadline=None, max_examples=300)
@given(streams, penalties, intervals, st.randoms(use_true_random=False))
def test_sets_do_not_depend_on_the_order_of_arrival_across_topics(stamps, penalty, interval, random):
    one, other = (paired(ApproximateTime(len(stamps), UNBOUNDED, age_penalty=penalty, max_interval=interval),
                         interleave(stamps, random)) for _ in range(2))
    assert one == other


@settings(deadline=None, max_examples=300)
@given(st.lists(rising(40, 6), min_size=2, max_size=4), penalties, intervals, st.randoms(use_true_random=False))
def test_each_set_is_the_best_with_its_pivot(stamps, penalty, interval, random):
    policy = ApproximateTime(len(stamps), UNBOUNDED, age_penalty=penalty, max_interval=interval)
    weight = 1 + Fraction(penalty).limit_denominator(1000)
    begins = [0] * len(stamps)
    for chosen in [*paired(policy, interleave(stamps, random)), None]:
        heads = next_heads(stamps, begins, interval)
        assert (heads is None) == (chosen is None)
        if heads is None:
            return
        pivot = max(range(len(stamps)), key=lambda topic: (heads[topic], topic))
        rest = [values[begin:] for values, begin in zip(stamps, begins)]
        rest[pivot] = [heads[pivot]]
        best = min(weight * max(values) - min(values) for values in product(*rest))
        values = [stamps[topic][number] for topic, number in chosen]
        assert values[pivot] == heads[pivot]
        assert weight * max(values) - min(values) == best
        begins = [number + 1 for _, number in chosen]


def next_heads(stamps, begins, interval):
    """Skip what has no partner within the interval; return the first stamps of the next set, or None."""
    while all(begin < len(values) for values, begin in zip(stamps, begins)):
        heads = [values[begin] for values, begin in zip(stamps, begins)]
        if interval is None or max(heads) - min(heads) <= interval:
            return heads
        begins[heads.index(min(heads))] += 1
    return None


@settings(deadline=None, max_examples=300)
@given(streams, st.integers(1, 5), penalties, intervals, st.lists(st.integers(0, 30), min_size=4, max_size=4),
       st.booleans(), st.randoms(use_true_random=False))
def test_every_message_is_used_once_or_dropped_once_or_queued_and_sets_never_cross(stamps, queue, penalty, interval,
                                                                                   bounds, exact, random):
    drops = []

    def note(topic, message, reason):
        assert message[0] == topic and isinstance(reason, Reason)
        drops.append(message)

    topics = len(stamps)
    policy = (ExactTime(topics, queue, on_drop=note) if exact else
              ApproximateTime(topics, queue, age_penalty=penalty, max_interval=interval, on_drop=note))
    if not exact:
        policy.bounds = bounds[:topics]
    sets, added = [], 0
    for arrival in interleave(stamps, random):
        sets += policy.add(*arrival)
        added += 1
        assert 0 <= added - topics * len(sets) - len(drops) <= topics * queue
    sets += policy.finish()
    used = [message for one in sets for message in one]
    assert sorted(used + drops) == [
        (topic, number) for topic, values in enumerate(stamps) for number in range(len(values))]
    for one, other in zip(sets, sets[1:]):
        assert all(before < after for (_, before), (_, after) in zip(one, other))


# ---- equal stamps

def test_exact_sets_need_equal_stamps_and_drop_what_is_incomplete_before_them():
    drops = []
    policy = ExactTime(3, 2, on_drop=lambda *drop: drops.append(drop))
    assert feed(policy, [(0, A), (1, B), (1, A)]) == [] and feed(policy, [(1, C)]) == [(1, 1, 1)]
    assert feed(policy, [(0.5, B)]) == []
    assert drops == [(A, 0, Reason.NO_PARTNER), (B, 0.5, Reason.TOO_OLD)]


def test_exact_sets_beyond_the_queue_are_dropped_oldest_first():
    drops = []
    policy = ExactTime(3, 1, on_drop=lambda *drop: drops.append(drop))
    assert feed(policy, [(0, A), (0, B), (1, B), (0, C)]) == []
    assert drops == [(A, 0, Reason.OVERFLOW), (B, 0, Reason.OVERFLOW), (C, 0, Reason.OVERFLOW)]
    assert feed(policy, [(1, A), (1, B), (1, C)]) == [(1, 1, 1)]
    assert drops[3:] == [(B, 1, Reason.REPEATED)]
    policy.reset()
    assert feed(policy, [(0, A), (0, B), (0, C)]) == [(0, 0, 0)], 'a new time may be an older one'


@settings(deadline=None, max_examples=100)
@given(streams, st.randoms(use_true_random=False))
def test_exact_sets_are_the_stamps_that_all_topics_have(stamps, random):
    sets = paired(ExactTime(len(stamps), UNBOUNDED), [(topic, stamp, stamp) for stamp, topic in sorted(
        (stamp, topic) for topic, values in enumerate(stamps) for stamp in values)])
    assert sets == [(stamp,) * len(stamps) for stamp in sorted(set.intersection(*map(set, stamps)))]
