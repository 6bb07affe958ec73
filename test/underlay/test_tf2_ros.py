# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Broadcasters, listeners, and the buffer's waiting, over real DDS."""
import os
import subprocess
import sys
import threading
import time

os.environ.setdefault('ROS_AUTOMATIC_DISCOVERY_RANGE', 'LOCALHOST')
os.environ.setdefault('AMENT_PREFIX_PATH', sys.prefix)

from geometry_msgs.msg import TransformStamped  # noqa: E402
import pytest  # noqa: E402
import rclpy  # noqa: E402
from rclpy.context import Context  # noqa: E402
from rclpy.duration import Duration  # noqa: E402
from rclpy.executors import SingleThreadedExecutor  # noqa: E402
from rclpy.node import Node  # noqa: E402
from rclpy.parameter import Parameter  # noqa: E402
from rclpy.qos import DurabilityPolicy  # noqa: E402
from rclpy.time import Time  # noqa: E402
from rosgraph_msgs.msg import Clock  # noqa: E402
import tf2_ros  # noqa: E402
from tf2_ros.buffer import Buffer  # noqa: E402
from tf2_ros.static_transform_broadcaster import StaticTransformBroadcaster  # noqa: E402
from tf2_ros.static_transform_listener import StaticTransformListener  # noqa: E402
from tf2_ros.transform_broadcaster import TransformBroadcaster  # noqa: E402
from tf2_ros.transform_listener import TransformListener  # noqa: E402

DOMAIN = 41
PATIENCE_S = 20.0


def transform(parent='foo', child='bar', seconds=1.0, x=42.0):
    message = TransformStamped(child_frame_id=child)
    message.header.frame_id = parent
    message.header.stamp = Time(seconds=seconds).to_msg()
    message.transform.translation.x = x
    return message


class Participant:
    """A node in a context and with an executor of its own, as in a process of its own."""

    def __init__(self, name):
        self.context = Context()
        rclpy.init(context=self.context, domain_id=DOMAIN)
        self.node = Node(name, context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)

    def spin_until(self, ready):
        end = time.monotonic() + PATIENCE_S
        while not ready():
            assert time.monotonic() < end, 'nothing arrived'
            self.executor.spin_once(timeout_sec=0.05)

    def close(self):
        self.executor.shutdown()
        self.node.destroy_node()
        self.context.try_shutdown()


@pytest.fixture
def participants():
    made = []

    def make(name):
        made.append(Participant(name))
        return made[-1]
    yield make
    for participant in made:
        participant.close()


def test_transforms_travel_from_broadcaster_to_listener(participants):
    sender, receiver = participants('sender'), participants('receiver')
    buffer = Buffer()
    listener = TransformListener(buffer, receiver.node)
    broadcaster = TransformBroadcaster(sender.node)
    receiver.spin_until(lambda: broadcaster.pub_tf.get_subscription_count())
    broadcaster.sendTransform(transform())
    broadcaster.sendTransform([transform(child='a'), transform(child='b')])
    receiver.spin_until(lambda: all(buffer.can_transform('foo', child, Time(seconds=1)) for child in ('bar', 'a', 'b')))
    assert buffer.lookup_transform('foo', 'bar', Time(seconds=1)) == transform()
    listener.unregister()


def test_late_listeners_receive_every_static_transform_and_its_newest_value(participants):
    sender = participants('sender')
    broadcaster = StaticTransformBroadcaster(sender.node)
    for message in (transform(x=1.0), transform(child='qux', x=2.0), transform(x=3.0)):
        broadcaster.sendTransform(message)
    receiver, buffer = participants('receiver'), Buffer()
    listener = StaticTransformListener(buffer, receiver.node)
    receiver.spin_until(lambda: buffer.can_transform('bar', 'qux', Time(seconds=9)))
    assert buffer.lookup_transform('foo', 'bar', Time(seconds=9)).transform.translation.x == 3.0
    assert buffer.lookup_transform('foo', 'qux', Time(seconds=9)).transform.translation.x == 2.0
    assert not hasattr(listener, 'tf_sub')


def test_qualities_of_service_are_those_of_tf(participants):
    node = participants('node').node
    listener = TransformListener(Buffer(), node, tf_topic='/other')
    TransformBroadcaster(node), StaticTransformBroadcaster(node)
    assert listener.tf_sub.topic_name == '/other'
    (moving,), (static,) = node.get_publishers_info_by_topic('/tf'), node.get_publishers_info_by_topic('/tf_static')
    assert moving.qos_profile.durability == DurabilityPolicy.VOLATILE
    assert static.qos_profile.durability == DurabilityPolicy.TRANSIENT_LOCAL
    (heard,) = node.get_subscriptions_info_by_topic('/tf_static')
    assert heard.qos_profile.durability == DurabilityPolicy.TRANSIENT_LOCAL


