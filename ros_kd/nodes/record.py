# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Node `record`: pairs scans with images and writes them to a bag, bytes untouched (see ros_kd/bags/layout.py)."""

from __future__ import annotations

import threading
import time
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Callable, Sequence

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from message_filters import ApproximateTimeSynchronizer, SimpleFilter
from rclpy.clock import Clock, ClockType
from rclpy.executors import Executor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2
from std_msgs.msg import Header, String
from tf2_msgs.msg import TFMessage

from ros_kd.bags import BagError, layout
from ros_kd.nodes import topics
from ros_kd.nodes.ego_motion import EgoMotion
from ros_kd.nodes.messages import to_time
from ros_kd.nodes.pending import PendingPairs, Waits, check_output
from ros_kd.nodes.record_inputs import CameraInputs, find_camera, find_cameras, sensor_qos
from ros_kd.nodes.running import declare, run_job
from ros_kd.nodes.silence import explain_silence, published
from ros_kd.nodes.tally import Tally

LATCHED = QoSProfile(depth=100, durability=DurabilityPolicy.TRANSIENT_LOCAL)
DRAIN = 2.0  # seconds after the end in which pairs that wait may still be completed


class RawMessage:
    """Serialised bytes with the header that message_filters looks at."""

    __slots__ = ('header', 'raw')

    def __init__(self, raw: bytes) -> None:
        self.header, self.raw = Header(stamp=to_time(layout.header_stamp(raw))), raw


class Input(SimpleFilter):
    """A sensor's topic: the subscription as a filter, and when it last had a message."""

    def __init__(self, topic: str, kinds: tuple[str, ...], what: str) -> None:
        super().__init__()
        self.topic, self.kinds, self.what = topic, kinds, what
        self.reliability: ReliabilityPolicy | None = None
        self.last: float | None = None  # seconds of the recorder's clock
        self.silent = False


