# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""The pairing filter passes sets on in order, whatever its callbacks and its callers' threads do."""

from __future__ import annotations

import os
import sys
import threading
import time

import pytest

os.environ.setdefault('ROS_AUTOMATIC_DISCOVERY_RANGE', 'LOCALHOST')
os.environ.setdefault('AMENT_PREFIX_PATH', sys.prefix)
message_filters = pytest.importorskip('message_filters', reason='ROS is not installed')

import rclpy  # noqa: E402
from rclpy.executors import MultiThreadedExecutor  # noqa: E402
from std_msgs.msg import Header  # noqa: E402
from sensor_msgs.msg import CameraInfo  # noqa: E402

from ros_kd.nodes.approximate_time import PairingFilter  # noqa: E402
from ros_kd.nodes.messages import to_time  # noqa: E402
from ros_kd.pairing import Pairer, Reason  # noqa: E402

DOMAIN = 49
MS = 1_000_000
PATIENCE = 20.0  # seconds


class Log:
    """Keeps what is logged."""

    def __init__(self):
        self.errors = []

    def error(self, text):
        self.errors.append(text)


def stamped(milliseconds):
    return CameraInfo(header=Header(stamp=to_time(10**12 + milliseconds * MS)))


def milliseconds(message):
    return (message.header.stamp.sec * 10**9 + message.header.stamp.nanosec - 10**12) // MS


class Bench:
    """A filter of two inputs, and the sets (ms) that came out of it."""

    def __init__(self, **settings):
        self.inputs = [message_filters.SimpleFilter(), message_filters.SimpleFilter()]
        self.log, self.sets = Log(), []
        self.filter = PairingFilter(self.inputs, Pairer(['camera', 'scans'], **settings), log=self.log)

    def collect(self, *messages):
        self.sets.append(tuple(milliseconds(message) for message in messages))

    def feed(self, begin, end):
        for stamp in range(begin, end, 100):
            self.inputs[0].signalMessage(stamped(stamp))
            self.inputs[1].signalMessage(stamped(stamp + 10))


def test_sets_come_out_with_the_arguments_that_were_registered():
    bench, got = Bench(), []
    bench.filter.registerCallback(lambda camera, scan, extra: got.append(extra), 'extra')
    bench.filter.registerCallback(bench.collect)
    bench.feed(0, 500)
    assert bench.sets == [(0, 10), (100, 110), (200, 210), (300, 310)] and got == ['extra'] * 4
    bench.filter.finish()
    assert bench.sets[4:] == [(400, 410)] and bench.filter.pairer.pairs == 5


def test_a_callback_that_raises_is_logged_once_and_stops_nothing():
    bench = Bench()

    def fail(*messages):
        raise RuntimeError('disk is full')

    bench.filter.registerCallback(fail)
    bench.filter.registerCallback(bench.collect)
    bench.feed(0, 1000)
    assert len(bench.sets) >= 9 and list(bench.filter.errors.values()) == [len(bench.sets)]
    assert len(bench.log.errors) == 1 and 'RuntimeError: disk is full' in bench.log.errors[0]
    assert 'in fail' in bench.log.errors[0], 'the traceback says where'


def test_a_message_without_a_stamp_is_logged_and_counted():
    bench = Bench()
    bench.filter.registerCallback(bench.collect)
    bench.inputs[0].signalMessage(object())
    bench.feed(0, 300)
    assert bench.sets == [(0, 10), (100, 110)] and "no attribute 'header'" in bench.log.errors[0]
    assert bench.filter.pairer.dropped['camera', Reason.NO_STAMP] == 1


def test_a_callback_may_feed_messages_back_and_their_sets_come_in_order():
    bench = Bench(bounds={'camera': 80 * MS})

    def feed_back(camera, scan):
        bench.collect(camera, scan)
        if milliseconds(camera) == 100:
            bench.feed(200, 800)
            bench.filter.finish()
            assert bench.sets == [(0, 10), (100, 110)], 'sets in between would come out of order'

    bench.filter.registerCallback(feed_back)
    bench.feed(0, 200)
    assert bench.sets == [(stamp, stamp + 10) for stamp in range(0, 800, 100)]
    assert not bench.log.errors


