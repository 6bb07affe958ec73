# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Where the time for a cloud goes, and the topics that say so."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from time import monotonic

from rclpy.lifecycle import LifecycleNode
from rclpy.qos import QoSProfile
from std_msgs.msg import Float64

HOUR = 3.6e6  # ms; an older stamp is of another clock


@dataclass(frozen=True)
class Times:
    """Milliseconds for one cloud: reading the message, points to voxels, the network, voxels to points, writing and
    publishing the results, and from the first to the last, all that is between included."""

    decode: float
    prepare: float
    network: float
    assign: float
    encode: float
    total: float


class TimeTopics:
    """~/debug/processing_time_ms/*, ~/debug/pipeline_latency_ms and ~/debug/cyclic_time_ms, for those who listen."""

    def __init__(self, node: LifecycleNode) -> None:
        self._node = node
        self._last: float | None = None
        names = [f'processing_time_ms/{name}' for name in Times.__dataclass_fields__]
        self._publishers = {name: node.create_lifecycle_publisher(Float64, f'~/debug/{name}', QoSProfile(depth=10))
                            for name in (*names, 'pipeline_latency_ms', 'cyclic_time_ms')}

    def publish(self, times: Times, latency: float) -> None:
        """Say what the cloud published now took. latency: ms since its stamp; one of another clock is not published."""
        for name, value in asdict(times).items():
            self._say(f'processing_time_ms/{name}', value)
        if 0 <= latency < HOUR:
            self._say('pipeline_latency_ms', latency)
        now = monotonic()
        if self._last is not None:
            self._say('cyclic_time_ms', (now - self._last) * 1e3)
        self._last = now

    def _say(self, name: str, value: float) -> None:
        publisher = self._publishers[name]
        if publisher.get_subscription_count():
            publisher.publish(Float64(data=value))

    def destroy(self) -> None:
        """Take the topics back."""
        for publisher in self._publishers.values():
            self._node.destroy_lifecycle_publisher(publisher)
