# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Filters of messages: subscription, exact and approximate synchronization."""
import os
import random
import sys
import time

os.environ.setdefault('ROS_AUTOMATIC_DISCOVERY_RANGE', 'LOCALHOST')
os.environ.setdefault('AMENT_PREFIX_PATH', sys.prefix)

from hypothesis import given, settings, strategies as st  # noqa: E402
from message_filters import (  # noqa: E402
    ApproximateTimeSynchronizer, SimpleFilter, Subscriber, TimeSynchronizer)
import pytest  # noqa: E402
import rclpy  # noqa: E402
from rclpy.clock import ClockType, ROSClock  # noqa: E402
from rclpy.duration import Duration  # noqa: E402
from rclpy.qos import qos_profile_sensor_data, ReliabilityPolicy  # noqa: E402
from rclpy.time import Time  # noqa: E402
from sensor_msgs.msg import CameraInfo  # noqa: E402
from std_msgs.msg import String  # noqa: E402

DOMAIN = 42
PATIENCE_S = 20.0


def stamped(seconds, name=''):
    message = CameraInfo()
    message.header.stamp = Time(nanoseconds=round(seconds * 1e9)).to_msg()
    message.header.frame_id = name
    return message


def collector(source):
    collected = []
    source.registerCallback(lambda *messages: collected.append(messages))
    return collected


@pytest.fixture
def node():
    context = rclpy.context.Context()
    rclpy.init(context=context, domain_id=DOMAIN)
    made = rclpy.create_node('filters', context=context)
    yield made
    made.destroy_node()
    rclpy.shutdown(context=context)


def test_a_subscriber_passes_on_what_arrives_with_extra_arguments(node):
    subscriber = Subscriber(node, String, 'words', qos_profile=qos_profile_sensor_data)
    got = []
    subscriber.registerCallback(lambda message, extra: got.append((message.data, extra)), 'extra')
    publisher = node.create_publisher(String, 'words', 10)
    executor = rclpy.executors.SingleThreadedExecutor(context=node.context)
    end = time.monotonic() + PATIENCE_S
    while not got and time.monotonic() < end:
        publisher.publish(String(data='hello'))
        rclpy.spin_once(node, executor=executor, timeout_sec=0.05)
    executor.shutdown()
    assert got[0] == ('hello', 'extra')
    assert (subscriber.getTopic(), subscriber.topic_name) == ('words', '/words')
    assert subscriber.qos_profile.reliability == ReliabilityPolicy.BEST_EFFORT


def test_a_subscriber_is_reliable_with_depth_ten_unless_told_otherwise(node):
    assert Subscriber(node, String, 'a').qos_profile.depth == 10
    assert Subscriber(node, String, 'b', 3).qos_profile.depth == 3


def test_equal_stamps_are_joined_in_the_order_of_the_inputs():
    left, right = SimpleFilter(), SimpleFilter()
    synchronizer = TimeSynchronizer([left, right], 10)
    out = collector(synchronizer)
    for second in range(5):
        left.signalMessage(stamped(second, 'left'))
    assert not out
    for second in range(5):
        right.signalMessage(stamped(second, 'right'))
    assert out == [(stamped(second, 'left'), stamped(second, 'right')) for second in range(5)]


def test_what_is_older_than_an_output_is_dropped():
    left, right = SimpleFilter(), SimpleFilter()
    synchronizer = TimeSynchronizer([left, right], 10)
    out = collector(synchronizer)
    left.signalMessage(stamped(1))
    right.signalMessage(stamped(2))
    left.signalMessage(stamped(2))
    right.signalMessage(stamped(1))
    assert out == [(stamped(2), stamped(2))]


def test_only_queue_size_messages_wait():
    left, right = SimpleFilter(), SimpleFilter()
    synchronizer = TimeSynchronizer([left, right], 2)
    out = collector(synchronizer)
    for second in range(4):
        left.signalMessage(stamped(second))
    for second in range(4):
        right.signalMessage(stamped(second))
    assert [pair[0].header.stamp.sec for pair in out] == [2, 3]


def test_scrambled_sequences_are_joined_approximately():
    shuffled = random.Random(0)
    for count in range(1, 10):
        left, right = SimpleFilter(), SimpleFilter()
        synchronizer = ApproximateTimeSynchronizer([left, right], count, 0.1)
        out = collector(synchronizer)
        for second in shuffled.sample(range(count), count):
            left.signalMessage(stamped(second, 'left'))
        assert not out
        for second in shuffled.sample(range(count), count):
            right.signalMessage(stamped(second + 0.05, 'right'))
        assert sorted(pair[0].header.stamp.sec for pair in out) == list(range(count))
        assert all(pair[0].header.stamp.sec == pair[1].header.stamp.sec for pair in out)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 30)), min_size=1, max_size=40))
def test_sets_span_less_than_slop_and_no_message_is_used_twice(arrivals):
    inputs = [SimpleFilter() for _ in range(3)]
    synchronizer = ApproximateTimeSynchronizer(inputs, 5, 0.25)
    out = collector(synchronizer)
    for index, tenth in arrivals:
        inputs[index].signalMessage(stamped(tenth / 10, str(index)))
    times = [[Time.from_msg(message.header.stamp).nanoseconds for message in messages] for messages in out]
    assert all(max(stamps) - min(stamps) < 0.25e9 for stamps in times)
    assert all([message.header.frame_id for message in messages] == ['0', '1', '2'] for messages in out)
    used = [id(message) for messages in out for message in messages]
    assert len(used) == len(set(used))


def test_the_nearest_message_is_chosen():
    left, right = SimpleFilter(), SimpleFilter()
    synchronizer = ApproximateTimeSynchronizer([left, right], 10, 0.5)
    out = collector(synchronizer)
    for seconds in (1.0, 1.2, 1.4):
        left.signalMessage(stamped(seconds))
    right.signalMessage(stamped(1.25))
    assert out == [(stamped(1.2), stamped(1.25))]


def test_headerless_messages_take_the_time_of_arrival_only_if_allowed():
    for allow, pairs in ((False, 0), (True, 1)):
        left, right = SimpleFilter(), SimpleFilter()
        synchronizer = ApproximateTimeSynchronizer([left, right], 5, 10.0, allow_headerless=allow)
        out = collector(synchronizer)
        left.signalMessage(stamped(ROSClock().now().nanoseconds / 1e9))
        right.signalMessage(String(data='word'))
        assert len(out) == pairs


def test_time_of_arrival_can_replace_the_stamps():
    left, right = SimpleFilter(), SimpleFilter()
    synchronizer = ApproximateTimeSynchronizer([left, right], 5, 10.0, sync_arrival_time=True)
    out = collector(synchronizer)
    left.signalMessage(stamped(1.0))
    right.signalMessage(stamped(9999.0))
    assert len(out) == 1


def test_a_callback_that_fails_does_not_lock_the_synchronizer():
    source = SimpleFilter()
    synchronizer = TimeSynchronizer([source], 5)
    connection = synchronizer.registerCallback(lambda message: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        source.signalMessage(stamped(1))
    del synchronizer.callbacks[connection]
    out = collector(synchronizer)
    source.signalMessage(stamped(2))
    assert (stamped(2),) in out
