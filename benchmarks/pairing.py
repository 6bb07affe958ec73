# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Pairing on simulated streams: how close in time the pairs are, how long they are held back, and what that costs.

Streams of two minutes with random phases and rates up to 0.2 % off, eight seeds each, fed in the order of arrival into
a Pairer with its defaults (learned bounds, queue 20) and max_interval 0.1 s. "peer": the same arrivals through
ApproximateTimeSynchronizer of the installed message_filters (queue 20, slop 0.1 s).

- delta_ratio: mean |Δt| of the pairs by that of the offline optimum: the most pairs within 0.1 s that do not cross, and
  of those the least sum of |Δt|. pairs_ratio: pairs by the optimum's. Fewer pairs may make a ratio below 1.
- With seven topics, |Δt| is the span of a set, since one scan serves all cameras; the optimum is that of the sets that
  take from each topic the first message after some stamp.
- release_delay: simulated time from the arrival of a set's last message to the set's release.
- limit.*: streams whose sets cannot be released within 5 ms 19 times of 20 without taking the wrong message more often:
  where every tenth message is lost, or where stamps come in bunches, more than one set in 20 waits for a message that
  is expected to be nearer and does not come. They are left out of the worst delay, not of the worst ratio.
- us_per_message: wall time through PairingFilter, stamps and callback included, in turn with the peer; medians.
- cross_jump_pairs: sets with messages from both sides of a jump back, of 0.3 s to 100 s, each topic late by its own.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from statistics import median
from time import perf_counter
from typing import Callable, Iterator, Sequence

import numpy as np
from message_filters import ApproximateTimeSynchronizer, SimpleFilter
from std_msgs.msg import Header

from ros_kd.nodes.approximate_time import PairingFilter
from ros_kd.nodes.messages import to_time
from ros_kd.offline_pairing import SLOP, best_pairs
from ros_kd.pairing import LEARN, Pairer

MS = 1_000_000
START = 1_700_000_000 * 10**9
SECONDS, SEEDS, QUEUE, ROUNDS = 120, 8, 20, 7


@dataclass(frozen=True)
class Topic:
    """stamps, arrivals: int64 [N], ns, rising. bases: int64 [N], number of jumps before each message."""

    stamps: np.ndarray
    arrivals: np.ndarray
    bases: np.ndarray


@dataclass(frozen=True)
class Message:
    """What both synchronizers take; topic and index tell it apart."""

    header: Header
    topic: int
    index: int


@dataclass(frozen=True)
class Paired:
    """sets: indices int64 [M, K]. delays: of their release, int64 [L], ns."""

    sets: np.ndarray
    delays: np.ndarray


def sensor(random: np.random.Generator, rate: float, late: float, *, jitter: float = 0.2, loss: float = 0.0,
           bunch: float = 0.0, phase: float | None = None, slip: float = 2e-3) -> Topic:
    """Simulate a topic. rate: Hz. late, jitter, bunch: ms by which messages arrive late, by which stamps deviate, and
    between deliveries. phase: ns."""
    period = 1e9 / rate * (1 + random.uniform(-slip, slip))
    times = np.arange(0, SECONDS * 1e9, period) + (random.uniform(0, period) if phase is None else phase)
    stamps = np.maximum.accumulate(times + random.normal(0, jitter * MS, len(times)))
    arrivals = times + late * MS + random.exponential(MS, len(times))
    if bunch:
        arrivals = np.ceil(arrivals / (bunch * MS)) * bunch * MS
    kept = random.random(len(times)) >= loss
    rank = np.arange(len(times))  # keeps stamps apart
    return Topic((START + stamps.round().astype(np.int64) + rank)[kept],
                 (START + np.maximum.accumulate(arrivals).round().astype(np.int64))[kept],
                 np.zeros(int(kept.sum()), np.int64))


def bunched(random: np.random.Generator, topic: Topic, size: int, share: float) -> Topic:
    """Stamp messages in bunches: of each `size` in a row, with the chance `share`, 1 ms apart before the last."""
    count = len(topic.stamps) // size * size
    rows = topic.stamps[:count].reshape(-1, size)
    stamps = np.where(random.random((len(rows), 1)) < share, rows[:, -1:] - np.arange(size)[::-1] * MS, rows)
    return Topic(np.append(stamps, topic.stamps[count:]), topic.arrivals, topic.bases)


def rig(random: np.random.Generator) -> list[Topic]:
    """A LiDAR at 20 Hz and six cameras at 12 Hz, triggered one after the other as a sweep passes them."""
    phase = random.uniform(0, 1e9 / 12)
    return [sensor(random, 20, 60)] + [sensor(random, 12, 30 + 5 * number, phase=phase + number * 8.3 * MS, slip=0)
                                       for number in range(6)]


