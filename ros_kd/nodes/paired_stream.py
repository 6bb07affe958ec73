# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""The live stream of paired scans and images that the recorder and the overlay consume.

It finds the topics, subscribes without deserialising, pairs by time, waits for transforms and calibration, and hands on
complete pairs. No message ends it: what cannot be used is counted, said once, and shown in the diagnostics.
"""

from __future__ import annotations

import time
from functools import partial
from typing import Any, Callable, Protocol

from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Float64, String
from tf2_msgs.msg import TFMessage

from ros_kd.bags import BagError, layout
from ros_kd.bags.discovery import CameraInputs
from ros_kd.bags.writer import RawPair
from ros_kd.nodes import topics
from ros_kd.nodes.ego_motion import EgoMotion
from ros_kd.nodes.live_pairing import LivePairing
from ros_kd.nodes.pending import PendingPairs
from ros_kd.nodes.qos import ALL_LATCHED, sensor_qos
from ros_kd.nodes.silence import explain_silence
from ros_kd.nodes.stream_inputs import CLASSES, SCANS, Discovery, Input, RawMessage, transport_hint
from ros_kd.nodes.stream_parameters import StreamParameters
from ros_kd.nodes.tally import Tally
from ros_kd.pairing import Reason

UNPAIRED = (Reason.NO_PARTNER, Reason.MAX_INTERVAL)  # as most scans are where a LiDAR is faster than the cameras
LULL = 0.5  # seconds without any message after which a pair need not wait for a better one


class Consumer(Protocol):
    """Who takes the pairs."""

    def take_pair(self, pair: RawPair) -> None:
        """Take a complete pair; the stamps of their scans rise."""

    def take_latched(self, topic: str, raw: bytes) -> None:
        """Take a message of /tf_static or of a label_info topic."""

    def take_jump(self) -> None:
        """Time jumped back: stamps of pairs begin anew."""


class PairedStream:
    """Listens from its making to `close`. points, label_info: resolved topics of the clouds and of their classes."""

    def __init__(self, node: Node, parameters: StreamParameters, motion: EgoMotion, consumer: Consumer) -> None:
        self._node, self._parameters, self._motion, self._consumer = node, parameters, motion, consumer
        self._log = node.get_logger()
        self.tally, self.points = Tally(), parameters.points
        self.label_info = node.resolve_topic_name(topics.LABEL_INFO)
        self.inputs: list[Input] = []
        self.cameras: list[CameraInputs] = []
        self.pending: PendingPairs | None = None
        self._pairing: LivePairing | None = None
        self._delays: dict[str, Any] = {}
        self._subscriptions: list[Any] = []
        self._said: set[str] = set()
        self._discovery = Discovery(node, parameters)
        self._asked, self._heard, self._last_scan = time.monotonic(), 0.0, 0
        steady = Clock(clock_type=ClockType.STEADY_TIME)  # runs on when simulated time stands still
        self._timers = [node.create_timer(0.2, self._discover, clock=steady),
                        node.create_timer(0.02, self.flush, clock=steady),
                        node.create_timer(1.0, self._watch, clock=steady)]
        if hint := transport_hint():
            self._log.warning(hint)

    # ---- finding and subscribing

    def _discover(self) -> None:
        now = time.monotonic()
        cameras = self._discovery.look(now)
        if cameras is not None:
            self._node.destroy_timer(self._timers.pop(0))
            self._start(cameras)
        elif now - self._asked >= self._parameters.input_timeout:
            self._asked = now
            for text in self._discovery.missing():
                self._log.warning(f'no input within {self._parameters.input_timeout:g} s: {text}')

    def _start(self, cameras: list[CameraInputs]) -> None:
        parameters, self.cameras = self._parameters, cameras
        self.pending = PendingPairs(parameters.points, cameras, self._motion, self.tally, parameters,
                                    self._deliver, self._log)
        self.inputs = [Input(SCANS, parameters.points, layout.CLOUD)]
        self.inputs += [Input(camera.name, camera.image, layout.COMPRESSED if camera.compressed else layout.IMAGE)
                        for camera in cameras]
        self._pairing = LivePairing(self.inputs, parameters, self._on_set, self._on_jump, self._log)
        for camera in cameras:
            self._subscribe(CameraInfo, camera.camera_info, self.pending.calibrations[camera.name].add)
            if camera.labels:
                self._subscribe(Image, camera.labels, self.pending.labels[camera.name].add)
                self._subscribe(String, camera.label_info, partial(self._consumer.take_latched, camera.label_info),
                                ALL_LATCHED)
            self._delays[camera.name] = self._node.create_publisher(Float64, f'~/delta_t/{camera.name}', 10)
        self._subscribe(String, self.label_info, partial(self._consumer.take_latched, self.label_info), ALL_LATCHED)
        self._subscribe(TFMessage, layout.TF_STATIC, partial(self._consumer.take_latched, layout.TF_STATIC), ALL_LATCHED)
        for source in self.inputs:
            qos = sensor_qos(self._node, source.topic, parameters.reliability, parameters.queue)
            source.reliability = qos.reliability
            self._subscribe(CLASSES[source.kind], source.topic, partial(self._on_message, source), qos)
        self._log.info(f'pairing {parameters.points} with ' + ', '.join(
            camera.image + (' and its labels' if camera.labels else '') for camera in cameras))

    def _subscribe(self, kind: type, topic: str, callback: Callable[[bytes], Any],
                   qos: QoSProfile | None = None) -> None:
        qos = qos or sensor_qos(self._node, topic, self._parameters.reliability, 2 * self._parameters.queue)
        self._subscriptions.append(self._node.create_subscription(
            kind, topic, partial(self._guarded, topic, callback), qos, raw=True))

    def _guarded(self, topic: str, callback: Callable[[bytes], Any], raw: bytes) -> None:
        try:
            callback(raw)
        except BagError as error:
            self.tally.lost['bad messages'] += 1
            if topic not in self._said:
                self._said.add(topic)
                self._log.error(f'bad message on {topic}: {error} (said once for this topic)')

    # ---- from message to pair

    def _on_message(self, source: Input, raw: bytes) -> None:
        message = RawMessage(raw)
        source.last = self._heard = self._seconds()
        if source.silent:
            source.silent = False
            self._pairing.update()
        self.tally.received[source.what] += 1
        source.check_stamp(message.stamp, self._node.get_clock().now().nanoseconds, self._log)
        self._pairing.add(source, message)

    def _on_set(self, scan: RawMessage, images: dict[str, RawMessage]) -> None:
        if scan.stamp <= self._last_scan:  # a jump that came while a camera was silent
            self._on_jump()
        self._last_scan = scan.stamp
        self.pending.add(scan.raw, {name: image.raw for name, image in images.items()})
        self.pending.flush()

    def _on_jump(self) -> None:
        self._log.warning('time jumped back: what had not found a partner is dropped, and pairing begins anew')
        self._last_scan = 0
        self.pending.flush(last_try=True)
        self._motion.forget()
        self._consumer.take_jump()

    def _deliver(self, pair: RawPair) -> None:
        stamp = layout.header_stamp(pair.cloud)
        for view in pair.views:
            self._delays[view.camera].publish(Float64(data=(layout.header_stamp(view.image) - stamp) * 1e-9))
        self._consumer.take_pair(pair)

    def flush(self) -> None:
        """Pass on the pairs that are complete by now."""
        if self.pending is None:
            return
        if self._heard and self._seconds() - self._heard > LULL:
            self._heard = 0.0
            self._pairing.release()
        self.pending.flush()

    def finish(self) -> None:
        """No more messages come: release what pairs are still candidates; `flush` passes them on."""
        if self._pairing is not None:
            self._pairing.finish()

    def close(self) -> None:
        """Pass on what is complete, drop the rest with its reason, and stop listening."""
        self.finish()
        if self.pending is not None:
            self.pending.flush(last_try=True)
        for timer in self._timers:
            self._node.destroy_timer(timer)
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        for publisher in self._delays.values():
            self._node.destroy_publisher(publisher)
        self.count_unused()

    # ---- what the user gets to know

    def count_unused(self) -> None:
        """Bring the counts of scans and images without a pair into the tally."""
        if self._pairing is None:
            return
        for (name, reason), count in self._pairing.dropped.items():
            if name == SCANS and reason not in UNPAIRED:
                self.tally.lost[f'scans ({reason.value})'] = count
            else:
                self.tally.unused[f'of {name}: {reason.value}'] = count

    def silent(self) -> list[str]:
        """Return the topics that say nothing."""
        return [source.topic for source in self.inputs if source.silent]

    def _seconds(self) -> float:
        """Simulated time where it is followed: a slow simulation is not a silent one."""
        simulated = self._node.get_parameter('use_sim_time').value
        return self._node.get_clock().now().nanoseconds * 1e-9 if simulated else time.monotonic()

    def _watch(self) -> None:
        now, timeout = self._seconds(), self._parameters.input_timeout
        for source in self.inputs:
            if source.last is None or not 0 < source.last <= now:  # simulated time is 0 until /clock comes
                source.last = now
            if not source.silent and now - source.last > timeout:
                source.silent = True
                self._log.warning(f'no message within {timeout:g} s: ' + explain_silence(
                    self._node, source.topic, (source.kind,), source.reliability))
                self._pairing.update()
        self.count_unused()
