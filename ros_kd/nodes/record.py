# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Node `record`: pairs scans with images and writes them to a bag, bytes untouched (see ros_kd/bags/layout.py)."""

from __future__ import annotations

import threading
import time
from functools import partial
from pathlib import Path
from typing import Callable, Sequence

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.serialization import deserialize_message
from rclpy.task import Future
from std_msgs.msg import Bool, Empty
from std_srvs.srv import Trigger

from ros_kd.bags import BagError
from ros_kd.bags.writer import RawPair
from ros_kd.nodes.ego_motion import EgoMotion
from ros_kd.nodes.paired_stream import PairedStream
from ros_kd.nodes.record_health import recorder_status
from ros_kd.nodes.record_parameters import NEXT, declare_record
from ros_kd.nodes.recording_session import Session, check_output
from ros_kd.nodes.running import answer_refusals, explained, run_job
from ros_kd.nodes.spinning import Spinner
from ros_kd.nodes.stream_parameters import declare_stream

DRAIN = 2.0  # seconds after the end in which pairs that wait may still be completed
QUEUED = 0.2  # seconds after the end in which messages are still taken: some lie in queues
ANSWER = 20  # callbacks, at most 0.4 s, in which the answers that are due go out
PAUSED, UNTRIGGERED = 'pairs while paused', 'pairs without a trigger'


