# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Node `sim`: a vehicle with cameras and a LiDAR in a simulated town, publishing what it measures and the truth."""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Any, Callable, Iterator, Sequence

import cv2
import numpy as np
from nav_msgs.msg import Odometry
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2
from std_msgs.msg import String
from tf2_ros import StaticTransformBroadcaster, TransformBroadcaster

from ros_kd import clouds
from ros_kd.extrinsics import Trajectory
from ros_kd.frames import Scan
from ros_kd.nodes import messages, topics
from ros_kd.nodes.qos import LATCHED
from ros_kd.nodes.running import declare, run_job
from ros_kd.nodes.spinning import Spinner
from ros_kd.nodes.timeline import velocity
from ros_kd.world.camera import Exposure
from ros_kd.world.meshes import TAXONOMY
from ros_kd.world.rig import Rig
from ros_kd.world.schedule import IMAGE, POSE, Due, limited, schedule
from ros_kd.world.simulation import Simulation
from ros_kd.world.worker import Worker

AHEAD = 8  # measurements that may be under way before they are due
ACKNOWLEDGE = 5.0  # seconds that reliable readers have to confirm the last messages
LINGER = 1.0  # seconds that the node then stays, for the others


class Sim(Node):
    """Publishes `points`, each camera's image, calibration and labels, `odom`, tf, tf_static and /clock."""

    def __init__(self) -> None:
        super().__init__('sim')
        self._declare()
        self._simulation = Simulation(self._seed, self._rig)
        self._idle: queue.SimpleQueue[Worker] = queue.SimpleQueue()
        self._broadcaster, self._static = TransformBroadcaster(self), StaticTransformBroadcaster(self)
        self._clock_output = self.create_publisher(Clock, '/clock', 10) if self._with_clock else None
        self._odometry = self.create_publisher(Odometry, topics.ODOMETRY, 50)
        self._points = self.create_publisher(PointCloud2, topics.POINTS, self._qos)
        names = [model.name for model in self._rig.cameras]
        self._infos = {name: self.create_publisher(CameraInfo, topics.camera_info(name), self._qos) for name in names}
        kind, topic = (CompressedImage, topics.compressed) if self._compressed else (Image, topics.image)
        self._images = {name: self.create_publisher(kind, topic(name), self._qos) for name in names}
        self._labels = ({name: self.create_publisher(Image, topics.labels(name), self._qos) for name in names}
                        if self._with_labels else {})
        self._announce(names)
        self.get_logger().info(f'town {self._seed}: ring road of {self._simulation.town.ring.path.length:.0f} m, '
                               f'cameras {names}')

    def _declare(self) -> None:
        self._seed = declare(self, 'seed', 0, 'which town', 0, 2 ** 31 - 1)
        self._rate = declare(self, 'rate', 1.0, 'simulated seconds per second, at most; where rendering is slower, '
                             'simulated time slows down', 0.01, 100.0)
        self._start = declare(self, 'start', 0.0, 'seconds into the drive', 0.0, 1e6)
        self._duration = declare(self, 'duration', 0.0, 'simulated seconds until the end; 0: endless', 0.0, 1e6)
        self._frames = declare(self, 'frames', 0, 'scans until the end; 0: endless', 0, 10 ** 9)
        self._loop = declare(self, 'loop', False, 'start the same drive again at its end (time jumps back), else exit')
        self._wait = declare(self, 'wait_for_subscribers', 5.0, 'seconds to wait at most until points and images '
                             'have a subscriber each; 0 starts at once', 0.0, 600.0)
        self._with_clock = declare(self, 'clock', True, 'publish /clock, for nodes with use_sim_time')
        self._with_labels = declare(self, 'labels', True, 'publish the true classes of points and pixels')
        self._compressed = declare(self, 'compressed', True, 'publish <camera>/image/compressed, not <camera>/image')
        self._quality = declare(self, 'jpeg_quality', 90, 'of compressed images', 1, 100)
        self._workers = declare(self, 'workers', 2, 'processes that render; each takes a core and 0.5 GB', 1, 64)
        self._fixed = declare(self, 'fixed_frame', 'odom', 'frame that the odometry refers to')
        self._base = declare(self, 'base_frame', 'base_link', 'frame of the vehicle')
        reliability = declare(self, 'reliability', 'reliable', 'QoS of points, images, calibrations and labels; '
                              '"reliable" serves every subscriber', choices=('reliable', 'best_effort'))
        depth = declare(self, 'depth', 5, 'QoS queue of points, images, calibrations and labels', 1, 1000)
        self._qos = QoSProfile(depth=depth, reliability=ReliabilityPolicy[reliability.upper()])
        self._rig = self._declare_rig()

    def _declare_rig(self) -> Rig:
        names = declare(self, 'cameras', ['front', 'left', 'right'], 'cameras of the vehicle')
        width = declare(self, 'image_width', 960, 'pixels', 16, 8192)
        height = declare(self, 'image_height', 540, 'pixels', 16, 8192)
        scale = declare(self, 'camera_rate_scale', 1.0, 'images a second, relative to 10 Hz of the front camera and '
                        '5 Hz of the others', 0.001, 10.0)
        deskewed = declare(self, 'deskewed', True, 'points in the LiDAR\'s frame at the scan\'s stamp, as with motion '
                           'compensation; false: each in the frame at its own time')
        rig = Rig().only(tuple(names)).sized(width, height).paced(scale)
        return replace(rig, lidar=replace(rig.lidar, deskewed=deskewed))

    def _announce(self, names: Sequence[str]) -> None:
        """Publish what holds for the whole drive: mounts and class names."""
        head, lidar = messages.header(0, self._base), self._rig.lidar
        mounts = [(lidar.frame_id, lidar.mount.base_from_sensor)]
        mounts += [(model.frame_id, model.base_from_optical) for model in self._rig.cameras]
        self._static.sendTransform([messages.transform_message(pose, head, frame) for frame, pose in mounts])
        labelled = [topics.LABEL_INFO, *(topics.label_info(name) for name in names)] if self._with_labels else []
        self._latched = [self.create_publisher(String, topic, LATCHED) for topic in labelled]
        for output in self._latched:
            output.publish(messages.label_info_message(TAXONOMY))

    # ---- measuring, in threads that each wait for one worker

    def _measure(self, due: Due) -> Any:
        """Return the messages of a scan or of an exposure that somebody listens to; None for the rest."""
        if due.kind == POSE:
            return None
        if due.kind == IMAGE:
            outputs = [self._images[due.camera], *([self._labels[due.camera]] if self._with_labels else [])]
            wanted = any(output.get_subscription_count() for output in outputs)
            return self._image_messages(due, self._ask(Worker.expose, due.camera, due.stamp)) if wanted else None
        return self._cloud_message(self._ask(Worker.scan, due.stamp)) if self._points.get_subscription_count() else None

    def _ask(self, method: Callable, *values: Any) -> Any:
        worker = self._idle.get()
        try:
            return method(worker, *values)
        finally:
            self._idle.put(worker)

    def _cloud_message(self, scan: Scan) -> PointCloud2:
        shown = scan if self._with_labels else replace(scan, label=None, taxonomy=None)
        return messages.cloud_message(clouds.records_from_scan(shown), messages.header(scan.stamp, scan.frame_id))

    def _image_messages(self, due: Due, exposure: Exposure) -> tuple[CompressedImage | Image, Image]:
        head = messages.header(due.stamp, self._rig.camera(due.camera).frame_id)
        labels = messages.image_message(exposure.labels, head)
        if not self._compressed:
            return messages.image_message(exposure.image, head), labels
        data = cv2.imencode('.jpg', exposure.image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, self._quality])[1]
        return messages.compressed_message(data, 'jpeg', head), labels

    # ---- publishing, in the main thread

    def _publish(self, due: Due, measured: Any) -> None:
        if self._clock_output is not None:
            self._clock_output.publish(Clock(clock=messages.to_time(due.moment)))
        if due.kind == POSE:
            self._publish_pose(due.stamp)
        elif due.kind == IMAGE:
            model = self._rig.camera(due.camera)
            head = messages.header(due.stamp, model.frame_id)
            self._infos[due.camera].publish(messages.camera_info_message(model.camera, head))
            if measured is not None:
                image, labels = measured
                self._images[due.camera].publish(image)
                if self._with_labels:
                    self._labels[due.camera].publish(labels)
        elif measured is not None:
            self._points.publish(measured)

    def _publish_pose(self, stamp: int) -> None:
        around = np.array([stamp - 50_000_000, stamp + 50_000_000])
        linear, angular = velocity(Trajectory(around, self._simulation.world_from_base(around)), stamp)
        head = messages.header(stamp, self._fixed)
        transform = messages.transform_message(self._simulation.world_from_base(stamp), head, self._base)
        self._broadcaster.sendTransform(transform)
        message = Odometry(header=head, child_frame_id=self._base)
        position, vector = message.pose.pose.position, transform.transform.translation
        position.x, position.y, position.z = vector.x, vector.y, vector.z
        message.pose.pose.orientation = transform.transform.rotation
        twist = message.twist.twist
        twist.linear.x, twist.linear.y, twist.linear.z = linear.tolist()
        twist.angular.x, twist.angular.y, twist.angular.z = angular.tolist()
        self._odometry.publish(message)

    # ---- the run

    def work(self, spinner: Spinner, stop: threading.Event) -> int:
        """Drive until the end (never, with neither `duration` nor `frames`) or until `stop` is set; return 0."""
        pool = ThreadPoolExecutor(self._workers)
        for _ in range(self._workers):
            self._idle.put(Worker(self._seed, self._rig))
        try:
            self._wait_for_subscribers(spinner, stop)
            while not stop.is_set():
                self._drive(pool, spinner, stop)
                if not self._loop:
                    break
        finally:
            pool.shutdown(cancel_futures=True)
            for _ in range(self._workers):
                self._idle.get().close()
        if not stop.is_set():
            deadline = time.monotonic() + ACKNOWLEDGE
            for output in self.publishers:
                output.wait_for_all_acked(Duration(seconds=max(deadline - time.monotonic(), 0.0)))
            self._sleep_until(time.monotonic() + LINGER, spinner, stop)
        return 0

    def _drive(self, pool: ThreadPoolExecutor, spinner: Spinner, stop: threading.Event) -> None:
        dues = limited(schedule(self._rig, self._start), self._frames, self._duration)
        previous, clock, first, begin = None, time.monotonic(), None, time.monotonic()
        for due, future in _ahead(pool, self._measure, dues):
            while not future.done() and not stop.is_set():
                spinner.spin(0.02)
            if previous is not None:
                # Measured from the last message, not from the start: time lost on rendering is not caught up.
                clock = max(clock + (due.moment - previous) * 1e-9 / self._rate, time.monotonic() - 0.05)
            if not self._sleep_until(clock, spinner, stop):
                future.cancel()
                return
            self._publish(due, future.result())
            first, previous = due.moment if first is None else first, due.moment
        if first is not None:
            self.get_logger().info(f'drove {(previous - first) * 1e-9:.1f} s in {time.monotonic() - begin:.1f} s')

    def _wait_for_subscribers(self, spinner: Spinner, stop: threading.Event) -> None:
        sensors, deadline = [self._points, *self._images.values()], time.monotonic() + self._wait
        while not all(output.get_subscription_count() for output in sensors) and time.monotonic() < deadline:
            if not self._sleep_until(min(deadline, time.monotonic() + 0.05), spinner, stop):
                return
        # A reader that has found its points may still be waiting for calibration, transforms and the like.
        self._sleep_until(time.monotonic() + (0.5 if self._wait else 0.0), spinner, stop)

    @staticmethod
    def _sleep_until(due: float, spinner: Spinner, stop: threading.Event) -> bool:
        while not stop.is_set() and (left := due - time.monotonic()) > 0:
            spinner.spin(min(left, 0.1))
        return not stop.is_set()


def _ahead(pool: ThreadPoolExecutor, measure: Callable[[Due], Any],
           dues: Iterator[Due]) -> Iterator[tuple[Due, Future]]:
    """Yield what is due with its measurement, of which at most AHEAD have been begun."""
    waiting: deque[tuple[Due, Future]] = deque()
    for due in dues:
        waiting.append((due, pool.submit(measure, due)))
        if sum(item.kind != POSE for item, _ in waiting) >= AHEAD:
            yield waiting.popleft()
    while waiting:
        yield waiting.popleft()


def main(args: Sequence[str] | None = None) -> int:
    """Run the node; the executable `sim`."""
    return run_job(Sim, 'sim', args)
