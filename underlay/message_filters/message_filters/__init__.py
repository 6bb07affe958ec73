# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Filters that pass messages on, singly or in synchronized sets, with the interface of ROS 2's message_filters."""
import itertools
import threading
from typing import Any, Callable, Dict, List, Optional, Sequence

from rclpy.clock import ROSClock
from rclpy.duration import Duration
from rclpy.logging import get_logger
from rclpy.time import Time


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

    def _stamp(self, msg: Any) -> Optional[int]:
        """The message's stamp (ns), or the time of its arrival where that is allowed, else None."""
        if not self.sync_arrival_time and hasattr(msg, 'header') and hasattr(msg.header, 'stamp'):
            stamp = msg.header.stamp
            return stamp.nanoseconds if hasattr(stamp, 'nanoseconds') else Time.from_msg(stamp).nanoseconds
        if self.sync_arrival_time or self.allow_headerless:
            return ROSClock().now().nanoseconds
        get_logger('message_filters_approx').warning(
            f'dropped a {type(msg).__name__}: it has no header.stamp; allow_headerless=True uses the time of arrival')
        return None

    def add(self, msg: Any, my_queue: Dict[int, Any], my_queue_index: Optional[int] = None) -> None:
        stamp, slop = self._stamp(msg), self.slop.nanoseconds
        if stamp is None:
            return
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
