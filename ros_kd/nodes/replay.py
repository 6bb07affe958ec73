# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Node `replay`: publishes a dataset as the vehicle's sensors would have, each message when its stamp is due."""

from __future__ import annotations

import queue
import threading
import time
from pathlib import Path
from typing import Any, Iterator, Sequence

import numpy as np
from geometry_msgs.msg import TransformStamped
from nav_msgs.msg import Odometry
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2
from std_msgs.msg import String
from tf2_ros import StaticTransformBroadcaster, TransformBroadcaster

from ros_kd import clouds, extrinsics
from ros_kd.datasets import open_dataset
from ros_kd.frames import CameraView, PairedFrame
from ros_kd.images import EncodedPixels, ImageFile
from ros_kd.label_sets import get_taxonomy
from ros_kd.nodes import messages, topics
from ros_kd.nodes.qos import LATCHED
from ros_kd.nodes.running import declare, run_job
from ros_kd.nodes.spinning import Spinner
from ros_kd.nodes.timeline import Event, LabelImages, laps, static_extrinsics, velocity
from ros_kd.taxonomy import Taxonomy

ACKNOWLEDGE = 5.0  # seconds that reliable readers have to confirm the last messages
UNWATCHED = 3.0  # seconds that images may still find a reader once the points have one
LINGER = 1.0  # seconds that the node then stays, for the others


