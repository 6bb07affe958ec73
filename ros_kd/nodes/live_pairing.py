# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""The pairing of a stream's inputs, of those that speak: a camera that falls silent must not end a recording."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import Callable

from message_filters import SimpleFilter
from rclpy.impl.rcutils_logger import RcutilsLogger

from ros_kd.nodes.approximate_time import PairingFilter
from ros_kd.nodes.running import OFF
from ros_kd.nodes.stream_inputs import SCANS, Input, RawMessage
from ros_kd.nodes.stream_parameters import StreamParameters
from ros_kd.pairing import LEARN, Pairer, Reason

OnSet = Callable[[RawMessage, dict[str, RawMessage]], None]


class LivePairing:
    """Calls `on_set` with a scan and the images by camera that belong together, and `on_jump` when time jumps back.

    inputs: the scans first, then the cameras. A camera for which `Input.silent` is set takes no part.
    """

    def __init__(self, inputs: list[Input], parameters: StreamParameters, on_set: OnSet, on_jump: Callable[[], None],
                 log: RcutilsLogger) -> None:
        self._inputs, self._parameters, self._log = inputs, parameters, log
        self._on_set, self._on_jump = on_set, on_jump
        self._before: Counter[tuple[str, Reason]] = Counter()
        self._last_scan = 0
        self._rest: list[tuple[str, RawMessage]] | None = None
        self._check_names()
        self._begin([source.name for source in inputs])

    def add(self, source: Input, message: RawMessage) -> None:
        """Take a message of an input."""
        self._sources[source.name].signalMessage(message)

    def update(self) -> None:
        """Look again which cameras speak; what waits for its partners is paired among those."""
        scans, *cameras = self._inputs
        names = [SCANS, *(source.name for source in cameras if not source.silent)]
        if scans.silent or len(names) == 1 or names == list(self._filter.pairer.names):
            return
        self._log.warning(f'pairing goes on with {names[1:]}')
        self._rest = []
        self._filter.finish()
        rest, self._rest = self._rest, None
        self._before = self.dropped
        self._begin(names)
        for name, message in sorted(rest, key=lambda item: item[1].stamp):
            if name in names and message.stamp > self._last_scan:  # sets must come in order
                self._before[name, Reason.NO_PARTNER] -= 1
                self._sources[name].signalMessage(message)

    def release(self) -> None:
        """A lull: pass on what is the best if no message follows soon."""
        self._filter.release()

    def finish(self) -> None:
        """No more messages come: pass on what is still a candidate, drop the rest."""
        self._filter.finish()

    @property
    def dropped(self) -> Counter[tuple[str, Reason]]:
        """Messages that no set used, by input and reason."""
        return self._before + self._filter.pairer.dropped

    def _begin(self, names: list[str]) -> None:
        self._sources = {source.name: SimpleFilter() for source in self._inputs}
        self._filter = PairingFilter([self._sources[name] for name in names], self._make_pairer(names),
                                     stamp=lambda message: message.stamp, log=self._log)
        self._filter.registerCallback(partial(self._pass_on, names[1:]))

    def _keep_rest(self, names: list[str], topic: int, message: RawMessage, reason: Reason) -> None:
        if self._rest is not None and reason == Reason.NO_PARTNER:
            self._rest.append((names[topic], message))

    def _pass_on(self, cameras: list[str], scan: RawMessage, *images: RawMessage) -> None:
        if scan.stamp <= self._last_scan:  # a jump that came while a camera was silent
            self._jump()
        self._last_scan = scan.stamp
        self._on_set(scan, dict(zip(cameras, images)))

    def _jump(self, *_: object) -> None:
        self._last_scan = 0
        self._on_jump()

    def _make_pairer(self, names: list[str]) -> Pairer:
        parameters = self._parameters
        bounds: dict[str, int] | str | None = None if parameters.bounds == OFF else LEARN
        if isinstance(parameters.bounds, dict):
            bounds = {SCANS if name == 'points' else name: round(value * 1e9)
                      for name, value in parameters.bounds.items() if name in ('points', *names)}
        offsets = {name: round(value * 1e9) for name, value in parameters.offsets.items() if name in names}
        return Pairer(names, queue_size=parameters.queue, max_interval=round(parameters.slop * 1e9),
                      age_penalty=parameters.age_penalty, exact=parameters.policy == 'exact', offsets=offsets,
                      bounds=bounds, on_drop=partial(self._keep_rest, names), on_jump=self._jump)

    def _check_names(self) -> None:
        cameras = [source.name for source in self._inputs[1:]]
        bounds = self._parameters.bounds if isinstance(self._parameters.bounds, dict) else {}
        for what, values, known in (('time_offsets', self._parameters.offsets, cameras),
                                    ('rate_bounds', bounds, ['points', *cameras])):
            if unknown := sorted(set(values) - set(known)):
                self._log.error(f'parameter {what} names {unknown}, expected some of {known}: ignored')
