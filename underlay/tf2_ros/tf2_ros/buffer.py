# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""The buffer of transforms a node looks up from."""
import threading
import time as wall
from typing import Any, Callable, List, Optional, Tuple, Union

from geometry_msgs.msg import TransformStamped
from rclpy.clock import Clock, JumpThreshold, TimeJump
from rclpy.duration import Duration
from rclpy.logging import get_logger
from rclpy.node import Node
from rclpy.task import Future
from rclpy.time import Time
from tf2_msgs.srv import FrameGraph
import tf2_py as tf2

from tf2_ros.buffer_interface import BufferInterface

POLL_PERIOD_S = 0.02


class Buffer(tf2.BufferCore, BufferInterface):
    """Stores transforms for cache_time (10 s); with a node, it also offers the tf2_frames service."""

    def __init__(self, cache_time: Optional[Duration] = None, node: Optional[Node] = None) -> None:
        tf2.BufferCore.__init__(self, cache_time)
        BufferInterface.__init__(self)
        self._new_data_callbacks: List[Callable[[], None]] = []
        self._callbacks_lock = threading.RLock()
        if node is not None:
            self.srv = node.create_service(FrameGraph, 'tf2_frames', self._frame_graph)
        self.clock = Clock() if node is None else node.get_clock()
        threshold = JumpThreshold(min_forward=None, min_backward=Duration(seconds=-1), on_clock_change=True)
        self.jump_handle = self.clock.create_jump_callback(threshold, post_callback=self.time_jump_callback)

    def _frame_graph(self, request: FrameGraph.Request, response: FrameGraph.Response) -> FrameGraph.Response:
        response.frame_yaml = self.all_frames_as_yaml()
        return response

    def time_jump_callback(self, time_jump: TimeJump) -> None:
        """Forget transforms that lie in the future once time has jumped back."""
        get_logger('tf2_buffer').warning('Detected jump back in time. Clearing tf buffer.')
        self.clear()

    def set_transform(self, transform: TransformStamped, authority: str) -> None:
        super().set_transform(transform, authority)
        self._call_new_data_callbacks()

    def set_transform_static(self, transform: TransformStamped, authority: str) -> None:
        super().set_transform_static(transform, authority)
        self._call_new_data_callbacks()

    def _call_new_data_callbacks(self) -> None:
        with self._callbacks_lock:
            for callback in tuple(self._new_data_callbacks):  # a callback may remove itself
                callback()

    def lookup_transform(self, target_frame: str, source_frame: str, time: Time,
                         timeout: Duration = Duration()) -> TransformStamped:
        """The transform source -> target at a time (0: newest common), waiting up to timeout for it."""
        self._wait(timeout, lambda: self.can_transform_core(target_frame, source_frame, time)[0])
        return self.lookup_transform_core(target_frame, source_frame, time)

    def lookup_transform_full(self, target_frame: str, target_time: Time, source_frame: str, source_time: Time,
                              fixed_frame: str, timeout: Duration = Duration()) -> TransformStamped:
        """The transform from source at source_time to target at target_time, through fixed_frame."""
        path = (target_frame, target_time, source_frame, source_time, fixed_frame)
        self._wait(timeout, lambda: self.can_transform_full_core(*path)[0])
        return self.lookup_transform_full_core(*path)

    async def lookup_transform_async(self, target_frame: str, source_frame: str, time: Time) -> TransformStamped:
        """As lookup_transform, suspending the coroutine until the transform is there."""
        await self.wait_for_transform_async(target_frame, source_frame, time)
        return self.lookup_transform_core(target_frame, source_frame, time)

    async def lookup_transform_full_async(self, target_frame: str, target_time: Time, source_frame: str,
                                          source_time: Time, fixed_frame: str) -> TransformStamped:
        """As lookup_transform_full, suspending the coroutine until the transform is there."""
        path = (target_frame, target_time, source_frame, source_time, fixed_frame)
        await self.wait_for_transform_full_async(*path)
        return self.lookup_transform_full_core(*path)

    def can_transform(self, target_frame: str, source_frame: str, time: Time, timeout: Duration = Duration(),
                      return_debug_tuple: bool = False) -> Union[bool, Tuple[bool, str]]:
        """Whether the transform is there within timeout; with return_debug_tuple also why not."""
        def can() -> Tuple[bool, str]:
            return self.can_transform_core(target_frame, source_frame, time)
        self._wait(timeout, lambda: can()[0])
        return can() if return_debug_tuple else can()[0]

    def can_transform_full(self, target_frame: str, target_time: Time, source_frame: str, source_time: Time,
                           fixed_frame: str, timeout: Duration = Duration(),
                           return_debug_tuple: bool = False) -> Union[bool, Tuple[bool, str]]:
        """Whether the full transform is there within timeout; with return_debug_tuple also why not."""
        def can() -> Tuple[bool, str]:
            return self.can_transform_full_core(target_frame, target_time, source_frame, source_time, fixed_frame)
        self._wait(timeout, lambda: can()[0])
        return can() if return_debug_tuple else can()[0]

    @staticmethod
    def _wait(timeout: Duration, ready: Callable[[], bool]) -> None:
        # The steady clock, not the node's: with use_sim_time a paused /clock would wait for ever.
        if not timeout.nanoseconds:
            return
        end = wall.monotonic() + timeout.nanoseconds / 1e9
        while wall.monotonic() < end and not ready():
            wall.sleep(POLL_PERIOD_S)

    def wait_for_transform_async(self, target_frame: str, source_frame: str, time: Time) -> Future:
        """A future whose result is the transform, once it is there."""
        path = (target_frame, source_frame, time)
        return self._future(lambda: self.can_transform_core(*path)[0], lambda: self.lookup_transform_core(*path))

    def wait_for_transform_full_async(self, target_frame: str, target_time: Time, source_frame: str,
                                      source_time: Time, fixed_frame: str) -> Future:
        """A future whose result is the full transform, once it is there."""
        path = (target_frame, target_time, source_frame, source_time, fixed_frame)
        return self._future(lambda: self.can_transform_full_core(*path)[0],
                            lambda: self.lookup_transform_full_core(*path))

    def _future(self, ready: Callable[[], bool], lookup: Callable[[], Any]) -> Future:
        future = Future()

        def on_new_data() -> None:
            try:
                if not future.done() and ready():
                    future.set_result(lookup())
            except Exception as error:  # for whoever awaits, not for whoever brought the data
                future.set_exception(error)

        def forget(_: Future) -> None:
            with self._callbacks_lock:
                self._new_data_callbacks.remove(on_new_data)

        with self._callbacks_lock:
            self._new_data_callbacks.append(on_new_data)
            future.add_done_callback(forget)
            on_new_data()
        return future