STREAMS: dict[str, Callable[[np.random.Generator], list[Topic]]] = {
    'late_camera': lambda random: [sensor(random, 30, 80), sensor(random, 10, 5)],
    'jitter': lambda random: [sensor(random, 30, 80, jitter=2), sensor(random, 10, 5, jitter=2)],
    'drops': lambda random: [sensor(random, 30, 80, loss=0.05), sensor(random, 10, 5, loss=0.05)],
    'bursts': lambda random: [sensor(random, 30, 80, bunch=200), sensor(random, 10, 5, bunch=300)],
    'stamp_bursts': lambda random: [bunched(random, sensor(random, 30, 80), 3, 0.03), sensor(random, 10, 5)],
    'two_10_hz': lambda random: [sensor(random, 10, 40), sensor(random, 10, 5)],
    'seven_topics': rig,
    'limit.drops': lambda random: [sensor(random, 30, 80, loss=0.1), sensor(random, 10, 5, loss=0.1)],
    'limit.bunched_stamps': lambda random: [bunched(random, sensor(random, 30, 80), 3, 1.0), sensor(random, 10, 5)],
}


def jumping(random: np.random.Generator, late: Sequence[float], rates: Sequence[float]) -> list[Topic]:
    """Simulate topics whose common time jumps back every 10 s."""
    jumps = START + np.arange(1, 11) * 10**10 + random.integers(0, 10**9, 10)
    sizes = (np.array([0.3, 0.5, 0.7, 1, 2, 5, 10, 30, 60, 100]) * 1e9).astype(np.int64)
    lost = np.append(0, np.cumsum(random.permutation(sizes)))
    topics = [sensor(random, rate, delay) for rate, delay in zip(rates, late)]
    bases = [np.searchsorted(jumps, topic.stamps, 'right') for topic in topics]
    return [Topic(topic.stamps - lost[base], topic.arrivals, base) for topic, base in zip(topics, bases)]


def events(topics: Sequence[Topic]) -> Iterator[tuple[int, int, int, int]]:
    """Yield arrival, topic, stamp and index of each message in the order of arrival."""
    numbers = np.repeat(np.arange(len(topics)), [len(topic.stamps) for topic in topics])
    indices = np.concatenate([np.arange(len(topic.stamps)) for topic in topics])
    stamps, arrivals = (np.concatenate([getattr(topic, name) for topic in topics]) for name in ('stamps', 'arrivals'))
    order = np.argsort(arrivals, kind='stable')
    return zip(*(column[order].tolist() for column in (arrivals, numbers, stamps, indices)))


def new_pairer(topics: int, bounds: str | None = LEARN) -> Pairer:
    """Return a Pairer as the recorder makes it."""
    return Pairer([str(number) for number in range(topics)], queue_size=QUEUE, max_interval=SLOP, bounds=bounds)


def paired(topics: Sequence[Topic], bounds: str | None = LEARN) -> Paired:
    """Pair with ours; what is released only as the stream ends has no delay."""
    pairer, sets, released = new_pairer(len(topics), bounds), [], []
    for arrival, topic, stamp, index in events(topics):
        new = pairer.add(topic, stamp, index)
        sets += new
        released += [arrival] * len(new)
    indices = np.array(sets + pairer.finish(), np.int64).reshape(-1, len(topics))
    complete = np.max([topic.arrivals[column] for topic, column in zip(topics, indices.T)], axis=0)
    return Paired(indices, np.array(released, np.int64) - complete[:len(released)])


def messages(topics: Sequence[Topic]) -> list[Message]:
    """Return the messages in the order of arrival."""
    return [Message(Header(stamp=to_time(stamp)), topic, index) for _, topic, stamp, index in events(topics)]


def through(make: Callable[[list[SimpleFilter]], SimpleFilter], arriving: Sequence[Message],
            topics: int) -> tuple[np.ndarray, float]:
    """Feed a synchronizer; return its sets as indices int64 [M, K] and the seconds it took."""
    inputs = [SimpleFilter() for _ in range(topics)]
    sets: list[tuple[Message, ...]] = []
    make(inputs).registerCallback(lambda *parts: sets.append(parts))
    started = perf_counter()
    for message in arriving:
        inputs[message.topic].signalMessage(message)
    took = perf_counter() - started
    return np.array([[part.index for part in parts] for parts in sets], np.int64).reshape(-1, topics), took


def ours(inputs: list[SimpleFilter]) -> SimpleFilter:
    """Return the filter of this package."""
    return PairingFilter(inputs, new_pairer(len(inputs)))


def peer(inputs: list[SimpleFilter]) -> SimpleFilter:
    """Return that of message_filters."""
    return ApproximateTimeSynchronizer(inputs, QUEUE, SLOP * 1e-9)


