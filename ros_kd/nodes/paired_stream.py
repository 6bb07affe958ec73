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
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Float64, String
from tf2_msgs.msg import TFMessage

from ros_kd.bags import layout
from ros_kd.bags.discovery import CameraInputs
from ros_kd.bags.writer import RawPair
from ros_kd.nodes import topics
from ros_kd.nodes.clock import seconds
from ros_kd.nodes.ego_motion import EgoMotion
from ros_kd.nodes.listening import Listener
from ros_kd.nodes.live_pairing import LivePairing
from ros_kd.nodes.pending import PendingPairs
from ros_kd.nodes.qos import ALL_LATCHED
from ros_kd.nodes.silence import explain_silence
from ros_kd.nodes.stream_inputs import CLASSES, SCANS, Discovery, Input, RawMessage, transport_hint
from ros_kd.nodes.stream_parameters import StreamParameters
from ros_kd.nodes.tally import Tally
from ros_kd.pairing import Reason

UNPAIRED = (Reason.NO_PARTNER, Reason.MAX_INTERVAL)  # as most scans are where a LiDAR is faster than the cameras
LULL = 0.5  # seconds without any message after which a pair need not wait for a better one
FLUSH = 0.05  # seconds between looks at the pairs that wait
NEWS = 5  # seconds between looks for cameras that begin late


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
        self._listeners: list[Listener] = []
        self._discovery = Discovery(node, parameters)
        self._asked, self._heard = time.monotonic(), 0.0
        self._finished = self._clockless = False
        self._watched = 0
        steady = Clock(clock_type=ClockType.STEADY_TIME)  # runs on when simulated time stands still
        self._timers = [node.create_timer(0.2, self._discover, clock=steady),
                        node.create_timer(FLUSH, self.flush, clock=steady),
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
        self.pending = PendingPairs(self._node, cameras, self._motion, self.tally, parameters, self._deliver)
        self.inputs = [Input(SCANS, parameters.points, layout.CLOUD)]
        self.inputs += [Input(camera.name, camera.image, layout.COMPRESSED if camera.compressed else layout.IMAGE)
                        for camera in cameras]
        self._pairing = LivePairing(self.inputs, parameters, self._on_set, self._on_jump, self._log)
        for camera in cameras:
            self.listen(CameraInfo, camera.camera_info, self.pending.calibrations[camera.name].add)
            if camera.labels:
                self.listen(Image, camera.labels, self.pending.labels[camera.name].add)
                self._listen_latched(String, camera.label_info)
            self._delays[camera.name] = self._node.create_publisher(Float64, f'~/delta_t/{camera.name}', 10)
        self._listen_latched(String, self.label_info)
        self._listen_latched(TFMessage, layout.TF_STATIC)
        for source in self.inputs:
            source.listener = self.listen(CLASSES[source.kind], source.topic, partial(self._on_message, source),
                                           depth=parameters.queue, what=f'{source.what} in the transport')
            source.last = seconds(self._node) or None
        self._log.info(f'pairing {parameters.points} with ' + ', '.join(
            camera.image + (' and its labels' if camera.labels else '') for camera in cameras))

    def listen(self, kind: type, topic: str, callback: Callable[[bytes], Any], **options: Any) -> Listener:
        """Hand the serialised messages of a topic to `callback` too, until `close`. options: of a Listener."""
        listener = Listener(self._node, kind, topic, callback, self.tally, self._parameters.reliability,
                            **{'depth': 2 * self._parameters.queue, **options})
        self._listeners.append(listener)
        return listener

    def _listen_latched(self, kind: type, topic: str) -> None:
        self.listen(kind, topic, partial(self._consumer.take_latched, topic), qos=ALL_LATCHED)

    # ---- from message to pair

    def _on_message(self, source: Input, raw: bytes) -> None:
        if self._finished:
            return
        message = RawMessage(raw)
        now = self._heard = seconds(self._node)
        returned = source.silent
        source.hear(now)
        if returned:
            self._pairing.update()
        if source.name == SCANS:
            self._count_scan(now)
        self.tally.received[source.what] += 1
        source.check_stamp(message.stamp, self._node.get_clock().now().nanoseconds, self._log)
        self._pairing.add(source, message)

    def _count_scan(self, now: float) -> None:
        for source in self.inputs[1:]:
            source.scans += 1
            if source.stalls(now, self._parameters.queue):
                self._leave_out(source, now)

    def _leave_out(self, source: Input, now: float) -> None:
        source.silent = True
        self._log.warning(f'no message for {now - source.last:.1f} s: ' + explain_silence(
            self._node, source.topic, (source.kind,), source.listener.qos.reliability))
        self._pairing.update()

    def _on_set(self, scan: RawMessage, images: dict[str, RawMessage]) -> None:
        self.pending.add(scan.raw, {name: image.raw for name, image in images.items()})
        self.pending.flush()

    def _on_jump(self) -> None:
        self._log.warning('time jumped back: what had not found a partner is dropped, and pairing begins anew')
        self.pending.flush(last_try=True)
        self._motion.forget()
        self._consumer.take_jump()

    def _deliver(self, pair: RawPair) -> None:
        for camera, delay in delays(pair).items():
            self._delays[camera].publish(Float64(data=delay))
        self._consumer.take_pair(pair)

    def flush(self) -> None:
        """Pass on the pairs that are complete by now."""
        if self.pending is None:
            return
        if self._heard and seconds(self._node) - self._heard > LULL:
            self._heard = 0.0
            self._pairing.release()
        self.pending.flush()

    def finish(self) -> None:
        """Take no more messages and release what pairs are still candidates; `flush` passes them on."""
        self._finished = True
        if self._pairing is not None:
            self._pairing.finish()

    def close(self) -> None:
        """Pass on what is complete, drop the rest with its reason, and stop listening."""
        self.finish()
        if self.pending is not None:
            self.pending.flush(last_try=True)
        for timer in self._timers:
            self._node.destroy_timer(timer)
        for listener in self._listeners:
            listener.close()
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

    def _watch(self) -> None:
        now, timeout = seconds(self._node), self._parameters.input_timeout
        self._watch_clock(now)
        for source in self.inputs:
            if source.last is None or not 0 < source.last <= now:  # simulated time is 0 until /clock comes
                source.last = now
            if not source.silent and now - source.last > timeout:
                self._leave_out(source, now)
        for listener in self._listeners:
            listener.follow()
        self._watched += 1
        if self.inputs and self._watched % NEWS == 0:
            for camera in self._discovery.newcomers():
                self._log.error(f'camera "{camera.name}" ({camera.image}) began after the others and is left out: '
                                'restart to take it in, and name all in the parameter cameras to wait for each')
        self.count_unused()

    def _watch_clock(self, now: float) -> None:
        if now > 0 or self._clockless or time.monotonic() - self.tally.begin < self._parameters.input_timeout:
            return
        self._clockless = True
        self._log.error('use_sim_time is true, but nobody publishes /clock: silent topics go unnoticed, and pairs may '
                        'wait for their transforms without end')


def delays(pair: RawPair) -> dict[str, float]:
    """Return the images' stamps minus that of their scan, seconds, by camera."""
    stamp = layout.header_stamp(pair.cloud)
    return {view.camera: (layout.header_stamp(view.image) - stamp) * 1e-9 for view in pair.views}
