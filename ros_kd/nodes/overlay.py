# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Node `overlay`: checks calibration and time before a drive: points over images, the cloud in their colours, Δt."""

from __future__ import annotations

import threading
import time
from collections import Counter
from functools import partial
from typing import Sequence

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Image, PointCloud2

from ros_kd import alignment, clouds, pictures
from ros_kd.alignment import Alignment
from ros_kd.bags import BagError, codec, layout
from ros_kd.bags.deskewing import deskewed
from ros_kd.bags.writer import RawPair, RawView
from ros_kd.extrinsics import Trajectory
from ros_kd.frames import CameraView, Scan
from ros_kd.nodes import messages
from ros_kd.nodes.ego_motion import EgoMotion, NotYet
from ros_kd.nodes.latest import LatestOnly
from ros_kd.nodes.paired_stream import PairedStream, delays
from ros_kd.nodes.running import declare, run_job
from ros_kd.nodes.spinning import Spinner
from ros_kd.nodes.stream_health import alignment_status, stream_status
from ros_kd.nodes.stream_parameters import declare_stream
from ros_kd.nodes.views import decode_view
from ros_kd.projection import OcclusionFilter, Projection, project_all

UNSEEN = (70, 70, 70)
UNMOVED = 'scans not deskewed'
PATIENCE, PAUSE = 0.3, 0.02  # seconds to wait in all, and between two looks, for odometry up to the end of a sweep


