# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Subscriptions that stay: their profiles fit the publishers, those that come later too, and no message ends them."""

from __future__ import annotations

import traceback
from typing import Any, Callable

from rclpy.node import Node
from rclpy.qos import QoSProfile

try:
    from rclpy.event_handler import SubscriptionEventCallbacks
except ImportError:  # ROS 2 Humble
    from rclpy.qos_event import SubscriptionEventCallbacks

from ros_kd.bags import BagError
from ros_kd.nodes.qos import fits, sensor_qos
from ros_kd.nodes.tally import Tally


class Listener:
    """Hands the serialised messages of a topic to `callback`; counts those that it refuses.

    reliability: as the parameter qos_reliability. what: counts the messages that the transport lost under this name,
    '': none. qos: a fixed profile.
    """

    def __init__(self, node: Node, kind: type, topic: str, callback: Callable[[bytes], Any], tally: Tally,
                 reliability: str = 'auto', depth: int = 20, what: str = '', qos: QoSProfile | None = None) -> None:
        self._node, self._kind, self.topic, self._callback, self._tally = node, kind, topic, callback, tally
        self._reliability, self._depth, self._what, self._fixed = reliability, depth, what, qos is not None
        self._said = False
        self.qos = qos or sensor_qos(node, topic, reliability, depth)
        self._subscription = self._subscribe()

    def follow(self) -> None:
        """Subscribe anew if a publisher has come whose messages, or whose latched one, the profile keeps out."""
        if self._fixed or not self._node.count_publishers(self.topic):
            return
        qos = sensor_qos(self._node, self.topic, self._reliability, self._depth)
        if qos == self.qos or qos.durability == self.qos.durability and fits(self._node, self.topic, self.qos):
            return
        self._node.get_logger().info(f'publishers of {self.topic} have another profile now: subscribed anew')
        self._node.destroy_subscription(self._subscription)
        self.qos = qos
        self._subscription = self._subscribe()

    def close(self) -> None:
        """Stop listening."""
        self._node.destroy_subscription(self._subscription)

    def _subscribe(self) -> Any:
        try:
            events = SubscriptionEventCallbacks(message_lost=self._count_lost if self._what else None,
                                                use_default_callbacks=False)  # each costs time with every message
            return self._node.create_subscription(self._kind, self.topic, self._take, self.qos, raw=True,
                                                  event_callbacks=events)
        except Exception:  # not every middleware tells what it lost; rclpy has moved this error
            return self._node.create_subscription(self._kind, self.topic, self._take, self.qos, raw=True)

    def _count_lost(self, event: Any) -> None:
        if not self._tally.lost[self._what]:
            self._node.get_logger().error(
                f'the transport loses messages of {self.topic} (said once; counted as "{self._what}"): are the drivers '
                'started with the same config/fastdds.xml, and is this machine fast enough?')
        self._tally.lost[self._what] += event.total_count_change

    def _take(self, raw: bytes) -> None:
        try:
            self._callback(raw)
        except Exception as error:  # one message must not end the node
            self._tally.lost['bad messages'] += 1
            if not self._said:
                self._said = True
                text = error if isinstance(error, BagError) else ''.join(traceback.format_exception(error))
                self._node.get_logger().error(f'bad message on {self.topic}: {text} (said once for this topic)')
