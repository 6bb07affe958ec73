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
import tf2_py as tf2

POLL_PERIOD_S = 0.02


class Buffer(tf2.BufferCore):
    """Stores transforms for cache_time (10 s); with a node, it forgets them when that node's time jumps back."""

    def __init__(self, cache_time: Optional[Duration] = None, node: Optional[Node] = None) -> None:
        super().__init__(cache_time)
        self._new_data_callbacks: List[Callable[[], None]] = []
        self._callbacks_lock = threading.RLock()
        self.clock = Clock() if node is None else node.get_clock()
        threshold = JumpThreshold(min_forward=None, min_backward=Duration(seconds=-1), on_clock_change=True)
        self.jump_handle = self.clock.create_jump_callback(threshold, post_callback=self.time_jump_callback)

    def time_jump_callback(self, time_jump: TimeJump) -> None:
        """Forget transforms that lie in the future once time has jumped back."""
        get_logger('tf2_buffer').warning('Detected jump back in time. Clearing tf buffer.')
        self.clear()

    def _insert(self, *args: Any) -> None:
        super()._insert(*args)
        with self._callbacks_lock:
            for callback in tuple(self._new_data_callbacks):  # a callback may remove itself
                callback()

    def lookup_transform(self, target_frame: str, source_frame: str, time: Time,
                         timeout: Duration = Duration()) -> TransformStamped:
        """The transform source -> target at a time (0: newest common), waiting up to timeout for it."""
        if timeout.nanoseconds:
            self.can_transform(target_frame, source_frame, time, timeout)
        return self.lookup_transform_core(target_frame, source_frame, time)

    def lookup_transform_full(self, target_frame: str, target_time: Time, source_frame: str, source_time: Time,
                              fixed_frame: str, timeout: Duration = Duration()) -> TransformStamped:
        """The transform from source at source_time to target at target_time, through fixed_frame."""
        path = (target_frame, target_time, source_frame, source_time, fixed_frame)
        if timeout.nanoseconds:
            self.can_transform_full(*path, timeout)
        return self.lookup_transform_full_core(*path)

    async def lookup_transform_async(self, target_frame: str, source_frame: str, time: Time) -> TransformStamped:
        """As lookup_transform, suspending the coroutine until the transform is there."""
        return await self.wait_for_transform_async(target_frame, source_frame, time)

    async def lookup_transform_full_async(self, target_frame: str, target_time: Time, source_frame: str,
                                          source_time: Time, fixed_frame: str) -> TransformStamped:
        """As lookup_transform_full, suspending the coroutine until the transform is there."""
        return await self.wait_for_transform_full_async(
            target_frame, target_time, source_frame, source_time, fixed_frame)

    def can_transform(self, target_frame: str, source_frame: str, time: Time, timeout: Duration = Duration(),
                      return_debug_tuple: bool = False) -> Union[bool, Tuple[bool, str]]:
        """Whether the transform is there within timeout; with return_debug_tuple also why not."""
        found = self._wait(timeout, lambda: self.can_transform_core(target_frame, source_frame, time))
        return found if return_debug_tuple else found[0]

    def can_transform_full(self, target_frame: str, target_time: Time, source_frame: str, source_time: Time,
                           fixed_frame: str, timeout: Duration = Duration(),
                           return_debug_tuple: bool = False) -> Union[bool, Tuple[bool, str]]:
        """Whether the full transform is there within timeout; with return_debug_tuple also why not."""
        found = self._wait(timeout, lambda: self.can_transform_full_core(
            target_frame, target_time, source_frame, source_time, fixed_frame))
        return found if return_debug_tuple else found[0]

    @staticmethod
    def _wait(timeout: Duration, can: Callable[[], Tuple[bool, str]]) -> Tuple[bool, str]:
        # The steady clock, not the node's: with use_sim_time a paused /clock would wait for ever.
        end, found = wall.monotonic() + timeout.nanoseconds / 1e9, can()
        while not found[0] and wall.monotonic() < end:
            wall.sleep(POLL_PERIOD_S)
            found = can()
        return found

    def wait_for_transform_async(self, target_frame: str, source_frame: str, time: Time) -> Future:
        """A future whose result is the transform, once it is there."""
        return self._future(self.can_transform_core, self.lookup_transform_core, target_frame, source_frame, time)

    def wait_for_transform_full_async(self, target_frame: str, target_time: Time, source_frame: str,
                                      source_time: Time, fixed_frame: str) -> Future:
        """A future whose result is the full transform, once it is there."""
        return self._future(self.can_transform_full_core, self.lookup_transform_full_core,
                            target_frame, target_time, source_frame, source_time, fixed_frame)

    def _future(self, can: Callable, lookup: Callable, *path: Any) -> Future:
        future = Future()

        def on_new_data() -> None:
            try:
                if not future.done() and can(*path)[0]:
                    future.set_result(lookup(*path))
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