class Overlay(Node):
    """Publishes ~/points, ~/<camera>/image, ~/delta_t/<camera> and /diagnostics; publishes only what is looked at."""

    def __init__(self) -> None:
        super().__init__('overlay')
        parameters = declare_stream(self)
        self._width = declare(self, 'image_width', 960, 'pixels of the pictures, at most', 64, 8192)
        self._occlusion = OcclusionFilter() if declare(
            self, 'occlusion', True, 'hide points behind nearer ones') else None
        self._deskew = declare(self, 'deskew', False, "move each point to where it is seen from at the scan's stamp, "
                               'by its time and the odometry')
        self._motion = EgoMotion(self, parameters.fixed_frame, parameters.base_frame, parameters.tf_timeout)
        self._stream = PairedStream(self, parameters, self._motion, self)
        self._points = self.create_publisher(PointCloud2, '~/points', QoSProfile(depth=1))
        self._images: dict[str, Publisher] = {}
        self._alignments: dict[str, Alignment] = {}
        self._faults: Counter[str] = Counter()
        self._diagnostics = self.create_publisher(DiagnosticArray, '/diagnostics', 10)
        self.create_timer(1.0, self._diagnose, clock=Clock(clock_type=ClockType.STEADY_TIME))
        self._worker = LatestOnly(self._handle, 'draw')

    # ---- pairs, from the stream

    def take_pair(self, pair: RawPair) -> None:
        """Leave a pair to the drawing thread, which takes the newest."""
        self._stream.tally.add_pair(layout.header_stamp(pair.cloud), delays(pair))
        for view in pair.views:
            if view.camera not in self._images:
                self._images[view.camera] = self.create_publisher(Image, f'~/{view.camera}/image', QoSProfile(depth=1))
        self._worker.put(pair)

    def take_latched(self, topic: str, raw: bytes) -> None:
        """Nothing is kept."""

    def take_jump(self) -> None:
        """Nothing is kept."""

    # ---- drawing, in a thread of its own

    def _handle(self, pair: RawPair) -> None:
        try:
            self._draw(pair)
        except Exception as error:  # one message must not end the thread
            self._fault('pairs not drawn', f'{type(error).__name__}: {error}')

    def _fault(self, kind: str, details: str) -> None:
        self._faults[kind] += 1
        if self._faults[kind] == 1:
            self.get_logger().warning(f'{kind}: {details} (said once, counted in /diagnostics)')

    def _draw(self, pair: RawPair) -> None:
        cloud = codec.read(pair.cloud, layout.CLOUD)
        records, stamp = clouds.records(cloud), codec.stamp_of(cloud.header)
        scan = clouds.scan_from_records(records, stamp, cloud.header.frame_id)
        points = self._deskewed(scan) if self._deskew else scan.points
        seen_by = [found for view in pair.views if (found := self._decoded(view)) is not None]
        outlines, colors = alignment.outlines(points), np.full((len(points), 3), UNSEEN, np.uint8)
        for (view, image), seen in zip(seen_by, project_all(points, [view for view, _ in seen_by], self._occlusion)):
            colors[seen.index] = pictures.sample(image, seen.uv)
            self._alignments.setdefault(view.name, Alignment()).add(image, seen.uv[outlines[seen.index]])
            if self._images[view.name].get_subscription_count():
                self._images[view.name].publish(messages.image_message(
                    self._picture(image, seen), messages.header(view.stamp, view.frame_id)))
        if self._points.get_subscription_count():
            moved = {axis: points[:, column] for column, axis in enumerate('xyz')} if self._deskew else {}
            records = clouds.append_columns(records, {**moved, 'rgb': clouds.pack_rgb(colors)})
            self._points.publish(messages.cloud_message(records, messages.header(stamp, scan.frame_id)))

    def _decoded(self, raw: RawView) -> tuple[CameraView, np.ndarray] | None:
        """Return a view with its image uint8 [H, W, 3]; None if it cannot be drawn, which must not hide the others."""
        camera = next(camera for camera in self._stream.cameras if camera.name == raw.camera)
        try:
            view = decode_view(raw, camera)
            return view, pictures.as_rgb(view.image())
        except Exception as error:  # OpenCV has errors of its own
            self._fault(f'images of {raw.camera} not drawn', str(error))
            return None

    def _picture(self, image: np.ndarray, seen: Projection) -> np.ndarray:
        ratio = min(1.0, self._width / image.shape[1])
        image = pictures.fit(image, round(image.shape[1] * ratio))
        return pictures.over_image(image, (seen.uv + 0.5) * ratio - 0.5, pictures.depth_colors(seen.depth),
                                   pictures.radius_by_density(image, len(seen.index)), seen.depth)

    def _deskewed(self, scan: Scan) -> np.ndarray:
        try:
            return deskewed(scan, partial(self._sweep, scan.frame_id)).points
        except (BagError, NotYet) as error:
            self._fault(UNMOVED, str(error))
            return scan.points

    def _sweep(self, lidar: str, begin: int, end: int) -> Trajectory:
        """Return the LiDAR's poses from `begin` to `end` (ns), waiting a little. Raises NotYet."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                sweep = self._motion.sweep(lidar, begin, end)
                break
            except NotYet:
                if time.monotonic() > deadline:
                    raise
                time.sleep(PAUSE)
        if sweep is None:
            raise NotYet('there is no odometry')
        return sweep

    # ---- what the user gets to know

    def _diagnose(self) -> None:
        name = self.get_fully_qualified_name()
        message = DiagnosticArray(status=[
            stream_status('overlay: pairs', name, self._stream, self._faults),
            *(alignment_status(f'overlay: {camera}', name, value)
              for camera, value in self._alignments.copy().items())])
        message.header.stamp = self.get_clock().now().to_msg()
        self._diagnostics.publish(message)

    def work(self, spinner: Spinner, stop: threading.Event) -> int:
        """Run until `stop` is set; return 0."""
        while not stop.is_set():
            spinner.spin(0.1)
        return 0

    def destroy_node(self) -> None:
        """Stop the drawing thread before what it publishes on goes."""
        self._worker.stop()
        self._stream.close()
        self.get_logger().info('\n  '.join(self._stream.tally.report()))
        super().destroy_node()


def main(args: Sequence[str] | None = None) -> int:
    """Run the node; the executable `overlay`."""
    return run_job(Overlay, 'overlay', args)
