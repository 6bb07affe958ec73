# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Which topics belong to which camera, in a ROS graph or in a bag.

A camera is a namespace in which somebody publishes a CameraInfo as `camera_info`, with images in it or below it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Mapping, Sequence

from ros_kd.bags import layout

Graph = Mapping[str, Sequence[str]]  # types by absolute topic

UNNAMED = 'camera'  # what the camera of a driver without a namespace is called: /image_raw beside /camera_info
_IMAGES = (layout.COMPRESSED, layout.IMAGE)
_INFO = 'camera_info'


@dataclass(frozen=True)
class CameraInputs:
    """The topics of a camera, absolute. labels: '' if nobody publishes any. rectified: the images are, as by
    image_proc."""

    name: str
    image: str
    compressed: bool
    camera_info: str
    labels: str
    label_info: str
    rectified: bool = False


def find_camera(graph: Graph, name: str, resolve: Callable[[str], str] = '/'.__add__) -> CameraInputs | None:
    """Return the topics of the camera called `name`, or None while its images or calibration are not published.

    Images as the sensor sees them come before rectified ones, compressed before raw ones, <name>/image before others
    below <name>/; images below the name of another camera belong to that one. resolve: makes a relative name absolute,
    such as a node's resolve_topic_name.
    """
    base = f'{name}/'
    if name == UNNAMED and layout.CAMERA_INFO not in graph.get(resolve(base + _INFO), ()):
        base = ''
    info, labels = resolve(base + _INFO), resolve(base + 'labels')
    if layout.CAMERA_INFO not in graph.get(info, ()):
        return None
    prefix = resolve(name) + '/' if base else info[:-len(_INFO)]
    usual = [resolve(base + 'image/compressed'), resolve(base + 'image')]
    others = tuple(space for space in _spaces(graph) if space != prefix and space.startswith(prefix))
    found = sorted((_is_rectified(topic), _IMAGES.index(kind), topic not in usual, topic)
                   for topic, kinds in graph.items() for kind in kinds if kind in _IMAGES
                   and (topic in usual or _is_view(topic, prefix, bool(base)) and not topic.startswith(others))
                   and topic != labels and not topic.startswith(labels + '/'))
    if not found:
        return None
    rectified, kind, _, image = found[0]
    return CameraInputs(name, image, kind == 0, info, labels if layout.IMAGE in graph.get(labels, ()) else '',
                        resolve(base + 'label_info'), rectified)


def find_cameras(graph: Graph, namespace: str = '/', resolve: Callable[[str], str] | None = None) -> list[CameraInputs]:
    """Return all cameras below `namespace` that publish images and <name>/camera_info, by name.

    Cameras with "depth" in their name are left out: their images hold distances.
    """
    namespace = namespace.rstrip('/') + '/'
    names = {space[len(namespace):-1] or UNNAMED for space in _spaces(graph) if space.startswith(namespace)}
    found = (find_camera(graph, name, resolve or namespace.__add__) for name in sorted(names) if 'depth' not in name)
    return [camera for camera in found if camera is not None]


def _spaces(graph: Graph) -> list[str]:
    """Return the namespaces of cameras, each with the slash at its end."""
    return [topic[:-len(_INFO)] for topic, kinds in graph.items()
            if layout.CAMERA_INFO in kinds and topic.endswith('/' + _INFO)]


def _is_view(topic: str, prefix: str, named: bool) -> bool:
    below = topic[len(prefix):]
    return (topic.startswith(prefix) and not topic.endswith('/compressedDepth')
            and (named or '/' not in below or below.startswith('image')))


def _is_rectified(topic: str) -> bool:
    return any(part.startswith('image_rect') for part in topic.split('/'))