class Recorder(LifecycleNode):
    """Records while active: a new bag for each activation.

    Services ~/start and ~/stop (activate, deactivate), ~/pause and ~/resume, ~/split (a new file of the bag),
    ~/snapshot (write what is held in memory), all std_srvs/Trigger.
    """

    def __init__(self, **options) -> None:
        super().__init__('record', **options)
        answer_refusals(self)
        self._stream_parameters, self.parameters = declare_stream(self), declare_record(self)
        check_output(self.parameters.output)
        self._motion = EgoMotion(self, self._stream_parameters.fixed_frame, self._stream_parameters.base_frame,
                                 self._stream_parameters.tf_timeout)
        self._stream: PairedStream | None = None
        self._session: Session | None = None
        self.paused, self._wanted = self.parameters.paused, 0
        self.failed = self._configured = False
        self._last_report = ''
        self._diagnostics = self.create_publisher(DiagnosticArray, '/diagnostics', 10)
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(1.0, self._diagnose, clock=steady)
        self.create_timer(5.0, self._say_state, clock=steady)
        for name in ('start', 'pause', 'resume', 'split', 'snapshot'):
            self.create_service(Trigger, f'~/{name}', partial(self._serve, getattr(self, name)))
        self._stops: list[Future] = []
        self.create_service(Trigger, '~/stop', self._serve_stop, callback_group=ReentrantCallbackGroup())

    # ---- lifecycle

    @explained
    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Check that the output can be made."""
        check_output(self._next_output())
        self._configured = True
        return TransitionCallbackReturn.SUCCESS

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Nothing is held."""
        self._configured = False
        return TransitionCallbackReturn.SUCCESS

    @explained
    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Listen, pair and record."""
        self._wanted = 0
        stream = PairedStream(self, self._stream_parameters, self._motion, self)
        if self.parameters.trigger_topic:
            kind, callback = (Empty, self._want_next) if self.parameters.trigger == NEXT else (Bool, self._want_while)
            stream.listen(kind, self.parameters.trigger_topic, callback)
        self._stream = stream
        self._session = Session(self.parameters, stream, self._motion.fixed_frame, self._next_output, self.get_logger())
        return super().on_activate(state)

    @explained
    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Write the pairs that are complete, finish the bag and report. ~/stop also waits for what is on its way."""
        self._finish()
        return super().on_deactivate(state)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """As deactivation."""
        self._finish()
        return TransitionCallbackReturn.SUCCESS

    def destroy_node(self) -> None:
        """End an active recording first."""
        self._finish()
        super().destroy_node()

    def _finish(self) -> None:
        if self._stream is None:
            return
        self._stream.close()  # hands over the last pairs
        session, self._stream, self._session = self._session, None, None
        try:
            session.close()
        except BagError as error:
            self.failed = True
            self.get_logger().error(str(error))
        self._last_report = session.report()
        self.get_logger().info(self._last_report)

    def _begin(self) -> bool:
        steps = [self.trigger_activate] if self._configured else [self.trigger_configure, self.trigger_activate]
        return all(step() == TransitionCallbackReturn.SUCCESS for step in steps)

    def _next_output(self) -> Path:
        """Return the parameter output, or with _2, _3 ... once there is a bag of this run."""
        output, number = self.parameters.output, 1
        while output.exists():
            number += 1
            output = self.parameters.output.with_name(f'{self.parameters.output.name}_{number}')
        return output

    # ---- pairs, from the stream

    def take_pair(self, pair: RawPair) -> None:
        """Record a pair, unless pause, trigger or selection leave it out."""
        if self.paused:
            self._stream.tally.left_out[PAUSED] += 1
        elif self.parameters.trigger_topic and self._wanted <= 0:
            self._stream.tally.left_out[UNTRIGGERED] += 1
        elif self._session.take_pair(pair) and self.parameters.trigger == NEXT:
            self._wanted -= 1

    def take_latched(self, topic: str, raw: bytes) -> None:
        """Record what holds from now on."""
        self._session.take_latched(topic, raw)

    def take_jump(self) -> None:
        """Go on in a new bag: stamps rise within one."""
        self._session.end_bag()

    def _want_next(self, _: bytes) -> None:
        self._wanted += 1

    def _want_while(self, raw: bytes) -> None:
        self._wanted = int(deserialize_message(raw, Bool).data)

    # ---- services

    def _serve(self, action: Callable[[], str], _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        try:
            response.success, response.message = True, action()
        except (BagError, RuntimeError) as error:
            response.success, response.message = False, str(error)
        return response

    def start(self) -> str:
        """Begin a new bag."""
        if self._stream is not None:
            raise RuntimeError('recording already')
        if not self._begin():
            raise RuntimeError('could not start; the log says why')
        return f'recording to {self._next_output()}'

    async def _serve_stop(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        """Answer once `work` has let the last pairs come in, which no callback can wait for, and ended the bag."""
        if self._session is None:
            response.success, response.message = False, 'not recording'
            return response
        self._stops.append(Future())
        response.message = await self._stops[-1]
        response.success = True
        return response

    def pause(self) -> str:
        """Leave pairs out from now on."""
        self._active()
        self.paused = True
        return 'paused'

    def resume(self) -> str:
        """Take pairs again."""
        self._active()
        self.paused = False
        return 'recording'

    def split(self) -> str:
        """Begin a new file of the bag with the next pair."""
        self._active().split()
        return 'the next pair begins a new file'

    def snapshot(self) -> str:
        """Write the pairs held in memory."""
        return self._active().snapshot()

    def _active(self) -> Session:
        if self._session is None:
            raise RuntimeError('not recording: call ~/start first')
        return self._session

    # ---- what the user gets to know

    def _say_state(self) -> None:
        if self._session is not None:
            self.get_logger().info(('paused; ' if self.paused else '') + self._session.line())

    def _diagnose(self) -> None:
        message = DiagnosticArray(status=[recorder_status(self.get_fully_qualified_name(), self._stream, self._session,
                                                          self.paused)])
        message.header.stamp = self.get_clock().now().to_msg()
        self._diagnostics.publish(message)

    # ---- the run

    def work(self, spinner: Spinner, stop: threading.Event) -> int:
        """Run until `stop` is set, `max_pairs` are recorded or the disk ends it; return 1 if anything failed."""
        if self.parameters.autostart and not self._begin():
            return 1
        while not stop.is_set() and not (self._session is not None and self._session.ended()):
            spinner.spin(0.1)
            if self._stops:
                self._drain(spinner)
                if self._stream is not None:  # nobody deactivated it meanwhile
                    self.trigger_deactivate()
                self._answer_stops(spinner)
        self._drain(spinner)
        self._finish()
        self._answer_stops(spinner)
        return int(self.failed)

    def _drain(self, spinner: Spinner) -> None:
        """Take what has come so far and no more, and let pairs be completed that wait for transforms or labels."""
        deadline = time.monotonic() + QUEUED
        while self._stream is not None and time.monotonic() < deadline:
            spinner.spin(0.02)
        if self._stream is None:
            return
        self._stream.finish()
        deadline = time.monotonic() + min(self._stream_parameters.tf_timeout, DRAIN)
        while self._stream is not None and self._stream.pending and time.monotonic() < deadline:
            spinner.spin(0.02)

    def _answer_stops(self, spinner: Spinner) -> None:
        stops, self._stops = self._stops, []
        for future in stops:
            future.set_result(self._last_report)
        for _ in range(ANSWER if stops else 0):  # the node may be at its end: let the answers go out
            spinner.spin(0.02)


def main(args: Sequence[str] | None = None) -> int:
    """Run the node; the executable `record`."""
    return run_job(Recorder, 'record', args)
