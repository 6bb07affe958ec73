# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Filters that pass messages on, singly or in synchronized sets, with the interface of ROS 2's message_filters."""
from bisect import bisect_right
from dataclasses import dataclass
import itertools
import threading
from typing import Any, Callable, Dict, List, Optional, Sequence

from rclpy.clock import ROSClock
from rclpy.duration import Duration
from rclpy.logging import get_logger
from rclpy.time import Time

__all__ = ['ApproximateTimeSynchronizer', 'Cache', 'Chain', 'SimpleFilter', 'Subscriber', 'TimeSynchronizer']


def _stamp(msg: Any, allow_headerless: bool, use_arrival: bool, logger: str) -> Optional[Time]:
    """The message's stamp, or the time of its arrival where that is allowed, else None."""
    if not use_arrival and hasattr(msg, 'header') and hasattr(msg.header, 'stamp'):
        stamp = msg.header.stamp
        return stamp if hasattr(stamp, 'nanoseconds') else Time.from_msg(stamp)
    if use_arrival or allow_headerless:
        return ROSClock().now()
    get_logger(logger).warning(
        f'dropped a {type(msg).__name__}: it has no header.stamp; allow_headerless=True uses the time of arrival')
    return None


class SimpleFilter:
    """A filter with output: calls back whoever registered."""

    def __init__(self) -> None:
        self.callbacks: Dict[int, tuple] = {}
        self._connections = itertools.count()

    def registerCallback(self, cb: Callable, *args: Any) -> int:
        """Have cb called with each output followed by args; returns the number of the connection."""
        connection = next(self._connections)
        self.callbacks[connection] = (cb, args)
        return connection

    def signalMessage(self, *msg: Any) -> None:
        """Pass a message, or a set of them, on."""
        for cb, args in tuple(self.callbacks.values()):
            cb(*msg, *args)


class Subscriber(SimpleFilter):
    """A subscription as a filter: Subscriber(node, msg_type, topic, **create_subscription_arguments), depth 10."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        SimpleFilter.__init__(self)
        self.node, msg_type, self.topic, *qos = args
        kwargs.setdefault('qos_profile', qos[0] if qos else 10)
        self.sub = self.node.create_subscription(msg_type, self.topic, self.callback, **kwargs)

    def callback(self, msg: Any) -> None:
        self.signalMessage(msg)

    def getTopic(self) -> str:
        return self.topic

    def __getattr__(self, key: str) -> Any:
        if key == 'sub':  # not yet there: asking it for itself would never end
            raise AttributeError(key)
        return getattr(self.sub, key)


class Cache(SimpleFilter):
    """Keeps the newest cache_size messages in order of their stamps and passes each on."""

    def __init__(self, f: SimpleFilter, cache_size: int = 1, allow_headerless: bool = False) -> None:
        SimpleFilter.__init__(self)
        self.cache_size = cache_size
        self.allow_headerless = allow_headerless
        self.cache_msgs: List[Any] = []
        self.cache_times: List[Time] = []
        self.connectInput(f)

    def connectInput(self, f: SimpleFilter) -> None:
        self.incoming_connection = f.registerCallback(self.add)

    def add(self, msg: Any) -> None:
        stamp = _stamp(msg, self.allow_headerless, False, 'message_filters_cache')
        if stamp is None:
            return
        place = bisect_right(self.cache_times, stamp)
        self.cache_times.insert(place, stamp)
        self.cache_msgs.insert(place, msg)
        if len(self.cache_msgs) > self.cache_size:
            del self.cache_msgs[0], self.cache_times[0]
        self.signalMessage(msg)

    def getInterval(self, from_stamp: Time, to_stamp: Time) -> List[Any]:
        """The messages from one stamp to another, both included."""
        assert from_stamp <= to_stamp
        return [msg for msg, time in zip(self.cache_msgs, self.cache_times) if from_stamp <= time <= to_stamp]

    def getElemAfterTime(self, stamp: Time) -> Any:
        """The oldest message at or after a stamp, or None."""
        return next((msg for msg, time in zip(self.cache_msgs, self.cache_times) if time >= stamp), None)

    def getElemBeforeTime(self, stamp: Time) -> Any:
        """The newest message at or before a stamp, or None."""
        older = [msg for msg, time in zip(self.cache_msgs, self.cache_times) if time <= stamp]
        return older[-1] if older else None

    def getLastestTime(self) -> Optional[Time]:
        """The newest stamp, or None. The spelling is upstream's."""
        return self.cache_times[-1] if self.cache_times else None

    def getOldestTime(self) -> Optional[Time]:
        return self.cache_times[0] if self.cache_times else None

    def getLast(self) -> Any:
        return self.cache_msgs[-1] if self.cache_msgs else None