def best_sets(topics: Sequence[Topic]) -> np.ndarray:
    """Return the optimum, indices int64 [M, K]."""
    if len(topics) == 2:
        return best_pairs(topics[0].stamps, topics[1].stamps)
    starts = np.sort(np.concatenate([topic.stamps for topic in topics]))
    columns = [np.searchsorted(topic.stamps, starts) for topic in topics]
    sets = np.stack(columns, 1)[np.all([column < len(topic.stamps) for column, topic in zip(columns, topics)], axis=0)]
    sets = np.unique(sets, axis=0)
    lengths = spans(sets, topics)
    sets, lengths = sets[lengths <= SLOP], lengths[lengths <= SLOP]
    chain = [(0, 0)]  # pairs and -sum of spans of the best chain among the first sets
    links = []
    for number, (row, length) in enumerate(zip(sets, lengths.tolist())):
        before = number
        while before and not (sets[before - 1] < row).all():
            before -= 1
        with_it = chain[before][0] + 1, chain[before][1] - length
        links.append(before if with_it > chain[-1] else -1)
        chain.append(max(with_it, chain[-1]))
    taken, number = [], len(links)
    while number:
        if links[number - 1] >= 0:
            taken.append(number - 1)
        number = links[number - 1] if links[number - 1] >= 0 else number - 1
    return sets[taken[::-1]]


def spans(sets: np.ndarray, topics: Sequence[Topic]) -> np.ndarray:
    """Return the time between the outermost stamps of each set, int64 [M], ns."""
    stamps = np.stack([topic.stamps[column] for topic, column in zip(topics, sets.T)], 1)
    return np.ptp(stamps, axis=1)


def say(name: str, value: float, unit: str, other: float | None = None) -> None:
    """Print a line."""
    line = {'name': f'pairing.{name}', 'value': round(value, 4), 'unit': unit}
    print(json.dumps(line if other is None else {**line, 'peer': round(other, 4)}), flush=True)


def measure(name: str) -> tuple[float, float]:
    """Print the figures of a stream; return its ratio of |Δt| and the delay (ms) that 95 % of its sets stay below."""
    deltas: dict[str, list[np.ndarray]] = {'ours': [], 'peer': [], 'best': []}
    delays, unbounded = [], []
    for seed in range(SEEDS):
        topics = STREAMS[name](np.random.default_rng(seed))
        result = paired(topics)
        delays.append(result.delays)
        unbounded.append(paired(topics, None).delays)
        for who, sets in (('ours', result.sets), ('best', best_sets(topics)),
                          ('peer', through(peer, messages(topics), len(topics))[0])):
            deltas[who].append(spans(sets, topics))
    one, other, best = (np.concatenate(deltas[who]) for who in ('ours', 'peer', 'best'))
    delay = np.concatenate(delays) / MS
    say(f'delta_ratio.{name}', one.mean() / best.mean(), 'of the optimum', other.mean() / best.mean())
    say(f'delta_ms.{name}', one.mean() / MS, 'ms', other.mean() / MS)
    say(f'pairs_ratio.{name}', len(one) / len(best), 'of the optimum', len(other) / len(best))
    say(f'release_delay_mean_ms.{name}', delay.mean(), 'ms')
    say(f'release_delay_p95_ms.{name}', np.percentile(delay, 95), 'ms')
    say(f'release_delay_p95_ms.{name}.without_bounds', np.percentile(np.concatenate(unbounded), 95) / MS, 'ms')
    return one.mean() / best.mean(), float(np.percentile(delay, 95))


def measure_time(name: str, stream: str) -> None:
    """Print the time a message takes on a stream."""
    topics = STREAMS[stream](np.random.default_rng(0))
    arriving = messages(topics)
    times = [[through(make, arriving, len(topics))[1] for make in (ours, peer)] for _ in range(ROUNDS)]
    one, other = (1e6 * median(column) / len(arriving) for column in zip(*times))
    say(name, one, 'us', other)


def count_crossing(make: Callable[[list[SimpleFilter]], SimpleFilter]) -> tuple[int, int]:
    """Return the sets across a jump, and all sets, on streams that jump."""
    crossing = total = 0
    for seed in range(SEEDS):
        for late, rates in (((80, 5), (30, 10)), ((5, 80), (10, 10)), ((60, 30, 35, 40), (20, 12, 12, 12))):
            topics = jumping(np.random.default_rng(seed), late, rates)
            sets, _ = through(make, messages(topics), len(topics))
            bases = np.stack([topic.bases[column] for topic, column in zip(topics, sets.T)], 1)
            crossing += int((bases.min(1) != bases.max(1)).sum())
            total += len(sets)
    return crossing, total


def main() -> None:
    """Print one JSON object a line."""
    figures = {name: measure(name) for name in STREAMS}
    say('delta_ratio_to_optimum', max(ratio for ratio, _ in figures.values()), 'of the optimum, worst stream')
    say('release_delay_p95_ms', max(delay for name, (_, delay) in figures.items() if not name.startswith('limit')),
        'ms, worst stream')
    measure_time('us_per_message', 'late_camera')
    measure_time('us_per_message.seven_topics', 'seven_topics')
    (crossing, total), (others, _) = count_crossing(ours), count_crossing(peer)
    say('cross_jump_pairs', crossing, f'of {total} sets', others)


if __name__ == '__main__':
    main()
