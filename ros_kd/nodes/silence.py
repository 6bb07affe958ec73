# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Why nothing arrives on a topic, and what is published instead."""

from __future__ import annotations

from rclpy.node import Node
from rclpy.qos import ReliabilityPolicy

CLOUD = 'sensor_msgs/msg/PointCloud2'
_OWN = ('/rosout', '/parameter_events', '/diagnostics')


def published(node: Node) -> dict[str, list[str]]:
    """Return the types of each topic that has a publisher."""
    return {topic: kinds for topic, kinds in node.get_topic_names_and_types() if node.count_publishers(topic)}


def explain_silence(node: Node, topic: str, kinds: tuple[str, ...] = (CLOUD,),
                    requested: ReliabilityPolicy | None = None) -> str:
    """Say why nothing arrives on a topic that should carry one of the types `kinds`, and what is published instead.

    requested: the reliability of the node's own subscription.
    """
    wanted = ' or '.join(kinds)
    ends = node.get_publishers_info_by_topic(topic)
    if ends:
        return explain_unheard(node, topic, kinds, requested) or _explain_heard(topic, ends)
    graph = published(node)
    own = node.get_fully_qualified_name() + '/'
    similar = [f'{name} ({end.qos_profile.reliability.name.lower().replace("_", " ")})'
               for name, types in sorted(graph.items()) if set(types) & set(kinds) and not name.startswith(own)
               for end in node.get_publishers_info_by_topic(name)[:1]]
    if similar:
        return f'nobody publishes {topic}; topics of {wanted} published now: {", ".join(similar)}'
    rest = [f'{name} ({", ".join(types)})' for name, types in sorted(graph.items())
            if not name.startswith((*_OWN, own))]
    return (f'nobody publishes {topic}, nor any {wanted}; published now: {", ".join(rest) or "nothing"}. Is the driver '
            'running, with the same ROS_DOMAIN_ID?')


def explain_unheard(node: Node, topic: str, kinds: tuple[str, ...] = (CLOUD,),
                    requested: ReliabilityPolicy | None = None) -> str:
    """Say which publishers of a topic a subscription to `kinds` cannot hear, and why; '' if it hears all."""
    ends = node.get_publishers_info_by_topic(topic)
    others = [end for end in ends if end.topic_type not in kinds]
    if others:
        return f'{topic} is published as {others[0].topic_type} by {_names(others)}, expected {" or ".join(kinds)}'
    lossy = [end for end in ends if end.qos_profile.reliability != ReliabilityPolicy.RELIABLE]
    if requested == ReliabilityPolicy.RELIABLE and lossy:
        return (f'{topic} is published best effort by {_names(lossy)}, which a reliable subscription does not get: '
                'set the reliability parameter to best_effort')
    return ''


def _explain_heard(topic: str, ends: list) -> str:
    return (f'{topic} has {len(ends)} publisher(s) ({_names(ends)}), but nothing arrives: is it paused, or are its '
            'messages larger than the transport takes (config/fastdds.xml)?')


def _names(ends: list) -> str:
    return ', '.join(end.node_name for end in ends)
