# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""A Pairer as a filter of message_filters, with the interface of its synchronizers."""

from __future__ import annotations

import threading
import traceback
from collections import Counter, deque
from functools import partial
from pathlib import Path
from typing import Any, Callable, Sequence

from message_filters import SimpleFilter
from rclpy.impl.rcutils_logger import RcutilsLogger
from rclpy.logging import get_logger

from ros_kd.nodes.messages import from_time
from ros_kd.pairing import Pairer


def header_stamp(message: Any) -> int:
    """Return the stamp (ns) in a message's header."""
    return from_time(message.header.stamp)


class PairingFilter(SimpleFilter):
    """Passes on sets of one message of each input, in order, from any number of threads.

    filters: one for each topic of the pairer, in its order. stamp: the function that gives a message's stamp (ns); a
    message for which it raises has none. What raises in a callback, or in the pairer's on_drop and on_jump, is logged,
    once for each place that raises, and counted in `errors`; all others get their sets. No lock is held while they
    run, so they may feed messages back. No other filter may use the same pairer.
    """

    def __init__(self, filters: Sequence[SimpleFilter], pairer: Pairer, stamp: Callable[[Any], int] = header_stamp,
                 log: RcutilsLogger | None = None) -> None:
        super().__init__()
        if len(filters) != len(pairer.names):
            raise ValueError(f'{len(filters)} filters for the topics {list(pairer.names)}, expected one for each')
        self.pairer = pairer
        self.errors: Counter[str] = Counter()
        self._stamp = stamp
        self._log = log or get_logger('pairing')
        self._changed = threading.Condition(threading.Lock())  # guards the pairer and what follows
        self._events: deque[Callable[[], Any]] = deque()
        self._signaller: int | None = None  # the thread that passes events on
        for name in ('on_drop', 'on_jump'):
            callback = getattr(pairer, name)
            if callback is not None:
                setattr(pairer, name, partial(self._later, callback))
        self.input_connections = [source.registerCallback(self.add, topic) for topic, source in enumerate(filters)]

    def add(self, message: Any, topic: int) -> None:
        """Take a message of the input number `topic`."""
        stamp = self._guarded(self._stamp, message) or 0
        self._pass_on_all(partial(self.pairer.add, topic, stamp, message))

    def release(self) -> None:
        """A lull of all inputs: pass on what is the best if no message follows soon."""
        self._pass_on_all(self.pairer.release)

    def finish(self) -> None:
        """No more messages come: pass on what is still a candidate, and return when all is passed on."""
        self._pass_on_all(self.pairer.finish)
        with self._changed:
            if self._signaller != threading.get_ident():
                self._changed.wait_for(lambda: self._signaller is None)

    def signalMessage(self, *messages: Any) -> None:
        """Pass a set on to each callback."""
        for callback, arguments in tuple(self.callbacks.values()):
            self._guarded(callback, *messages, *arguments)

    def _pass_on_all(self, sets: Callable[[], list[tuple[Any, ...]]]) -> None:
        with self._changed:
            for messages in sets():
                self._events.append(partial(self.signalMessage, *messages))
        self._pass_on()

    def _later(self, callback: Callable[..., Any], *arguments: Any) -> None:
        self._events.append(partial(self._guarded, callback, *arguments))

    def _pass_on(self) -> None:
        """Work off the events, unless a thread is at it: this one, further up, or another one."""
        with self._changed:
            if self._signaller is not None:
                return
            self._signaller = threading.get_ident()
        while True:
            with self._changed:
                if not self._events:
                    self._signaller = None
                    self._changed.notify_all()
                    return
                event = self._events.popleft()
            try:
                event()
            except BaseException:  # an interrupt: whoever comes next goes on
                with self._changed:
                    self._signaller = None
                    self._changed.notify_all()
                raise

    def _guarded(self, function: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return function(*arguments)
        except Exception as error:  # whatever a callback raises must not stop the pairing
            place = traceback.extract_tb(error.__traceback__)[-1]
            kind = f'{type(error).__name__} in {Path(place.filename).name}:{place.lineno}'
            self.errors[kind] += 1
            if self.errors[kind] == 1:
                self._log.error(f'pairing goes on after an error (said once for {kind}):\n'
                                + ''.join(traceback.format_exception(error)))
            return None
