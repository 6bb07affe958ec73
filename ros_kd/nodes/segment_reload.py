# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""The service that loads another checkpoint while clouds go on being labelled."""

from __future__ import annotations

import time
import traceback
from threading import Thread
from typing import Callable, Generator

from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.node import Node
from std_srvs.srv import Trigger

from ros_kd.nodes.segment_model import Model

PAUSE = 0.005  # seconds between two looks; callbacks run in between


class Reload:
    """Service ~/reload (std_srvs/Trigger).

    load: returns the model of the checkpoint that is named now; runs in a thread. take: takes it into use, or raises
    ValueError if it cannot be used (any more); runs in the executor. Calls are answered one after another.
    """

    def __init__(self, node: Node, load: Callable[[], Model], take: Callable[[Model], None]) -> None:
        self._node, self._load, self._take = node, load, take
        self._thread: Thread | None = None
        self._result: Model | Exception | None = None
        node.create_service(Trigger, '~/reload', self._serve, callback_group=MutuallyExclusiveCallbackGroup())

    async def _serve(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self._thread = Thread(target=self._run, name='reload', daemon=True)
        self._thread.start()
        while self._thread.is_alive():
            time.sleep(PAUSE)  # rclpy comes back at once, whatever a coroutine waits for
            await _Turn()
        response.success, response.message = self._finish()
        if response.success:
            self._node.get_logger().info(f'reload: {response.message}')
        else:
            self._node.get_logger().error(f'reload: {response.message}')
        return response

    def _run(self) -> None:
        try:
            self._result = self._load()
        except Exception as error:  # a missing file or module, and what a broken one may raise
            self._result = error

    def _finish(self) -> tuple[bool, str]:
        result, self._result = self._result, None
        try:
            if isinstance(result, Exception):
                raise result
            self._take(result)
            return True, result.line()
        except (ValueError, OSError, ImportError) as error:
            return False, f'{error}; nothing has changed'
        except Exception as error:
            self._node.get_logger().error(traceback.format_exc())
            return False, f'{type(error).__name__}: {error}; nothing has changed'

    def close(self) -> None:
        """Return once no checkpoint is being loaded."""
        if self._thread is not None:
            self._thread.join()


class _Turn:
    """What a coroutine awaits to let other callbacks run."""

    def __await__(self) -> Generator[None, None, None]:
        yield
