# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Node `report`: listens to a running segmenter and leaves a page that shows and scores what it saw."""

from __future__ import annotations

import sys
from collections import deque
from pathlib import Path

import numpy as np
import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.time import Time
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2
from std_msgs.msg import Float64, String
from tf2_ros import Buffer, TransformException, TransformListener

from ros_kd import clouds
from ros_kd.bags.pixels import pixels_of
from ros_kd.frames import CameraView, PairedFrame, Scan
from ros_kd.label_sets import read_taxonomy
from ros_kd.nodes import topics
from ros_kd.nodes.messages import camera_from_info, from_time, transform_from_message
from ros_kd.nodes.qos import LATCHED
from ros_kd.nodes.running import declare
from ros_kd.nodes.silence import explain_silence
from ros_kd.pictures.report import Report, Shown
from ros_kd.scores import Confusion
from ros_kd.taxonomy import Taxonomy

_BUFFERED_IMAGES = 40
_NEAR = 150_000_000  # ns between a scan and the images it is drawn with


class ReportNode(Node):
    """Collects `scans` labelled clouds, draws `pictures` of them evenly, scores all that carry "gt_label"."""

    def __init__(self) -> None:
        super().__init__('report')
        self._out = Path(declare(self, 'out', 'report.html', 'file to write, one HTML page with its pictures inside')
                         ).expanduser()
        self._title = declare(self, 'title', 'What the student sees', 'headline of the page')
        self._caption = declare(self, 'caption', '', 'line under the headline: the data, what the student learned from')
        self._fixed_frame = declare(self, 'fixed_frame', 'odom', 'frame that does not move with the vehicle')
        cameras = declare(self, 'cameras', [], 'names of the cameras to show')
        self._scans = declare(self, 'scans', 30, 'labelled clouds to collect before writing', 1, 100000)
        pictures = declare(self, 'pictures', 3, 'frames to draw', 1, 50)
        self._timeout = declare(self, 'input_timeout', 60.0, 'seconds without a labelled cloud before giving up; '
                                '0: never', 0.0, 3600.0)
        self._draw_at = set(np.linspace(0, self._scans - 1, pictures).round().astype(int).tolist())
        self._shown: list[Shown] = []
        self._latency: list[float] = []
        self._count = self._undrawn = 0
        self._last_input = self._seconds()
        self._taxonomy: Taxonomy | None = None
        self._truth: Taxonomy | None = None
        self._confusion: Confusion | None = None
        self._infos: dict[str, CameraInfo] = {}
        self._images = {camera: deque(maxlen=_BUFFERED_IMAGES) for camera in cameras}
        self.done = False
        self.failure = ''
        self._subscribe()

    def _subscribe(self) -> None:
        self._tf = Buffer()
        self._listener = TransformListener(self._tf, self)
        self.create_subscription(String, 'segment/label_info', self._on_taxonomy, LATCHED)
        self.create_subscription(String, topics.LABEL_INFO, self._on_truth, LATCHED)
        self.create_subscription(Float64, 'segment/debug/processing_time_ms/total', self._on_latency, 10)
        self.create_subscription(PointCloud2, 'segment/points', self._on_cloud, 10)
        for camera in self._images:
            self.create_subscription(CameraInfo, topics.camera_info(camera),
                                     lambda message, name=camera: self._infos.__setitem__(name, message), 5)
            for kind, topic in ((CompressedImage, topics.compressed(camera)), (Image, topics.image(camera))):
                self.create_subscription(
                    kind, topic, lambda message, name=camera: self._images[name].append(message), 5)
        self.create_timer(1.0, self._watch, clock=rclpy.clock.Clock())

    @staticmethod
    def _seconds() -> float:
        return rclpy.clock.Clock().now().nanoseconds * 1e-9

    def _on_taxonomy(self, message: String) -> None:
        self._taxonomy = read_taxonomy(message.data)
        self._confusion = Confusion.empty(len(self._taxonomy))

    def _on_truth(self, message: String) -> None:
        self._truth = read_taxonomy(message.data)

    def _on_latency(self, message: Float64) -> None:
        self._latency.append(message.data)

    def _watch(self) -> None:
        waited = self._seconds() - self._last_input
        if self._timeout and waited > self._timeout and not self.done:
            self.failure = (f'{self._count} of {self._scans} labelled clouds, then none for {waited:.0f} s: ' +
                            explain_silence(self, self.resolve_topic_name('segment/points')))
            self.finish()

    def _on_cloud(self, message: PointCloud2) -> None:
        if self.done or self._taxonomy is None:
            return
        self._last_input = self._seconds()
        points = clouds.records(message)
        stamp, frame_id = from_time(message.header.stamp), message.header.frame_id
        scan = clouds.scan_from_records(points, stamp, frame_id, taxonomy=self._truth)
        truth = self._truth_of(scan)
        if truth is not None:
            self._confusion.add(truth, points['label'])
        if self._count in self._draw_at or self._undrawn:
            views = tuple(filter(None, (self._view(camera, stamp, frame_id) for camera in self._images)))
            near = [view for view in views if abs(view.stamp - stamp) <= _NEAR]
            if len(near) == len(self._images) or self._count + 1 == self._scans:
                frame = PairedFrame(scan, views, f'scan {self._count + 1}, stamp {stamp * 1e-9:.3f} s')
                self._shown.append(Shown(frame, points['label'].copy(), truth))
                self._undrawn = 0
            else:
                self._undrawn = 1  # no image of that moment: draw the next scan instead
        self._count += 1
        if self._count >= self._scans:
            self.finish()

    def _truth_of(self, scan: Scan) -> np.ndarray | None:
        """Return the truth uint8 [N] in the student's classes, or None where there is none, or no map to them."""
        if scan.label is None:
            return None
        try:
            return self._truth.lookup_to(self._taxonomy)[scan.label]
        except ValueError as error:
            self.get_logger().warning(f'the page will have no scores: {error}', once=True)
            return None

    def _view(self, camera: str, stamp: int, lidar_frame: str) -> CameraView | None:
        """The image nearest in time, or None without one or without its transform."""
        if not self._images[camera] or camera not in self._infos:
            return None
        image = min(self._images[camera], key=lambda message: abs(from_time(message.header.stamp) - stamp))
        taken, optical = from_time(image.header.stamp), image.header.frame_id
        try:
            transform = self._tf.lookup_transform_full(optical, Time(nanoseconds=taken), lidar_frame,
                                                       Time(nanoseconds=stamp), self._fixed_frame)
        except TransformException:
            try:
                transform = self._tf.lookup_transform(optical, lidar_frame, Time())
            except TransformException:
                return None
        pixels = pixels_of(image, isinstance(image, CompressedImage), f'image of {camera}')
        return CameraView(camera, taken, camera_from_info(self._infos[camera]),
                          transform_from_message(transform.transform), pixels, optical)

    def finish(self) -> None:
        """Write the page from what has been collected."""
        self.done = True
        if self._taxonomy is None or not self._count:
            self.failure = self.failure or 'no labelled cloud arrived'
            return
        facts = {'Data': self._caption} if self._caption else {}
        report = Report(self._title, self._taxonomy, self._shown, facts, self._confusion, np.array(self._latency),
                        self._count)
        path = report.write(self._out)
        score = f', mIoU {100 * self._confusion.mean_iou:.1f} %' if self._confusion.total else ''
        self.get_logger().info(f'{self._count} labelled scans{score}; the report is in {path.resolve()}')


def main(args: list[str] | None = None) -> int:
    """Run until the report is written; returns 1 if no labelled cloud came, or if a parameter or the file is wrong."""
    rclpy.init(args=args)
    node = None
    try:
        node = ReportNode()
        try:
            while not node.done:
                rclpy.spin_once(node, timeout_sec=1.0)
        except (KeyboardInterrupt, ExternalShutdownException):
            node.finish()  # with the scans that there are
        if node.failure:
            print(f'report: {node.failure}', file=sys.stderr)
        return 1 if node.failure else 0
    except (ValueError, OSError) as error:
        print(f'report: {error}', file=sys.stderr)
        return 1
    finally:
        if node is not None:
            node.destroy_node()
        rclpy.try_shutdown()
