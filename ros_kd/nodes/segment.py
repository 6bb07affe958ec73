# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""The segmenter: subscribes to a LiDAR's clouds and publishes them with a class for every point."""

from __future__ import annotations

import traceback
from pathlib import Path
from threading import Event
from time import perf_counter
from typing import Sequence

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.clock import Clock, ClockType
from rclpy.executors import Executor
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.time import Time
from sensor_msgs.msg import PointCloud2
from std_msgs.msg import Float64, String
from visualization_msgs.msg import MarkerArray

from ros_kd.nodes import messages
from ros_kd.nodes.health import OVERTAKEN, UNWATCHED, Health
from ros_kd.nodes.labelled_cloud import Dropped, IntensityScale, label_cloud
from ros_kd.nodes.latest import LatestOnly
from ros_kd.nodes.legend import legend_message, vision_label_info
from ros_kd.nodes.qos import LATCHED
from ros_kd.nodes.running import explained, run_job
from ros_kd.nodes.segment_parameters import declare_parameters
from ros_kd.nodes.silence import explain_silence

SHIPPED = 'students/simulated.safetensors'


class SegmentNode(LifecycleNode):
    """Publishes ~/points, ~/label_info, ~/legend, ~/debug/processing_time_ms and /diagnostics.

    Configuring loads the checkpoint; while active, clouds are labelled one at a time, always the newest.
    """

    def __init__(self, **options) -> None:
        super().__init__('segment', **options)
        self.settings = declare_parameters(self)
        self.health = Health()
        self._predictor = self._scale = self._worker = self._subscription = None
        self._checkpoint, self._legend_frame, self._was_silent = '', None, False
        self._diagnostics = self.create_publisher(DiagnosticArray, '/diagnostics', 10)
        self._timer = None

    @explained
    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the checkpoint and offer the topics; fail with a message if it cannot be used."""
        path = find_checkpoint(self.settings.checkpoint)
        from ros_kd.students.predictor import Predictor  # torch: the node starts, and says so, without it
        self._predictor = Predictor.load(path, self.settings.device, self.settings.backend)
        info, self._checkpoint = self._predictor.info, str(path)
        self._scale = IntensityScale(self.settings.intensity_scale, self.get_logger().info)
        self._points = self.create_lifecycle_publisher(PointCloud2, '~/points', QoSProfile(depth=1))
        self._time = self.create_lifecycle_publisher(Float64, '~/debug/processing_time_ms', QoSProfile(depth=10))
        self._legend = self.create_lifecycle_publisher(MarkerArray, '~/legend', LATCHED)
        self._label_info = self.create_publisher(String, '~/label_info', LATCHED)
        self._label_info.publish(messages.label_info_message(info.taxonomy))
        self._publish_vision_info(info.taxonomy)
        self.get_logger().info(
            f'{path}: {info.architecture} with {sum(name is not None for name in info.taxonomy.names)} classes of '
            f'"{info.taxonomy.name}", voxels of {info.inputs.voxel_size} m, on {self._predictor.device}'
            + ''.join(f'; {score.metric} {score.value:.3f} on {score.data}' for score in info.scores))
        return TransitionCallbackReturn.SUCCESS

    def _publish_vision_info(self, taxonomy) -> None:
        self._vision_info = None
        message = vision_label_info(taxonomy)
        if message is not None:
            self._vision_info = self.create_publisher(type(message), '~/label_info/vision', LATCHED)
            self._vision_info.publish(message)

    @explained
    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Start to listen."""
        self.health = Health()
        self._legend_frame, self._was_silent = None, False
        self._worker = LatestOnly(self._label, 'segment')
        reliability = ReliabilityPolicy[self.settings.reliability.upper()]
        qos = QoSProfile(depth=self.settings.depth, reliability=reliability)
        self._subscription = self.create_subscription(PointCloud2, self.settings.points_topic, self._receive, qos)
        self._timer = self.create_timer(1.0, self._diagnose, clock=Clock(clock_type=ClockType.STEADY_TIME))
        return super().on_activate(state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop to listen, after the cloud in work."""
        self._stop()
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Forget the checkpoint."""
        for publisher in (self._points, self._time, self._legend):
            self.destroy_lifecycle_publisher(publisher)
        for publisher in (self._label_info, self._vision_info):
            if publisher is not None:
                self.destroy_publisher(publisher)
        self._predictor = None
        return TransitionCallbackReturn.SUCCESS

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

    def work(self, executor: Executor, stop: Event) -> int:
        """Run until `stop` is set; return 1 if the node could not start by itself."""
        if self.settings.autostart:
            for step in (self.trigger_configure, self.trigger_activate):
                if step() != TransitionCallbackReturn.SUCCESS:
                    return 1
        while not stop.is_set():
            executor.spin_once(timeout_sec=0.1)
        return 0

    def destroy_node(self) -> None:
        """Stop the worker before what it publishes on goes."""
        self._stop()
        super().destroy_node()

    def _receive(self, message: PointCloud2) -> None:
        self.health.receive()
        if self._legend_frame != message.header.frame_id:
            self._legend_frame = message.header.frame_id
            self._legend.publish(legend_message(self._predictor.info.taxonomy, self._legend_frame))
        if self._points.get_subscription_count() == 0:
            self.health.drop(UNWATCHED)
        elif not self._worker.put(message):
            self.health.drop(OVERTAKEN)

    def _label(self, message: PointCloud2) -> None:
        """Runs in the worker's thread: whatever a cloud holds must not end it."""
        start = perf_counter()
        try:
            result = label_cloud(message, self._predictor, self._scale, self.settings.min_confidence)
            self._points.publish(result.cloud)
        except Dropped as error:
            self._drop(error.reason, str(error))
            return
        except Exception as error:
            self._drop('internal error', f'{type(error).__name__}: {error}', traceback.format_exc())
            return
        elapsed = (perf_counter() - start) * 1e3
        stamp = Time.from_msg(message.header.stamp, self.get_clock().clock_type)
        latency = (self.get_clock().now() - stamp).nanoseconds * 1e-6
        self.health.process(elapsed, latency, result.points, result.without_position)
        self._time.publish(Float64(data=elapsed))

    def _drop(self, reason: str, text: str, details: str = '') -> None:
        if self.health.drop(reason, text):
            self.get_logger().error(f'cloud dropped ({reason}): {text}\n{details}'.rstrip() +
                                    '\nFurther ones of this kind are counted on /diagnostics only.')

    def _diagnose(self) -> None:
        silent, timeout = '', self.settings.input_timeout
        if timeout > 0 and self.health.silence() > timeout:
            silent = f'no message within {timeout:g} s: ' + explain_silence(
                self, self._subscription.topic_name, requested=self._subscription.qos_profile.reliability)
            if not self._was_silent:
                self.get_logger().warning(silent)
        self._was_silent = bool(silent)
        message = DiagnosticArray()
        message.header.stamp = self.get_clock().now().to_msg()
        message.status = [self.health.status(f'{self.get_fully_qualified_name()}: points', self._checkpoint, silent)]
        self._diagnostics.publish(message)


def find_checkpoint(path: str) -> Path:
    """Return the checkpoint that was asked for, or the shipped one. Raises ValueError saying how to make one."""
    if path:
        return Path(path)
    try:
        from ament_index_python.packages import get_package_share_directory
        shipped = Path(get_package_share_directory('ros_kd')) / SHIPPED
    except (ImportError, LookupError, OSError):  # no ROS index, not installed, or AMENT_PREFIX_PATH is not set
        shipped = Path(SHIPPED)
    if shipped.is_file():
        return shipped
    raise ValueError(f'no checkpoint: the parameter "checkpoint" is empty and there is no student at {shipped}. Name '
                     'one with checkpoint:=FILE.safetensors; "make demo" makes one in minutes, "python -m training" '
                     'one from your own recordings')


def main(args: Sequence[str] | None = None) -> int:
    """Run the node until it is told to stop; the executable `segment`. Return 1 if it could not start."""
    return run_job(SegmentNode, 'segment', args)
