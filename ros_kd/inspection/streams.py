# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""The figures of a bag's topics, from the first bytes of each message."""

from __future__ import annotations

import struct
from functools import partial

import numpy as np

from ros_kd.bags import BagError, codec, layout
from ros_kd.bags.raw.headers import read_in_order
from ros_kd.bags.store import MessageStore
from ros_kd.inspection.figures import Curve, Topic
from ros_kd.inspection.samples import spread
from ros_kd.inspection.timing import clock, order, rhythm

_HEADER, _ELEMENT = 4, 8  # where the stamp of a message begins: of its header, or of its first transform
_SAMPLE = 20  # messages whose size is taken
_POINTS, _BINS = 400, 240  # of a curve


def read_topics(store: MessageStore, with_stamps: bool) -> tuple[tuple[Topic, ...], dict[str, np.ndarray]]:
    """Return the figures of all topics with messages, and the header stamps by topic, int64 [M], ns, 0 = none.

    with_stamps: whether to read them; the log times alone cost nothing.
    """
    topics = sorted(topic for topic in store.types if len(store.stamps(topic)))
    places = {topic: _stamp_place(store.types[topic]) for topic in topics}
    stamped = [topic for topic in topics if places[topic]] if with_stamps else []
    stamps = {topic: np.zeros(len(store.stamps(topic)), np.int64) for topic in stamped}
    if stamped:
        read_in_order(store, {topic: partial(_read_stamp, store, topic, places[topic], stamps[topic])
                              for topic in stamped})
    return tuple(_topic(store, topic, stamps.get(topic)) for topic in topics), stamps


def _stamp_place(kind: str) -> int:
    """Return where the stamp of a message of this type begins, 0 if it has none that is known."""
    if kind == layout.TF_MESSAGE:
        return _ELEMENT
    fields = codec.typestore().fielddefs.get(kind, ((), ()))[1]
    return _HEADER if fields and fields[0][1][1] == 'std_msgs/msg/Header' else 0


def _read_stamp(store: MessageStore, topic: str, place: int, stamps: np.ndarray, number: int) -> None:
    try:
        raw = store.head(topic, number, place + 8)
    except BagError:
        return  # counted where the payload is read
    if len(raw) >= place + 8 and raw[1] in (0, 1):
        seconds, nanoseconds = struct.unpack_from('<iI' if raw[1] else '>iI', raw, place)
        stamps[number] = seconds * 1_000_000_000 + nanoseconds


def _topic(store: MessageStore, name: str, stamps: np.ndarray | None) -> Topic:
    logged = store.stamps(name)
    beats, size = rhythm(logged), _size(store, name)
    if stamps is None or not (stamps > 0).any():
        return Topic(name, store.types[name], len(logged), size, beats, beats,
                     None if stamps is None else order(stamps), activity=_activity(logged, beats.usual_rate))
    compared = clock(stamps, logged)
    return Topic(name, store.types[name], len(logged), size, rhythm(stamps), beats, order(stamps), compared,
                 _offsets(stamps, logged), _activity(logged, beats.usual_rate))


def _size(store: MessageStore, topic: str) -> float:
    sizes = []
    for number in spread(len(store.stamps(topic)), _SAMPLE):
        try:
            sizes.append(len(store.read(topic, number)))
        except BagError:
            continue
    return float(np.mean(sizes)) if sizes else 0.0


def _offsets(stamps: np.ndarray, logged: np.ndarray) -> Curve:
    """Return header stamp minus log time over time, of every n-th message."""
    logged, stamps = logged[stamps > 0], stamps[stamps > 0]
    step = -(-len(logged) // _POINTS)
    start = int(logged[0])
    return Curve(start, tuple(((logged[::step] - start) / 1e9).tolist()),
                 tuple(((stamps - logged)[::step] / 1e9).tolist()))


def _activity(logged: np.ndarray, rate: float) -> Curve | None:
    """Return messages a second over time, in intervals of eight usual periods if there are many; None for a few."""
    seconds = (int(logged[-1]) - int(logged[0])) / 1e9
    periods = seconds * rate
    if periods < 30:
        return None
    bins = int(min(_BINS, max(10, periods / 8)))
    counts, edges = np.histogram((logged - logged[0]) / 1e9, bins)
    return Curve(int(logged[0]), tuple(edges.tolist()), tuple((counts * bins / seconds).tolist()))
