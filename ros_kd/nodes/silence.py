# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Why no cloud arrives."""

from __future__ import annotations

from rclpy.node import Node
from rclpy.qos import ReliabilityPolicy

CLOUD = 'sensor_msgs/msg/PointCloud2'


def explain_silence(node: Node, topic: str, reliability: str, timeout: float) -> str:
    """Return a sentence that says who publishes what on `topic`, and which topics carry clouds instead."""
    text = f'no message within {timeout:g} s on topic {topic}: '
    publishers = node.get_publishers_info_by_topic(topic)
    if not publishers:
        clouds = sorted(name for name, types in node.get_topic_names_and_types()
                        if CLOUD in types and name != topic and node.count_publishers(name)
                        and not name.startswith(node.get_fully_qualified_name() + '/'))
        if clouds:
            return text + f'nothing publishes it. Point clouds published now: {", ".join(clouds)}; set points_topic'
        return text + 'nothing publishes it, nor any other point cloud: is the driver or the bag running?'
    types = sorted({info.topic_type for info in publishers})
    if CLOUD not in types:
        return text + f'it is published as {", ".join(types)}, but a {CLOUD} is expected'
    best_effort = all(info.qos_profile.reliability == ReliabilityPolicy.BEST_EFFORT for info in publishers)
    if reliability == 'reliable' and best_effort:
        return text + ('its publisher is best effort, which a reliable subscription never hears: '
                       'set reliability:=best_effort')
    names = ', '.join(sorted({f'{info.node_namespace.rstrip("/")}/{info.node_name}' for info in publishers}))
    return text + (f'{names} publishes it, but nothing arrives: is it paused? If not, messages may be larger than '
                   'the transport takes; see config/fastdds.xml')
