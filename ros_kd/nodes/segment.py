# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""The segmenter: subscribes to a LiDAR's clouds and publishes them with a class for every point."""

from __future__ import annotations

import traceback
from contextlib import nullcontext
from threading import Event
from time import perf_counter
from typing import Sequence

from diagnostic_msgs.msg import DiagnosticArray
from rcl_interfaces.msg import SetParametersResult
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import PointCloud2

from ros_kd.memory import keep_freed_memory
from ros_kd.nodes import clock, messages
from ros_kd.nodes.health import OVERTAKEN, UNWATCHED, Findings, Health, Silence
from ros_kd.nodes.labelled_cloud import Dropped, IntensityScale, read_cloud
from ros_kd.nodes.latest import LatestOnly
from ros_kd.nodes.running import answer_refusals, explained, run_job
from ros_kd.nodes.segment_model import Model, load_model
from ros_kd.nodes.segment_outputs import Outputs
from ros_kd.nodes.segment_parameters import declare_parameters, updated
from ros_kd.nodes.segment_reload import Reload
from ros_kd.nodes.segment_timing import Times
from ros_kd.nodes.silence import explain_silence, explain_unheard
from ros_kd.nodes.spinning import Spinner


class SegmentNode(LifecycleNode):
    """Publishes the topics of `Outputs` and /diagnostics; service ~/reload takes the checkpoint that is named now.

    Configuring loads the checkpoint; while active, clouds are labelled one at a time, always the newest.
    """

    def __init__(self, **options) -> None:
        super().__init__('segment', **options)
        answer_refusals(self)
        self.settings = declare_parameters(self)
        self.add_on_set_parameters_callback(self._set_parameters)
        self.health = Health()
        self._model: Model | None = None
        self._outputs: Outputs | None = None
        self._scale = self._worker = self._subscription = self._silence = self._timer = None
        self._said: set[str] = set()
        self._diagnostics = self.create_publisher(DiagnosticArray, '/diagnostics', 10)
        self._reload = Reload(self, lambda: load_model(self.settings), self._take)

    # ---- lifecycle

    @explained
    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the checkpoint and offer the topics; fail with a message if it cannot be used."""
        self._model = load_model(self.settings)
        self._scale = IntensityScale(self.settings.intensity_scale, self.get_logger().info)
        self._outputs = Outputs(self, self._model.taxonomy)
        self.get_logger().info(self._model.line())
        return TransitionCallbackReturn.SUCCESS

    @explained
    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Start to listen."""
        self.health, self._silence = Health(), Silence(lambda: clock.seconds(self))
        self._said.clear()
        self._outputs.forget_frames()
        reliability = ReliabilityPolicy[self.settings.reliability.upper()]
        qos = QoSProfile(depth=self.settings.depth, reliability=reliability)
        self._subscription = self.create_subscription(PointCloud2, self.settings.points_topic, self._receive, qos)
        self._worker = LatestOnly(self._label, 'segment')
        self._timer = self.create_timer(1.0, self._diagnose, clock=Clock(clock_type=ClockType.STEADY_TIME))
        return super().on_activate(state)

    @explained
    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop to listen, after the cloud in work."""
        self._stop()
        return super().on_deactivate(state)

    @explained
    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Forget the checkpoint."""
        self._outputs.destroy()
        self._outputs = self._model = None
        return TransitionCallbackReturn.SUCCESS

    @explained
    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop to listen."""
        self._stop()
        return TransitionCallbackReturn.SUCCESS

    def _stop(self) -> None:
        if self._subscription is not None:
            self.destroy_timer(self._timer)
            self.destroy_subscription(self._subscription)
            self._worker.stop()
            self._subscription = self._worker = self._timer = None

    def work(self, spinner: Spinner, stop: Event) -> int:
        """Run until `stop` is set; return 1 if the node could not start by itself."""
        if self.settings.autostart:
            for step in (self.trigger_configure, self.trigger_activate):
                if step() != TransitionCallbackReturn.SUCCESS:
                    return 1
        while not stop.is_set():
            spinner.spin(0.1)
        return 0

    def destroy_node(self) -> None:
        """Stop the threads before what they use goes."""
        self._stop()
        self._reload.close()
        super().destroy_node()

    # ---- clouds

    def _receive(self, message: PointCloud2) -> None:
        self.health.receive()
        self._silence.end()
        self._outputs.show_legend(message.header.frame_id)
        if not self._outputs.watched():
            self.health.drop(UNWATCHED)
        elif not self._worker.put(message):
            self.health.drop(OVERTAKEN)

    def _label(self, message: PointCloud2) -> None:
        """Runs in the worker's thread: whatever a cloud holds must not end it."""
        try:
            self._publish_labels(message)
        except Dropped as error:
            self._drop(error.reason, str(error))
        except Exception as error:
            self._drop('internal error', f'{type(error).__name__}: {error}', traceback.format_exc())

    def _publish_labels(self, message: PointCloud2) -> None:
        model, settings, begin = self._model, self.settings, perf_counter()
        cloud = read_cloud(message)
        scan = self._scale.normalise(cloud.scan)
        read = perf_counter()
        prediction = model.predict(scan)
        predicted = perf_counter()
        self._outputs.publish(cloud, prediction, model, settings)
        end = perf_counter()
        stages = prediction.times
        times = Times(*(1e3 * seconds for seconds in (read - begin, stages.prepare, stages.network, stages.assign,
                                                      end - predicted, end - begin)))
        latency = (self.get_clock().now().nanoseconds - messages.from_time(message.header.stamp)) * 1e-6
        self._outputs.times.publish(times, latency)
        self.health.process(times, latency, len(scan), int((prediction.confidence == 0).sum()))

    def _drop(self, reason: str, text: str, details: str = '') -> None:
        if self.health.drop(reason, text):
            self.get_logger().error(f'cloud dropped ({reason}): {text}\n{details}'.rstrip() +
                                    '\nFurther ones of this kind are counted on /diagnostics only.')

    # ---- changes

    def _set_parameters(self, parameters: Sequence[Parameter]) -> SetParametersResult:
        try:
            settings = updated(self.settings, parameters)
            if self._model is not None:
                self._model.dropped(settings.drop_classes)
        except ValueError as error:
            return SetParametersResult(successful=False, reason=str(error))
        self.settings = settings
        return SetParametersResult(successful=True)

    def _take(self, model: Model) -> None:
        """Label with another checkpoint from the next cloud on. Raises ValueError if it cannot be used now."""
        if self._outputs is None:
            raise ValueError('the node is not configured: configuring loads the checkpoint')
        model.dropped(self.settings.drop_classes)
        with self._worker.at_rest if self._worker else nullcontext():  # a cloud in work has the old one's class ids
            self._outputs.announce(model.taxonomy)
            self._model = model

    # ---- what the user gets to know

    def _diagnose(self) -> None:
        topic, qos = self._subscription.topic_name, self._subscription.qos_profile
        silent, timeout = '', self.settings.input_timeout
        if self.get_clock().ros_time_is_active and self.get_clock().now().nanoseconds == 0:
            silent = 'the parameter use_sim_time is set, but no time has come on /clock'
        elif timeout > 0 and self._silence.seconds() > timeout:
            silent = f'no message within {timeout:g} s: ' + explain_silence(self, topic, requested=qos.reliability)
        unheard = explain_unheard(self, topic, requested=qos.reliability)
        twin = self._outputs.twin()
        self._warn_once(silent, unheard, twin)
        found = Findings(self._model.predictor.description, str(self._model.path), self.settings.budget_ms, silent,
                         unheard, twin)
        message = DiagnosticArray(status=[self.health.status(f'{self.get_fully_qualified_name()}: points', found)])
        message.header.stamp = self.get_clock().now().to_msg()
        self._diagnostics.publish(message)

    def _warn_once(self, *texts: str) -> None:
        """Log what is new; what has passed is news when it comes again."""
        for text in texts:
            if text and text not in self._said:
                self.get_logger().warning(text)
        self._said = set(texts)


def main(args: Sequence[str] | None = None) -> int:
    """Run the node until it is told to stop; the executable `segment`. Return 1 if it could not start."""
    keep_freed_memory()
    return run_job(SegmentNode, 'segment', args)
