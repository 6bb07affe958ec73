# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Spinning for nodes that must not end because a callback did."""

from __future__ import annotations

import traceback
from pathlib import Path

from rclpy.executors import Executor
from rclpy.impl.rcutils_logger import RcutilsLogger


class Spinner:
    """Runs an executor's callbacks; what one raises is logged, once for each place that raises.

    rclpy itself raises in callbacks, too: for a lifecycle transition that the state does not have, and on Humble for
    what was destroyed with a message waiting.
    """

    def __init__(self, executor: Executor, log: RcutilsLogger) -> None:
        self._executor, self._log = executor, log
        self._said: set[str] = set()

    def spin(self, seconds: float) -> None:
        """Run the next callback, waiting for it at most `seconds`. Raises only once the context has ended."""
        try:
            self._executor.spin_once(timeout_sec=seconds)
        except Exception as error:
            if not self._executor.context.ok():
                raise
            self._say(error)

    def _say(self, error: Exception) -> None:
        place = traceback.extract_tb(error.__traceback__)[-1]
        kind = f'{type(error).__name__} in {Path(place.filename).name}:{place.lineno}'
        if kind not in self._said:
            self._said.add(kind)
            self._log.error(f'the node goes on after an error (said once for {kind}):\n'
                            + ''.join(traceback.format_exception(error)))
