# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Where a stream's messages come from: cameras found in the ROS graph, and what is known of each topic."""

from __future__ import annotations

import os
from dataclasses import replace

from rclpy.impl.rcutils_logger import RcutilsLogger
from rclpy.node import Node
from rclpy.utilities import get_rmw_implementation_identifier
from sensor_msgs.msg import CompressedImage, Image, PointCloud2

from ros_kd.bags import layout
from ros_kd.bags.discovery import CameraInputs, Graph, find_camera, find_cameras
from ros_kd.nodes import topics
from ros_kd.nodes.listening import Listener
from ros_kd.nodes.silence import explain_silence, published
from ros_kd.nodes.stream_parameters import StreamParameters

SCANS = 'scans'
CLASSES = {layout.CLOUD: PointCloud2, layout.IMAGE: Image, layout.COMPRESSED: CompressedImage}
STALL = 1.0  # seconds without an image, at least, after which scans no longer wait for that camera
SLOW = 3.0  # seconds between images of a camera that is slow, not silent, at most
FAR = 10.0  # seconds between stamp and clock that are worth a word
TAI = 37  # seconds that TAI, which PTP hardware counts, is ahead of UTC since 2017


class RawMessage:
    """Serialised bytes with their stamp (ns)."""

    __slots__ = ('stamp', 'raw')

    def __init__(self, raw: bytes) -> None:
        self.stamp, self.raw = layout.header_stamp(raw), raw


class Input:
    """A sensor's topic, and when it last had a message (seconds of the node's clock). name: SCANS or the camera's.

    scans: how many there were since then.
    """

    def __init__(self, name: str, topic: str, kind: str) -> None:
        self.name, self.topic, self.kind = name, topic, kind
        self.what = name if name == SCANS else f'images of {name}'
        self.listener: Listener | None = None
        self.last: float | None = None
        self.scans = 0
        self._gap = 0.0
        self.silent = self._stamped = False

    def hear(self, now: float) -> None:
        """A message is there."""
        if self.last is not None and now - self.last < SLOW:
            self._gap = max(self._gap, now - self.last)
        self.last, self.scans, self.silent = now, 0, False

    def stalls(self, now: float, queue: int) -> bool:
        """Tell whether it has fallen silent, as far as one can tell before `queue` scans that wait for it run over."""
        return (self.scans >= queue - 1 and not self.silent and self.last is not None
                and now - self.last > max(STALL, 2 * self._gap))

    def check_stamp(self, stamp: int, now: int, log: RcutilsLogger) -> None:
        """Say once if stamps (ns) are far from the clock."""
        if self._stamped or stamp <= 0 or now <= 0:
            return
        self._stamped = True
        late = (now - stamp) * 1e-9
        if abs(late) > FAR:
            cause = (f'. A PTP clock without the offset of {TAI} s between TAI and UTC does that: correct it in the '
                     'driver' if abs(abs(late) - TAI) < 2 else ' (in order while a recording is played)')
            log.warning(f'stamps on {self.topic} are {abs(late):.3f} s {"behind" if late > 0 else "ahead of"} the clock'
                        f'{cause}')


class Discovery:
    """Looks for the LiDAR and the cameras until they are published; says what is missing meanwhile."""

    def __init__(self, node: Node, parameters: StreamParameters) -> None:
        self._node, self._parameters = node, parameters
        self._found: list[CameraInputs] = []
        self._changed: float | None = None
        self._known: set[str] = set()

    def look(self, now: float) -> list[CameraInputs] | None:
        """Return the cameras once all that is wanted is there, else None. now: seconds of any steady clock."""
        graph, names = published(self._node), self._parameters.cameras
        found = self._cameras(graph)
        if self._changed is None or [c.name for c in found] != [c.name for c in self._found]:
            self._changed = now
        self._found = found
        settled = (len(found) == len(names) if names else
                   found and now - self._changed >= self._parameters.discovery_time)
        if not settled or layout.CLOUD not in graph.get(self._parameters.points, ()):
            return None
        self._known = {camera.name for camera in found}
        return found if self._parameters.labels else [replace(camera, labels='') for camera in found]

    def newcomers(self) -> list[CameraInputs]:
        """Return the cameras that have appeared since the others were found, each once; none where they are named."""
        if self._parameters.cameras:
            return []
        found = [camera for camera in self._cameras(published(self._node)) if camera.name not in self._known]
        self._known |= {camera.name for camera in found}
        return found

    def _cameras(self, graph: Graph) -> list[CameraInputs]:
        names, resolve = self._parameters.cameras, self._node.resolve_topic_name
        if not names:
            return find_cameras(graph, self._node.get_namespace(), resolve)
        found = [find_camera(graph, name, resolve) for name in names]
        return [camera for camera in found if camera is not None]

    def missing(self) -> list[str]:
        """Say for each input that is not there what is published instead."""
        node, graph, parameters = self._node, published(self._node), self._parameters
        texts = []
        if layout.CLOUD not in graph.get(parameters.points, ()):
            texts.append(explain_silence(node, parameters.points, (layout.CLOUD,)))
        known = {camera.name for camera in self._found}
        for name in (name for name in parameters.cameras if name not in known):
            info = node.resolve_topic_name(topics.camera_info(name))
            if layout.CAMERA_INFO not in graph.get(info, ()):
                texts.append(explain_silence(node, info, (layout.CAMERA_INFO,)))
            else:
                texts.append(explain_silence(node, node.resolve_topic_name(topics.image(name)),
                                             (layout.COMPRESSED, layout.IMAGE)))
        if not parameters.cameras and not self._found:
            texts.append(self._no_camera(graph))
        return texts

    def _no_camera(self, graph: Graph) -> str:
        images, infos = (sorted(topic for topic, kinds in graph.items() if set(kinds) & wanted)
                         for wanted in ({layout.COMPRESSED, layout.IMAGE}, {layout.CAMERA_INFO}))
        return (f'no camera below {self._node.get_namespace()}, expected images and a camera_info beside them; '
                f'published now: images {", ".join(images) or "none"}; {layout.CAMERA_INFO} '
                f'{", ".join(infos) or "none"}. Is the driver running, with the same ROS_DOMAIN_ID?')


def transport_hint() -> str:
    """Return what to set where Fast DDS runs with its small default shared memory, '' where all is well."""
    names = ('FASTRTPS_DEFAULT_PROFILES_FILE', 'FASTDDS_DEFAULT_PROFILES_FILE')
    if 'fastrtps' not in get_rmw_implementation_identifier() or any(os.environ.get(name) for name in names):
        return ''
    return (f'{names[0]} is not set: large clouds and raw images may get lost in Fast DDS\' default shared memory. The '
            'launch files set it to config/fastdds.xml; set it for the drivers, too')