def test_an_interrupt_in_a_callback_loses_only_its_own_set():
    bench, left = Bench(), [KeyboardInterrupt]

    def interrupt(camera, scan):
        if left:
            raise left.pop()
        bench.collect(camera, scan)

    bench.filter.registerCallback(interrupt)
    with pytest.raises(KeyboardInterrupt):
        bench.feed(0, 300)
    bench.feed(100, 400)
    bench.filter.finish()
    assert bench.sets == [(100, 110), (200, 210), (300, 310)]


def test_a_jump_is_told_between_the_sets_of_before_and_after_and_may_feed_messages_back():
    told = []
    bench = Bench(on_jump=lambda name, size: (told.append(f'jump of {name}'), bench.feed(300, 400)),
                  on_drop=lambda topic, message, reason: told.append(reason))
    bench.filter.registerCallback(lambda camera, scan: told.append(milliseconds(camera)))
    bench.feed(10000, 10300)
    bench.feed(0, 200)
    bench.filter.finish()
    jump = told.index('jump of camera')
    assert told[:2] == [10000, 10100] and told[jump - 2:jump] == [Reason.TIME_JUMP] * 2
    assert [item for item in told[jump + 1:] if isinstance(item, int)] == [300]


def test_threads_lose_no_message_and_sets_stay_in_order():
    bench = Bench(queue_size=10**6)
    bench.filter.registerCallback(bench.collect)
    together = threading.Barrier(2)

    def send(topic):
        for stamp in range(0, 100_000, 100):
            if stamp < 500 or stamp % 500 == 0:  # a topic must not begin long after the other
                together.wait(PATIENCE)
            bench.inputs[topic].signalMessage(stamped(stamp + 10 * topic))

    threads = [threading.Thread(target=send, args=(topic,)) for topic in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    bench.filter.finish()
    assert not any(thread.is_alive() for thread in threads)
    assert bench.sets == [(stamp, stamp + 10) for stamp in range(0, 100_000, 100)]


def test_finish_returns_when_another_thread_has_passed_all_on():
    bench = Bench()
    entered, leave = threading.Event(), threading.Event()

    def slow(camera, scan):
        entered.set()
        assert leave.wait(PATIENCE)
        bench.collect(camera, scan)

    bench.filter.registerCallback(slow)
    thread = threading.Thread(target=bench.feed, args=(0, 200))
    thread.start()
    assert entered.wait(PATIENCE)
    threading.Timer(0.05, leave.set).start()
    bench.filter.finish()
    assert (0, 10) in bench.sets
    thread.join(PATIENCE)


def test_filters_and_topics_must_be_as_many():
    with pytest.raises(ValueError, match=r"1 filters for the topics \['a', 'b'\]"):
        PairingFilter([message_filters.SimpleFilter()], Pairer(['a', 'b']))


def test_real_subscriptions_in_several_threads_are_paired():
    context = rclpy.context.Context()
    rclpy.init(context=context, domain_id=DOMAIN)
    node = rclpy.create_node('pairing', context=context)
    names = ['camera', 'scans']
    sources = [message_filters.Subscriber(node, CameraInfo, name) for name in names]
    pairing, sets = PairingFilter(sources, Pairer(names)), []
    pairing.registerCallback(lambda *messages: sets.append(tuple(milliseconds(message) for message in messages)))
    publishers = [node.create_publisher(CameraInfo, name, 10) for name in names]
    executor = MultiThreadedExecutor(2, context=context)
    executor.add_node(node)
    spinner = threading.Thread(target=executor.spin, daemon=True)
    spinner.start()
    end, stamp = time.monotonic() + PATIENCE, 0
    while len(sets) < 10 and time.monotonic() < end:
        for number, publisher in enumerate(publishers):
            publisher.publish(stamped(stamp + 10 * number))
        stamp += 100
        time.sleep(0.01)
    executor.shutdown()
    spinner.join(PATIENCE)
    node.destroy_node()
    rclpy.shutdown(context=context)
    assert len(sets) >= 10 and all(scan - camera == 10 for camera, scan in sets) and sets == sorted(sets)