class Replay(Node):
    """Publishes `points`, the cameras' images, calibrations and labels, tf, tf_static, `odom`, /clock."""

    def __init__(self) -> None:
        super().__init__('replay')
        self._declare()
        self._dataset = open_dataset(self._specification)
        if len(self._dataset) == 0:
            raise ValueError(f'dataset {self._specification} has no frames')
        self._trajectory = self._dataset.trajectory
        self._broadcaster = None if self._trajectory is None else TransformBroadcaster(self)
        self._static = StaticTransformBroadcaster(self)
        self._mounts: dict[str, np.ndarray] = {}
        self._infos: dict[str, str] = {}
        self._warned = False
        self._outputs: dict[str, Publisher] = {}
        self._shift = 0
        first = self._dataset[0]
        self._points = self._publisher(PointCloud2, topics.POINTS)
        for view in first.views:
            self._image_publisher(view)
        self._announce(first)
        self.get_logger().info(f'{self._dataset.name}: {len(self._dataset)} frames, cameras '
                               f'{[view.name for view in first.views]}, '
                               f'{"with" if self._trajectory else "without"} trajectory')

    def _declare(self) -> None:
        self._specification = declare(self, 'dataset', '', 'dataset to replay: a path, or kind:path?option=value')
        self._rate = declare(self, 'rate', 1.0, 'speed relative to real time', 0.01, 100.0)
        self._loop = declare(self, 'loop', False, 'start again at the end; stamps are shifted by the length of a lap, '
                             'so they keep rising, while the pose jumps back to the start')
        self._stamps = declare(self, 'stamps', 'original', 'stamps of the dataset, or of the moment of publishing',
                               choices=('original', 'now'))
        self._wait = declare(self, 'wait_for_subscribers', 5.0, 'seconds to wait at most until the points have a '
                             f'subscriber, and for those of the images {UNWATCHED:g} s more; 0 starts at once', 0.0,
                             600.0)
        self._with_clock = declare(self, 'clock', False, 'publish /clock, for nodes with use_sim_time')
        self._fixed = declare(self, 'fixed_frame', 'odom', 'frame that the poses refer to')
        self._base = declare(self, 'base_frame', 'base_link', 'frame of the vehicle')
        mount = declare(self, 'base_to_lidar', [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0],
                        'pose of the LiDAR on the vehicle: x y z in metres, quaternion x y z w')
        if len(mount) != 7:
            raise ValueError(f'parameter base_to_lidar has {len(mount)} numbers, expected 7: x y z qx qy qz qw')
        self._T_base_lidar = extrinsics.from_quaternion(np.array(mount[:3], float), np.array(mount[3:], float))
        folder = declare(self, 'label_images', '', 'folder of label images that repeats the paths of the images: '
                         'published as <camera>/labels')
        taxonomy = declare(self, 'label_images_taxonomy', 'cityscapes', 'label set of label_images')
        self._label_images = LabelImages(Path(folder).expanduser(), get_taxonomy(taxonomy)) if folder else None
        if not self._specification:
            raise ValueError('parameter dataset is empty, expected a path or kind:path?option=value')

    def _publisher(self, kind: type, topic: str, qos: QoSProfile | int = 20) -> Publisher:
        if topic not in self._outputs:
            self._outputs[topic] = self.create_publisher(kind, topic, qos)
        return self._outputs[topic]

    def _image_publisher(self, view: CameraView) -> Publisher:
        self._publisher(CameraInfo, topics.camera_info(view.name))
        if view.label_pixels is not None or self._label_images is not None:
            self._publisher(Image, topics.labels(view.name))
        if isinstance(view.pixels, (EncodedPixels, ImageFile)):
            return self._publisher(CompressedImage, topics.compressed(view.name))
        return self._publisher(Image, topics.image(view.name))

    # ---- what holds for a while: mounts and taxonomies

    def _announce(self, frame: PairedFrame) -> None:
        """Publish static transforms and label infos that this frame is the first to need."""
        if frame.scan.taxonomy is not None:
            self._label_info(topics.LABEL_INFO, frame.scan.taxonomy)
        for view in frame.views:  # before its first label image, or a recorder would have that without its classes
            taxonomy = self._label_images.taxonomy if self._label_images else view.taxonomy
            if taxonomy is not None and topics.label_info(view.name) not in self._infos:
                self._label_info(topics.label_info(view.name), taxonomy)
        # With ego-motion, what is left of a mount varies by the poses' noise; without it, any change is a calibration.
        tolerance = 1e-6 if self._trajectory is None else 0.02
        transforms = [(frame.scan.frame_id, self._T_base_lidar)]
        for view in frame.views:
            T_camera_lidar = static_extrinsics(view, frame.stamp, self._trajectory)
            transforms.append((view.frame_id or view.name, self._T_base_lidar @ extrinsics.invert(T_camera_lidar)))
        new = [(name, value) for name, value in transforms
               if name not in self._mounts or np.abs(self._mounts[name] - value).max() > tolerance]
        if new:
            if not self._warned and any(name in self._mounts for name, _ in new):
                self._warned = True
                self.get_logger().warning('the calibration of this dataset changes between frames; static transforms '
                                          'cannot follow exactly, so take no extrinsics of this replay for training')
            self._mounts.update(new)
            head = messages.header(frame.stamp + self._shift, self._base)
            self._static.sendTransform([messages.transform_message(T, head, name) for name, T in self._mounts.items()])

    def _label_info(self, topic: str, taxonomy: Taxonomy) -> None:
        if self._infos.get(topic) != taxonomy.name:
            self._infos[topic] = taxonomy.name
            self._publisher(String, topic, LATCHED).publish(messages.label_info_message(taxonomy))

    # ---- what is due at a stamp

    def _publish(self, event: Event, stamp: int) -> None:
        self._shift = stamp - event.data_stamp
        if self._with_clock:
            self._publisher(Clock, '/clock').publish(Clock(clock=messages.to_time(stamp)))
        if event.frame is not None:
            self._announce(event.frame)
        if event.view is not None:
            self._publish_view(event.view, stamp)
        elif event.frame is not None:
            head = messages.header(stamp, event.frame.scan.frame_id)
            self._points.publish(messages.cloud_message(clouds.records_from_scan(event.frame.scan), head))
            self._publish_odometry(event, stamp)
        else:
            self._publish_pose(event, stamp)

    def _publish_view(self, view: CameraView, stamp: int) -> None:
        head = messages.header(stamp, view.frame_id or view.name)
        pixels, output = view.pixels, self._image_publisher(view)
        if isinstance(pixels, (EncodedPixels, ImageFile)):
            data = pixels.encoded() if isinstance(pixels, ImageFile) else pixels.data
            message = messages.compressed_message(data, pixels.format, head)
        else:
            message = messages.image_message(pixels.read(), head)
        self._publisher(CameraInfo, topics.camera_info(view.name)).publish(
            messages.camera_info_message(view.camera, head))
        output.publish(message)
        labelled = view if self._label_images is None else self._label_images.attach(view)
        labels = labelled.labels()
        if labels is not None and labelled.taxonomy is not None:
            self._label_info(topics.label_info(view.name), labelled.taxonomy)
            self._publisher(Image, topics.labels(view.name)).publish(messages.image_message(labels, head))

    def _pose(self, event: Event) -> np.ndarray | None:
        pose = None if self._trajectory is None else self._trajectory.at(event.data_stamp)
        return None if pose is None else pose @ extrinsics.invert(self._T_base_lidar)

    def _publish_pose(self, event: Event, stamp: int) -> None:
        pose = self._pose(event)
        if pose is not None and self._broadcaster is not None:
            head = messages.header(stamp, self._fixed)
            self._broadcaster.sendTransform(messages.transform_message(pose, head, self._base))

    def _publish_odometry(self, event: Event, stamp: int) -> None:
        pose = self._pose(event)
        if pose is None:
            return
        message = Odometry(header=messages.header(stamp, self._fixed), child_frame_id=self._base)
        transform: TransformStamped = messages.transform_message(pose, message.header, self._base)
        position, vector = message.pose.pose.position, transform.transform.translation
        position.x, position.y, position.z = vector.x, vector.y, vector.z
        message.pose.pose.orientation = transform.transform.rotation
        linear, angular = velocity(self._trajectory, event.data_stamp)
        # Rigid body: the base moves with the LiDAR, seen along its own axes and from its own origin.
        rotation, lever = self._T_base_lidar[:3, :3], self._T_base_lidar[:3, 3]
        angular = rotation @ angular
        linear = rotation @ linear - np.cross(angular, lever)
        twist = message.twist.twist
        twist.linear.x, twist.linear.y, twist.linear.z = linear.tolist()
        twist.angular.x, twist.angular.y, twist.angular.z = angular.tolist()
        self._publisher(Odometry, topics.ODOMETRY).publish(message)

    # ---- the run

    def work(self, spinner: Spinner, stop: threading.Event) -> int:
        """Publish until the dataset ends (never, with `loop`) or `stop` is set; return the exit status."""
        self._wait_for_subscribers(spinner, stop)
        begin, begin_stamp = time.monotonic(), time.time_ns()
        scans, first = 0, None
        for event in prefetched(laps(self._dataset, self._loop), stop):
            first = event.stamp if first is None else first
            elapsed = int((event.stamp - first) / self._rate)
            if not self._sleep_until(begin + elapsed * 1e-9, spinner, stop):
                break
            self._publish(event, begin_stamp + elapsed if self._stamps == 'now' else event.stamp)
            scans += event.rank == 2
        if not stop.is_set():
            self._flush(spinner, stop)
        self._report(scans)
        return 0

    def _wait_for_subscribers(self, spinner: Spinner, stop: threading.Event) -> None:
        sensors = [output for topic, output in self._outputs.items()
                   if output.msg_type in (PointCloud2, CompressedImage, Image) and not topic.endswith('/labels')]
        deadline, heard = time.monotonic() + self._wait, False
        while self._wait and (lonely := [output for output in sensors if not output.get_subscription_count()]):
            if not heard and self._points not in lonely:
                heard, deadline = True, min(deadline, time.monotonic() + UNWATCHED)
            if time.monotonic() >= deadline:
                say = self.get_logger().info if heard else self.get_logger().warning
                say(f'starting although nobody subscribed to {[output.topic_name for output in lonely]}')
                break
            if not self._sleep_until(min(deadline, time.monotonic() + 0.05), spinner, stop):
                return
        # A reader that has found its points may still be waiting for calibration, transforms and the like.
        self._sleep_until(time.monotonic() + (0.5 if self._wait else 0.0), spinner, stop)

    def _sleep_until(self, due: float, spinner: Spinner, stop: threading.Event) -> bool:
        while not stop.is_set() and (left := due - time.monotonic()) > 0:
            spinner.spin(min(left, 0.1))
        return not stop.is_set()

    def _flush(self, spinner: Spinner, stop: threading.Event) -> None:
        deadline = time.monotonic() + ACKNOWLEDGE
        for output in self.publishers:
            output.wait_for_all_acked(Duration(seconds=max(deadline - time.monotonic(), 0.0)))
        self._sleep_until(time.monotonic() + LINGER, spinner, stop)

    def _report(self, scans: int) -> None:
        self.get_logger().info(f'published {scans} scans of {self._dataset.name}')
        if self._label_images is not None and self._label_images.missing:
            self.get_logger().warning(
                f'{self._label_images.missing} of {self._label_images.missing + self._label_images.found} images have '
                f'no label image under {self._label_images.folder}')


def prefetched(source: Iterator[Any], stop: threading.Event, ahead: int = 16) -> Iterator[Any]:
    """Yield from `source`, which a thread reads `ahead`; raises what it raises."""
    waiting: queue.Queue = queue.Queue(ahead)

    def fill() -> None:
        try:
            for item in source:
                while not stop.is_set():
                    try:
                        waiting.put((item, None), timeout=0.1)
                        break
                    except queue.Full:
                        continue
                if stop.is_set():
                    return
            waiting.put((None, None))
        except Exception as error:  # handed to the reader, who raises it
            waiting.put((None, error))

    threading.Thread(target=fill, daemon=True).start()
    while not stop.is_set():
        try:
            item, error = waiting.get(timeout=0.1)
        except queue.Empty:
            continue
        if error is not None:
            raise error
        if item is None:
            return
        yield item


def main(args: Sequence[str] | None = None) -> int:
    """Run the node; the executable `replay`."""
    return run_job(Replay, 'replay', args)
