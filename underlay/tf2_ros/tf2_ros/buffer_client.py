# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Looks transforms up in the buffer of another process, through its LookupTransform action."""
import threading
from typing import Any, Union

from geometry_msgs.msg import TransformStamped
from rclpy.action import ActionClient
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.task import Future
from rclpy.time import Time
from tf2_msgs.action import LookupTransform
from tf2_msgs.msg import TF2Error
import tf2_py as tf2

from tf2_ros.buffer_interface import BufferInterface

_EXCEPTIONS = {
    TF2Error.LOOKUP_ERROR: tf2.LookupException, TF2Error.CONNECTIVITY_ERROR: tf2.ConnectivityException,
    TF2Error.EXTRAPOLATION_ERROR: tf2.ExtrapolationException, TF2Error.TIMEOUT_ERROR: tf2.TimeoutException,
    TF2Error.INVALID_ARGUMENT_ERROR: tf2.InvalidArgumentException}


class BufferClient(BufferInterface):
    """Blocks in each look-up, so another thread must spin the node."""

    def __init__(self, node: Node, ns: str, check_frequency: float = 10.0,
                 timeout_padding: Union[Duration, float] = Duration(seconds=2.0)) -> None:
        BufferInterface.__init__(self)
        self.node = node
        self.action_client = ActionClient(node, LookupTransform, action_name=ns)
        self.check_frequency = check_frequency
        self.timeout_padding = timeout_padding

    def lookup_transform(self, target_frame: str, source_frame: str, time: Time,
                         timeout: Duration = Duration()) -> TransformStamped:
        """The transform source -> target at a time (0: newest common)."""
        return self._ask(LookupTransform.Goal(
            target_frame=target_frame, source_frame=source_frame, source_time=_message(time),
            timeout=timeout.to_msg(), advanced=False))

    def lookup_transform_full(self, target_frame: str, target_time: Time, source_frame: str, source_time: Time,
                              fixed_frame: str, timeout: Duration = Duration()) -> TransformStamped:
        """The transform from source at source_time to target at target_time, through fixed_frame."""
        return self._ask(LookupTransform.Goal(
            target_frame=target_frame, source_frame=source_frame, source_time=_message(source_time),
            timeout=timeout.to_msg(), target_time=_message(target_time), fixed_frame=fixed_frame, advanced=True))

    def can_transform(self, target_frame: str, source_frame: str, time: Time,
                      timeout: Duration = Duration()) -> bool:
        """Whether lookup_transform succeeds."""
        return self._succeeds(self.lookup_transform, target_frame, source_frame, time, timeout)

    def can_transform_full(self, target_frame: str, target_time: Time, source_frame: str, source_time: Time,
                           fixed_frame: str, timeout: Duration = Duration()) -> bool:
        """Whether lookup_transform_full succeeds."""
        return self._succeeds(self.lookup_transform_full, target_frame, target_time, source_frame, source_time,
                              fixed_frame, timeout)

    @staticmethod
    def _succeeds(lookup: Any, *path: Any) -> bool:
        try:
            lookup(*path)
            return True
        except tf2.TransformException:
            return False

    def _ask(self, goal: LookupTransform.Goal) -> TransformStamped:
        if not self.action_client.server_is_ready():
            raise tf2.TimeoutException('The BufferServer is not ready.')
        padding = self.timeout_padding
        padding_s = padding.nanoseconds / 1e9 if isinstance(padding, Duration) else padding
        patience_s = Duration.from_msg(goal.timeout).nanoseconds / 1e9 + padding_s
        handle = self._finish(self.action_client.send_goal_async(goal), patience_s)
        if not handle.accepted:
            raise tf2.TimeoutException('The BufferServer did not accept the LookupTransform goal.')
        result = self._finish(handle.get_result_async(), patience_s).result
        if result.error.error != TF2Error.NO_ERROR:
            raise _EXCEPTIONS.get(result.error.error, tf2.TransformException)(result.error.error_string)
        return result.transform

    @staticmethod
    def _finish(future: Future, patience_s: float) -> Any:
        done = threading.Event()
        future.add_done_callback(lambda _: done.set())
        if not done.wait(patience_s):
            raise tf2.TimeoutException(f'The BufferServer did not answer within {patience_s:.1f} s.')
        return future.result()


def _message(time: Any) -> Any:
    return time.to_msg() if isinstance(time, Time) else time
