# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Node `view`: labelled clouds in a web browser, each class to be shown or hidden, beside the legend and images."""

from __future__ import annotations

import ipaddress
import os
import threading
from functools import partial
from typing import Sequence

import numpy as np
import tf2_ros
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.time import Time
from sensor_msgs.msg import CompressedImage, Image, PointCloud2
from std_msgs.msg import Header, String

from ros_kd import clouds
from ros_kd.bags.pixels import pixels_of
from ros_kd.nodes import messages
from ros_kd.nodes.qos import LATCHED
from ros_kd.nodes.running import declare, run_job
from ros_kd.nodes.silence import CLOUD
from ros_kd.nodes.spinning import Spinner
from ros_kd.nodes.view_input import Input
from ros_kd.nodes.view_scene import Scene, labelled_points
from ros_kd.nodes.view_server import Place, Server
from ros_kd.taxonomy import Taxonomy

NICENESS = 10  # looking on must not slow what is looked at
LOOK = 1.0  # seconds between two looks for browsers
CLOUDS = {CLOUD: PointCloud2}
IMAGES = {'sensor_msgs/msg/Image': Image, 'sensor_msgs/msg/CompressedImage': CompressedImage}


class View(Node):
    """Serves a page that shows what segmenters and cameras publish; listens only while a browser looks on."""

    def __init__(self) -> None:
        super().__init__('view')
        names = declare(self, 'segmenters', ['segment'], 'names of the segmenters to show, with their namespace')
        images = declare(self, 'images', [], 'topics of images to show beside, raw or compressed')
        self._fixed = declare(self, 'fixed_frame', '', 'frame that clouds are moved to by TF, base_link for several '
                              'LiDARs; the eye does not go along; empty: each in its own')
        self._width = declare(self, 'image_width', 640, 'pixels of images that come raw, at most', 64, 8192)
        self._place, memory = self._declare_server()
        os.nice(NICENESS)
        sources = [self.resolve_topic_name(name) for name in names]
        self._buffer = tf2_ros.Buffer(node=self)
        self._listener = tf2_ros.TransformListener(self._buffer, self) if self._fixed else None
        self._server = Server(self._place, memory)
        self._scene = Scene(self._place.sink, sources, [self.resolve_topic_name(topic) for topic in images])
        for source in sources:
            self.create_subscription(String, f'{source}/label_info', partial(self._name_classes, source), LATCHED)
        self._inputs = self._declare_inputs(sources, images)
        self._watched = False
        self.create_timer(LOOK, self._look, clock=Clock(clock_type=ClockType.STEADY_TIME))
        self._announce()

    def _declare_server(self) -> tuple[Place, int]:
        address = declare(self, 'address', '127.0.0.1', 'IP address of the interface to serve on: 127.0.0.1 for this '
                          'machine alone, 0.0.0.0 for the whole network, which may then look without a password')
        try:
            ipaddress.ip_address(address)
        except ValueError:
            raise ValueError(f'parameter address is "{address}", expected an IP address of this machine such as '
                             '127.0.0.1, or 0.0.0.0 for all of them') from None
        port = declare(self, 'port', 9190, 'TCP port of the page; the next one is for what it shows', 1024, 65534)
        memory = declare(self, 'history_mb', 100, 'MB of the last clouds, for browsers that come later', 1, 65536)
        return Place(address, port), memory

    def _declare_inputs(self, sources: Sequence[str], images: Sequence[str]) -> list[Input]:
        rate = declare(self, 'rate', 10.0, 'clouds, and images of each camera, to show each second at most', 0.1, 100.0)
        reliability = declare(self, 'reliability', 'best_effort', 'QoS of the subscriptions: "best_effort" hears every '
                              'publisher and holds none up', choices=('best_effort', 'reliable'))
        qos = QoSProfile(depth=1, reliability=ReliabilityPolicy[reliability.upper()])
        return [*(Input(self, f'{source}/points', CLOUDS, rate, qos, partial(self._show_cloud, source))
                  for source in sources),
                *(Input(self, topic, IMAGES, rate, qos, partial(self._show_image, self.resolve_topic_name(topic)))
                  for topic in images)]

    def _announce(self) -> None:
        """Say what to open where."""
        place, log = self._place, self.get_logger()
        log.info(f'open this page in a browser: {place.page}')
        if place.local:
            log.info(f'from another machine: ssh -L {place.port}:localhost:{place.port} -L {place.port + 1}:localhost:'
                     f'{place.port + 1} {os.uname().nodename}, then open the same page there; or set the parameter '
                     '"address" to 0.0.0.0')
        else:
            log.warning(f'everybody who reaches {place.address}, ports {place.port} and {place.port + 1}, may look')

    # ---- what comes, in threads of the inputs

    def _show_cloud(self, source: str, message: PointCloud2) -> None:
        seen = labelled_points(clouds.records(message))
        self._scene.show_points(source, seen, messages.from_time(message.header.stamp), self._pose(message.header))

    def _pose(self, head: Header) -> np.ndarray | None:
        """Return T_fixed_cloud float64 [4, 4], the newest where that of the stamp has not come."""
        if not self._fixed:
            return None
        try:
            found = self._buffer.lookup_transform(self._fixed, head.frame_id, Time.from_msg(head.stamp))
        except tf2_ros.ExtrapolationException:
            found = self._buffer.lookup_transform(self._fixed, head.frame_id, Time())
        return messages.transform_from_message(found.transform)

    def _show_image(self, name: str, message: Image | CompressedImage) -> None:
        pixels = pixels_of(message, isinstance(message, CompressedImage), name)
        self._scene.show_image(name, pixels, messages.from_time(message.header.stamp), self._width)

    # ---- in the executor's thread

    def _name_classes(self, source: str, message: String) -> None:
        try:
            self._scene.show_classes(source, Taxonomy.from_json(message.data))
        except ValueError as error:
            self.get_logger().warning(f'{source}/label_info: {error}')

    def _look(self) -> None:
        viewers = self._server.viewers()
        if bool(viewers) != self._watched:
            self._watched = bool(viewers)
            self.get_logger().info('a browser looks on' if viewers else 'no browser looks on: nothing is asked for')
        for one in self._inputs:
            one.follow(self._watched)

    def work(self, spinner: Spinner, stop: threading.Event) -> int:
        """Run until `stop` is set; return 1 if the server ends before."""
        while not stop.is_set():
            spinner.spin(0.1)
            if not self._server.running():
                self.get_logger().error(f'the server of the page has ended:\n{self._server.output()}')
                return 1
        return 0

    def destroy_node(self) -> None:
        """Stop the threads before what they log to goes."""
        for one in self._inputs:
            one.close()
        self._scene.close()
        self._server.close()
        super().destroy_node()


def main(args: Sequence[str] | None = None) -> int:
    """Run the node; the executable `view`."""
    return run_job(View, 'view', args)
