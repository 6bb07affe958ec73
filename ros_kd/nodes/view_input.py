# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""A topic of the node `view`: heard while a browser looks on, shown outside the executor's thread."""

from __future__ import annotations

from time import monotonic
from typing import Any, Callable

from rclpy.node import Node
from rclpy.qos import QoSProfile

from ros_kd.nodes.clock import seconds
from ros_kd.nodes.health import Silence
from ros_kd.nodes.latest import LatestOnly
from ros_kd.nodes.silence import explain_silence

PATIENCE = 5.0  # seconds without a message before the log says why


class Input:
    """A topic that is listened to while a browser looks on; its newest message is handled in a thread of its own."""

    def __init__(self, node: Node, topic: str, kinds: dict[str, type], rate: float, qos: QoSProfile,
                 show: Callable[[Any], None]) -> None:
        self._node, self._kinds, self._qos, self._show = node, kinds, qos, show
        self.topic = node.resolve_topic_name(topic)
        self._pause = 0.9 / rate  # clouds that come at this rate, with jitter, are all shown
        self._silence, self._last = Silence(lambda: seconds(node)), float('-inf')
        self._said: set[str] = set()
        self._subscription = None
        self._worker = LatestOnly(self._handle, 'view')

    def follow(self, watched: bool) -> None:
        """Listen if a browser looks on, else do not: a segmenter that nobody listens to rests."""
        if not watched:
            self.rest()
        elif self._subscription is None:
            self._subscribe()
        elif self._silence.seconds() > PATIENCE:
            self._say(f'no message within {PATIENCE:g} s: '
                      + explain_silence(self._node, self.topic, tuple(self._kinds), self._qos.reliability))
            self._silence.end()

    def rest(self) -> None:
        """Listen no more."""
        if self._subscription is not None:
            self._node.destroy_subscription(self._subscription)
            self._subscription = None

    def close(self) -> None:
        """Listen no more, and end the thread."""
        self.rest()
        self._worker.stop()

    def _subscribe(self) -> None:
        """Images come in two types: which one is known once they are published."""
        published = dict(self._node.get_topic_names_and_types()).get(self.topic, [])
        known = [kind for name, kind in self._kinds.items() if name in published or len(self._kinds) == 1]
        if known:
            self._silence.end()
            self._subscription = self._node.create_subscription(known[0], self.topic, self._receive, self._qos)
        elif self._silence.seconds() > PATIENCE:
            self._say(explain_silence(self._node, self.topic, tuple(self._kinds)))

    def _receive(self, message: Any) -> None:
        self._silence.end()
        now = monotonic()
        if now - self._last >= self._pause:
            self._last = now
            self._worker.put(message)

    def _handle(self, message: Any) -> None:
        try:
            self._show(message)
        except Exception as error:  # whatever a message holds must not end the thread
            self._say(f'{self.topic}: a message is not shown: {type(error).__name__}: {error}', type(error).__name__)

    def _say(self, text: str, kind: str = '') -> None:
        """Log a text once, or one of its kind."""
        if (kind or text) not in self._said:
            self._said.add(kind or text)
            self._node.get_logger().warning(f'{text} (said once)')