SENDER = '''
import rclpy, sys
from geometry_msgs.msg import TransformStamped
from tf2_ros import StaticTransformBroadcaster
rclpy.init(domain_id=int(sys.argv[1]))
message = TransformStamped(child_frame_id='lidar')
message.header.frame_id = 'car'
message.transform.translation.z = 1.8
broadcaster = StaticTransformBroadcaster(rclpy.create_node('sender'))
broadcaster.sendTransform(message)
sys.stdin.read()
'''


def test_look_up_waits_for_another_process_while_a_thread_of_the_listener_spins(participants):
    receiver, buffer = participants('receiver'), Buffer()
    receiver.executor.remove_node(receiver.node)
    listener = TransformListener(buffer, receiver.node, spin_thread=True)
    sender = subprocess.Popen([sys.executable, '-c', SENDER, str(DOMAIN)], stdin=subprocess.PIPE)
    try:
        found = buffer.lookup_transform('car', 'lidar', Time(), timeout=Duration(seconds=PATIENCE_S))
    finally:
        sender.communicate(b'', timeout=PATIENCE_S)
    assert found.transform.translation.z == 1.8
    rclpy.shutdown(context=receiver.context)
    listener.dedicated_listener_thread.join(PATIENCE_S)
    assert not listener.dedicated_listener_thread.is_alive()


def test_a_look_up_that_waits_in_vain_says_what_is_missing():
    buffer = Buffer()
    start = time.monotonic()
    with pytest.raises(tf2_ros.LookupException, match='"foo" passed to lookupTransform'):
        buffer.lookup_transform('foo', 'bar', Time(), Duration(seconds=0.1))
    assert time.monotonic() - start >= 0.1
    can, why = buffer.can_transform('foo', 'bar', Time(), Duration(seconds=0.05), True)
    assert not can and 'frame does not exist' in why


def test_a_waiting_look_up_returns_when_the_transform_comes():
    buffer = Buffer()
    timer = threading.Timer(0.1, buffer.set_transform, (transform(), 'test'))
    timer.start()
    path = ('foo', Time(seconds=1), 'bar', Time(seconds=1), 'foo')
    assert buffer.lookup_transform_full(*path, timeout=Duration(seconds=PATIENCE_S)) == transform()
    assert buffer.can_transform_full(*path) and buffer.can_transform('foo', 'bar', Time(seconds=1))
    timer.join()


@pytest.mark.parametrize('full', [False, True])
@pytest.mark.parametrize('early', [False, True])
def test_coroutines_continue_when_the_transform_is_there(full, early):
    buffer, moment = Buffer(), Time(seconds=1)
    if early:
        buffer.set_transform(transform(), 'test')
    coroutine = buffer.lookup_transform_full_async('foo', moment, 'bar', moment, 'foo') if full else \
        buffer.lookup_transform_async('foo', 'bar', moment)
    if not early:
        coroutine.send(None)
        buffer.set_transform(transform(child='other'), 'test')
        coroutine.send(None)
        buffer.set_transform(transform(), 'test')
    with pytest.raises(StopIteration) as stop:
        coroutine.send(None)
    assert stop.value.value == transform()
    assert not buffer._new_data_callbacks


def test_cancelled_waits_are_forgotten():
    buffer = Buffer()
    future = buffer.wait_for_transform_async('foo', 'bar', Time(seconds=1))
    future.cancel()
    buffer.set_transform(transform(), 'test')
    assert not buffer._new_data_callbacks and future.cancelled()


def test_a_jump_back_in_time_clears_moving_transforms(participants):
    participant = participants('looped')
    participant.node.set_parameters([Parameter('use_sim_time', value=True)])
    buffer = Buffer(node=participant.node)
    publisher = participant.node.create_publisher(Clock, '/clock', 10)

    def reach(seconds):
        def there():
            publisher.publish(Clock(clock=Time(seconds=seconds).to_msg()))
            return participant.node.get_clock().now().nanoseconds == seconds * 10**9
        participant.spin_until(there)
    reach(100)
    buffer.set_transform(transform(seconds=100.0), 'test')
    buffer.set_transform_static(transform(child='fixed'), 'test')
    reach(101)
    assert buffer.can_transform('foo', 'bar', Time())
    reach(5)
    assert not buffer.can_transform('foo', 'bar', Time())
    assert buffer.can_transform('foo', 'fixed', Time())


def test_look_ups_from_threads_agree_while_transforms_stream_in():
    buffer, wrong, done = Buffer(), [], threading.Event()

    def look():
        while not done.is_set():
            if buffer.can_transform('foo', 'bar', Time()):
                found = buffer.lookup_transform('foo', 'bar', Time())
                stamp = found.header.stamp.sec + found.header.stamp.nanosec / 1e9
                if found.transform.translation.x != pytest.approx(stamp):
                    wrong.append(found)
    threads = [threading.Thread(target=look) for _ in range(3)]
    for thread in threads:
        thread.start()
    for step in range(1, 2000):
        buffer.set_transform(transform(seconds=step / 100, x=step / 100), 'test')
    done.set()
    for thread in threads:
        thread.join()
    assert not wrong
