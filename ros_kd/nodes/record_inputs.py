# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""What there is to record: cameras found in the ROS graph."""

from __future__ import annotations

from dataclasses import dataclass

from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy

from ros_kd.bags import layout
from ros_kd.nodes import topics

_IMAGES = (layout.COMPRESSED, layout.IMAGE)


@dataclass(frozen=True)
class CameraInputs:
    """The topics of a camera, resolved. labels: '' if nobody publishes any."""

    name: str
    image: str
    compressed: bool
    camera_info: str
    labels: str
    label_info: str


def find_camera(node: Node, name: str, graph: dict[str, list[str]]) -> CameraInputs | None:
    """Return the topics of the camera called `name`, or None while its images or calibration are not published.

    Compressed images come before raw ones, and <name>/image before others under <name>/.
    """
    info, labels = (node.resolve_topic_name(topic(name)) for topic in (topics.camera_info, topics.labels))
    if layout.CAMERA_INFO not in graph.get(info, ()):
        return None
    prefix = node.resolve_topic_name(name) + '/'
    usual = [node.resolve_topic_name(topic(name)) for topic in (topics.compressed, topics.image)]
    found = sorted((_IMAGES.index(kind), topic not in usual, topic) for topic, kinds in graph.items()
                   for kind in kinds if kind in _IMAGES and topic.startswith(prefix) and topic != labels
                   and not topic.startswith(labels + '/') and not topic.endswith('/compressedDepth'))
    if not found:
        return None
    kind, _, image = found[0]
    return CameraInputs(name, image, kind == 0, info, labels if layout.IMAGE in graph.get(labels, ()) else '',
                        node.resolve_topic_name(topics.label_info(name)))


def find_cameras(node: Node, graph: dict[str, list[str]]) -> list[CameraInputs]:
    """Return all cameras below the node's namespace that publish images and <name>/camera_info, by name."""
    namespace = node.get_namespace().rstrip('/') + '/'
    names = sorted(topic[len(namespace):-len('/camera_info')] for topic, kinds in graph.items()
                   if layout.CAMERA_INFO in kinds and topic.startswith(namespace) and topic.endswith('/camera_info'))
    return [camera for name in names if name and (camera := find_camera(node, name, graph)) is not None]


def reliability(node: Node, topic: str, wanted: str) -> ReliabilityPolicy:
    """Return `wanted`, or for 'auto': reliable if every publisher of the topic is, so that nothing is lost."""
    if wanted != 'auto':
        return ReliabilityPolicy.RELIABLE if wanted == 'reliable' else ReliabilityPolicy.BEST_EFFORT
    publishers = node.get_publishers_info_by_topic(topic)
    reliable = publishers and all(end.qos_profile.reliability == ReliabilityPolicy.RELIABLE for end in publishers)
    return ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT


def sensor_qos(node: Node, topic: str, wanted: str, depth: int) -> QoSProfile:
    """Return the profile for a sensor's topic."""
    return QoSProfile(depth=depth, reliability=reliability(node, topic, wanted))
