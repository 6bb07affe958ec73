# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""A process that measures for another one: casting rays keeps one interpreter busy, threads do not help."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from typing import Any

from ros_kd.frames import Scan
from ros_kd.world.camera import Exposure
from ros_kd.world.rig import Rig
from ros_kd.world.simulation import Simulation


class Worker:
    """Simulation(seed, rig) in a process of its own, which ends when this object is closed or its process ends.

    Not to be asked by two threads at once.
    """

    def __init__(self, seed: int, rig: Rig) -> None:
        # The child finds what this process finds, however it was started.
        environment = {**os.environ, 'PYTHONPATH': os.pathsep.join(path for path in sys.path if path)}
        self._process = subprocess.Popen([sys.executable, '-c', 'from ros_kd.world.worker import serve; serve()'],
                                         stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
        self._send((seed, rig))

    def scan(self, stamp: int) -> Scan:
        """Return Simulation.scan."""
        return self._ask('scan', stamp)

    def expose(self, name: str, stamp: int) -> Exposure:
        """Return Simulation.expose."""
        return self._ask('expose', name, stamp)

    def close(self) -> None:
        """End the process."""
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()

    def _send(self, value: Any) -> None:
        pickle.dump(value, self._process.stdin, pickle.HIGHEST_PROTOCOL)
        self._process.stdin.flush()

    def _ask(self, *question: Any) -> Any:
        """Raises what the other process raised, or RuntimeError if it is gone."""
        try:
            self._send(question)
            answer = pickle.load(self._process.stdout)
        except (EOFError, BrokenPipeError):
            status = self._process.wait()
            raise RuntimeError(f'the process asked for {question} has ended with status {status}') from None
        if isinstance(answer, Exception):
            raise answer
        return answer


def serve() -> None:
    """Answer questions from standard input on standard output until the former ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever asks decides when to stop
    answers = os.fdopen(os.dup(1), 'wb')
    os.dup2(2, 1)  # a stray print must not end up between answers
    simulation = Simulation(*pickle.load(sys.stdin.buffer))
    while True:
        try:
            method, *values = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        try:
            answer = getattr(simulation, method)(*values)
        except Exception as error:  # raised where the question came from
            answer = error
        try:
            pickle.dump(answer, answers, pickle.HIGHEST_PROTOCOL)
            answers.flush()
        except BrokenPipeError:
            return