class Chain(SimpleFilter):
    """Filters in a row, each fed by the one before; the last one's output is the chain's."""

    @dataclass
    class FilterInfo:
        message_filter: Any
        connection_callback_index: int

    def __init__(self, message_filter: Optional[SimpleFilter] = None) -> None:
        SimpleFilter.__init__(self)
        self.incoming_connection: Optional[int] = None
        self._message_filters: Dict[int, Chain.FilterInfo] = {}
        if message_filter is not None:
            self.connectInput(message_filter)

    def connectInput(self, message_filter: SimpleFilter) -> None:
        if self.incoming_connection is not None:
            raise RuntimeError('Already connected')
        self.incoming_connection = message_filter.registerCallback(self.add)

    def add(self, message: Any) -> None:
        if self._message_filters:
            self._message_filters[0].message_filter.add(message)
        else:
            self.signalMessage(message)

    def addFilter(self, message_filter: Any) -> None:
        """Append a filter that has add() and output."""
        index = len(self._message_filters)
        if index:
            last = self._message_filters[index - 1]
            del last.message_filter.callbacks[last.connection_callback_index]
            last.connection_callback_index = last.message_filter.registerCallback(message_filter.add)
        self._message_filters[index] = Chain.FilterInfo(
            message_filter, message_filter.registerCallback(self.signalMessage))

    def getFilter(self, index: int) -> Any:
        """The filter at a place; KeyError if there is none."""
        return self._message_filters[index].message_filter


class TimeSynchronizer(SimpleFilter):
    """Passes on sets of messages, one of each input, whose stamps are equal; keeps queue_size per input."""

    def __init__(self, fs: Sequence[SimpleFilter], queue_size: int) -> None:
        SimpleFilter.__init__(self)
        self.queue_size = queue_size
        self.lock = threading.Lock()
        self.connectInput(fs)

    def connectInput(self, fs: Sequence[SimpleFilter]) -> None:
        self.queues: List[Dict[int, Any]] = [{} for _ in fs]
        self.input_connections = [f.registerCallback(self.add, queue, index)
                                  for index, (f, queue) in enumerate(zip(fs, self.queues))]

    def _enqueue(self, stamp: int, msg: Any, queue: Dict[int, Any]) -> None:
        queue[stamp] = msg
        while len(queue) > self.queue_size:
            del queue[min(queue)]

    def add(self, msg: Any, my_queue: Dict[int, Any], my_queue_index: Optional[int] = None) -> None:
        with self.lock:
            self._enqueue(Time.from_msg(msg.header.stamp).nanoseconds, msg, my_queue)
            for stamp in sorted(set.intersection(*map(set, self.queues))):
                self.signalMessage(*(queue[stamp] for queue in self.queues))
                for queue in self.queues:  # as in C++: what is older than an output can no longer come out
                    for old in [key for key in queue if key <= stamp]:
                        del queue[old]


class ApproximateTimeSynchronizer(TimeSynchronizer):
    """Passes on sets whose stamps span less than slop seconds, the nearest to the newly arrived one first.

    With sync_arrival_time the time of arrival stands for the stamp; with allow_headerless only where there is none.
    """

    def __init__(self, fs: Sequence[SimpleFilter], queue_size: int, slop: float, allow_headerless: bool = False,
                 sync_arrival_time: bool = False) -> None:
        TimeSynchronizer.__init__(self, fs, queue_size)
        self.slop = Duration(seconds=slop)
        self.allow_headerless = allow_headerless
        self.sync_arrival_time = sync_arrival_time

    def add(self, msg: Any, my_queue: Dict[int, Any], my_queue_index: Optional[int] = None) -> None:
        time = _stamp(msg, self.allow_headerless, self.sync_arrival_time, 'message_filters_approx')
        if time is None:
            return
        stamp, slop = time.nanoseconds, self.slop.nanoseconds
        with self.lock:
            self._enqueue(stamp, msg, my_queue)
            if stamp not in my_queue:  # a full queue of newer messages
                return
            candidates = [
                [stamp] if index == my_queue_index else
                sorted((s for s in queue if abs(s - stamp) <= slop), key=lambda s: abs(s - stamp))
                for index, queue in enumerate(self.queues)]
            for stamps in itertools.product(*candidates):
                if max(stamps) - min(stamps) < slop:
                    self.signalMessage(*(queue[s] for queue, s in zip(self.queues, stamps)))
                    for queue, s in zip(self.queues, stamps):
                        del queue[s]
                    break