class Recorder(Node):
    """Finds the cameras, subscribes without deserialising, pairs, and hands pairs to PendingPairs."""

    def __init__(self) -> None:
        super().__init__('record')
        self._declare()
        self._tally = Tally()
        self._motion = EgoMotion(self, self._fixed_frame)
        self._inputs: list[Input] = []
        self._pending: PendingPairs | None = None
        self._found: list[CameraInputs] = []
        self._found_since = self._asked = time.monotonic()
        self._sets = 0
        self._said: set[str] = set()
        self._diagnostics = self.create_publisher(DiagnosticArray, '/diagnostics', 10)
        steady = Clock(clock_type=ClockType.STEADY_TIME)  # runs on when simulated time stands still
        self._discovery = self.create_timer(0.2, self._discover, clock=steady)
        self.create_timer(0.02, self._flush, clock=steady)
        self.create_timer(1.0, self._watch, clock=steady)
        self.create_timer(5.0, lambda: self.get_logger().info(self._tally.line()), clock=steady)

    def _declare(self) -> None:
        self._points = self._topic('points', declare(self, 'points', topics.POINTS, 'topic of the LiDAR'))
        self._names = declare(self, 'cameras', [], 'cameras to record (<name>/image..., <name>/camera_info); empty: '
                              'all that are published')
        for name in self._names:
            self._topic('cameras', name)
        output = declare(self, 'output', '', 'folder of the bag; empty: ./pairs_<date>_<time>')
        self._slop = declare(self, 'slop', 0.1, 'largest time between the messages of a pair, in seconds', 0.001, 10.0)
        self._queue = declare(self, 'queue', 20, 'messages kept of each topic while looking for their pair', 1, 1000)
        self._fixed_frame = declare(self, 'fixed_frame', 'odom', 'frame in which the motion between scan and image is '
                                    'known; empty: leave the motion out')
        labels = declare(self, 'record_labels', 'auto', "record the cameras' label images: auto = where they are "
                         'published when recording begins', choices=('auto', 'off'))
        self._with_labels = labels == 'auto'
        self._max_pairs = declare(self, 'max_pairs', 0, 'end after so many pairs; 0 = never', 0, 2**31 - 1)
        self._every = declare(self, 'every', 1, 'record every n-th pair', 1, 10000)
        self._reliability = declare(self, 'qos_reliability', 'auto', 'reliability of the subscriptions: auto = '
                                    'reliable where all publishers are', choices=('auto', 'reliable', 'best_effort'))
        self._waits = Waits(
            declare(self, 'tf_timeout', 5.0, 'seconds that a pair waits for transforms and calibration', 0.0, 60.0),
            declare(self, 'label_timeout', 0.5, 'seconds that a pair waits for its label images', 0.0, 60.0))
        self._input_timeout = declare(self, 'input_timeout', 5.0, 'seconds of silence on a topic before a warning', 0.1,
                                      3600.0)
        self._settle = declare(self, 'discovery_time', 1.0, 'seconds to wait for further cameras after finding one, '
                               'with cameras empty', 0.0, 60.0)
        output = output or f'pairs_{datetime.now():%Y-%m-%d_%H-%M-%S}'
        self._output = check_output(Path(output).expanduser().absolute())

    def _topic(self, parameter: str, name: str) -> str:
        try:
            return self.resolve_topic_name(str(name))
        except Exception as error:  # rclpy has one class for each reason
            raise ValueError(f'parameter {parameter}: "{name}" is no name of a topic: {error}') from None

    # ---- finding and subscribing

    def _discover(self) -> None:
        graph, now = published(self), time.monotonic()
        if self._names:
            found = [find_camera(self, name, graph) for name in self._names]
            ready = all(found)
        else:
            found = find_cameras(self, graph)
            if [camera.name for camera in found] != [camera.name for camera in self._found]:
                self._found_since = now
            ready = bool(found) and now - self._found_since >= self._settle
        self._found = [camera for camera in found if camera is not None]
        if ready and layout.CLOUD in graph.get(self._points, ()):
            self.destroy_timer(self._discovery)
            self._start(self._found)
        elif now - self._asked >= self._input_timeout:
            self._asked = now
            self._say_missing(graph)

    def _say_missing(self, graph: dict[str, list[str]]) -> None:
        texts = []
        if layout.CLOUD not in graph.get(self._points, ()):
            texts.append(explain_silence(self, self._points, (layout.CLOUD,)))
        known = {camera.name for camera in self._found}
        for name in [name for name in self._names if name not in known]:
            info = self.resolve_topic_name(topics.camera_info(name))
            if layout.CAMERA_INFO not in graph.get(info, ()):
                texts.append(explain_silence(self, info, (layout.CAMERA_INFO,)))
            else:
                texts.append(explain_silence(self, self.resolve_topic_name(topics.image(name)),
                                             (layout.COMPRESSED, layout.IMAGE)))
        if not self._names and not self._found:
            texts.append('no camera: ' + explain_silence(self, self.resolve_topic_name('<camera>/camera_info'),
                                                         (layout.CAMERA_INFO,)))
        for text in texts:
            self.get_logger().warning(f'no input within {self._input_timeout:g} s: {text}')

    def _start(self, cameras: list[CameraInputs]) -> None:
        if not self._with_labels:
            cameras = [CameraInputs(c.name, c.image, c.compressed, c.camera_info, '', c.label_info) for c in cameras]
        label_info = self.resolve_topic_name(topics.LABEL_INFO)
        self._pending = PendingPairs(self._output, cameras, self._points, label_info, self._motion, self._tally,
                                     self._waits, self._queue, self.get_logger())
        self._inputs = [Input(self._points, (layout.CLOUD,), 'scans')]
        self._sensor(PointCloud2, self._inputs[0])
        for camera in cameras:
            kind = layout.COMPRESSED if camera.compressed else layout.IMAGE
            self._inputs.append(Input(camera.image, (kind,), f'images of {camera.name}'))
            self._sensor(CompressedImage if camera.compressed else Image, self._inputs[-1])
            self._subscribe(CameraInfo, camera.camera_info, self._pending.calibrations[camera.name].add)
            if camera.labels:
                self._subscribe(Image, camera.labels, self._pending.labels[camera.name].add)
                self._subscribe(String, camera.label_info, partial(self._pending.latch, camera.label_info), LATCHED)
        self._subscribe(String, label_info, partial(self._pending.latch, label_info), LATCHED)
        self._subscribe(TFMessage, layout.TF_STATIC, partial(self._pending.latch, layout.TF_STATIC), LATCHED)
        self._synchronizer = ApproximateTimeSynchronizer(self._inputs, self._queue, self._slop)
        self._synchronizer.registerCallback(partial(self._on_pair, [camera.name for camera in cameras]))
        self.get_logger().info(f'pairing {self._points} with ' + ', '.join(
            camera.image + (' and its labels' if camera.labels else '') for camera in cameras))

    def _subscribe(self, kind: type, topic: str, callback: Callable[[bytes], Any],
                   qos: QoSProfile | None = None) -> None:
        qos = qos or sensor_qos(self, topic, self._reliability, 2 * self._queue)
        self.create_subscription(kind, topic, partial(self._guarded, topic, callback), qos, raw=True)

    def _sensor(self, kind: type, source: Input) -> None:
        qos = sensor_qos(self, source.topic, self._reliability, self._queue)
        source.reliability = qos.reliability
        self._subscribe(kind, source.topic, partial(self._on_message, source), qos)

    def _guarded(self, topic: str, callback: Callable[[bytes], Any], raw: bytes) -> None:
        """A message that cannot be understood is counted, said once, and survived."""
        try:
            callback(raw)
        except BagError as error:
            self._tally.dropped['bad messages'] += 1
            if topic not in self._said:
                self._said.add(topic)
                self.get_logger().error(f'bad message on {topic}: {error} (said once for this topic)')

    # ---- from message to pair

    def _on_message(self, source: Input, raw: bytes) -> None:
        source.last, source.silent = self._seconds(), False
        message = RawMessage(raw)
        self._tally.received[source.what] += 1
        source.signalMessage(message)

    def _on_pair(self, cameras: list[str], scan: RawMessage, *images: RawMessage) -> None:
        self._sets += 1
        if (self._sets - 1) % self._every == 0:
            self._pending.add(scan.raw, {name: image.raw for name, image in zip(cameras, images)})

    def _flush(self) -> None:
        if self._pending is not None:
            self._pending.flush(limit=self._max_pairs)

    # ---- what the user gets to know

    def _seconds(self) -> float:
        """Simulated time where it is followed: a slow simulation is not a silent one."""
        simulated = self.get_parameter('use_sim_time').value
        return self.get_clock().now().nanoseconds * 1e-9 if simulated else time.monotonic()

    def _watch(self) -> None:
        now = self._seconds()
        for source in self._inputs:
            if source.last is None or not 0 < source.last <= now:  # simulated time is 0 until /clock comes
                source.last = now
            if not source.silent and now - source.last > self._input_timeout:
                source.silent = True
                self.get_logger().warning(f'no message within {self._input_timeout:g} s: ' + explain_silence(
                    self, source.topic, source.kinds, source.reliability))
        self._publish_diagnostics()

    def _publish_diagnostics(self) -> None:
        tally, silent = self._tally, [source.topic for source in self._inputs if source.silent]
        status = DiagnosticStatus(name='record: pairs', hardware_id=self.get_fully_qualified_name())
        if not self._inputs or silent:
            status.level = DiagnosticStatus.ERROR
            status.message = f'silent: {", ".join(silent)}' if silent else 'looking for cameras and LiDAR'
        else:
            status.level = DiagnosticStatus.WARN if tally.dropped.total() else DiagnosticStatus.OK
            status.message = f'{tally.pairs} pairs, {tally.rate:.1f}/s'
        values = {'pairs': tally.pairs, 'output': self._output, **tally.received,
                  **{f'lost: {reason}': count for reason, count in tally.dropped.items()}}
        status.values = [KeyValue(key=key, value=str(value)) for key, value in values.items()]
        message = DiagnosticArray(status=[status])
        message.header.stamp = self.get_clock().now().to_msg()
        self._diagnostics.publish(message)

    # ---- the run

    def work(self, executor: Executor, stop: threading.Event) -> int:
        """Record until `stop` is set or `max_pairs` are in the bag; return the exit status. Raises BagError."""
        try:
            while not stop.is_set() and not self._full():
                executor.spin_once(timeout_sec=0.1)
            deadline = time.monotonic() + min(self._waits.transforms, DRAIN)
            while self._pending and not self._full() and time.monotonic() < deadline:
                executor.spin_once(timeout_sec=0.02)
            if self._pending is not None:
                self._pending.flush(last_try=True, limit=self._max_pairs)
        finally:
            self._finish()
        return 0

    def _full(self) -> bool:
        return 0 < self._max_pairs <= self._tally.pairs

    def _finish(self) -> None:
        size = 0
        try:
            size = self._pending.close() if self._pending is not None else 0
        finally:
            unpaired = self._tally.received['scans'] - self._sets
            if unpaired > 0 and not self._full():
                self._tally.dropped['scans without images in time'] += unpaired
            self.get_logger().info(self._tally.report(self._output, size))


def main(args: Sequence[str] | None = None) -> int:
    """Run the node; the executable `record`."""
    return run_job(Recorder, 'record', args)
