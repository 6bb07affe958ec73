# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Actions that run processes, log what they write and stop them when the launch shuts down."""

import asyncio
import os
import pty
import signal
import traceback
from collections.abc import Callable, Iterable
from typing import Any, Optional, Union

from .. import logging
from ..base import Action, EventHandler, LaunchDescriptionEntity, SomeEntitiesType, SomeSubstitutionsType
from ..conditions import evaluate_condition_expression
from ..descriptions import Executable
from ..event_handlers import OnProcessExit, OnProcessStart, OnShutdown
from ..events import matches_action
from ..events.process import ProcessExited, ProcessStarted, ShutdownProcess, SignalProcess
from ..substitutions import LaunchConfiguration, PythonExpression
from ..utilities import normalize_to_list_of_substitutions, perform_substitutions
from ..utilities.type_utils import normalize_typed_substitution, perform_typed_substitution
from .flow import EmitEvent, OpaqueFunction, TimerAction

_DRAIN_SECONDS = 1.0  # a grandchild can hold the output open long after the process has ended


class _Protocol(asyncio.SubprocessProtocol):
    """Hands a process's output on, line by line, and tells when it has ended."""

    def __init__(self, write_line: Callable[[int, str], None]) -> None:
        self._write_line = write_line
        self._rest = {1: b'', 2: b''}  # by the streams still open, what is no whole line yet
        loop = asyncio.get_running_loop()
        self.exited, self.drained = loop.create_future(), loop.create_future()

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        *lines, self._rest[fd] = (self._rest[fd] + data).split(b'\n')
        for line in lines:
            self._write_line(fd, line.decode(errors='replace').rstrip('\r'))

    def pipe_connection_lost(self, fd: int, exc: Optional[Exception]) -> None:
        if self._rest.get(fd):
            self.pipe_data_received(fd, b'\n')
        self._rest.pop(fd, None)
        if not self._rest and not self.drained.done():
            self.drained.set_result(None)

    def process_exited(self) -> None:
        self.exited.set_result(None)


def _read_terminal(loop: asyncio.AbstractEventLoop, protocol: _Protocol, fd: int, master: int) -> None:
    """Hand what comes from a pseudo terminal on to the protocol, as that of the process's fd."""
    try:
        data = os.read(master, 65536)
    except OSError:  # how a terminal says that its last writer has closed it
        data = b''
    if data:
        protocol.pipe_data_received(fd, data)
    else:
        protocol.pipe_connection_lost(fd, None)
        loop.remove_reader(master)
        os.close(master)


class ExecuteLocal(Action):
    """Runs a process; timeouts (s) are from SIGINT to SIGTERM and from there to SIGKILL at shutdown."""

    def __init__(self, *, process_description: Executable, shell: bool = False,
                 sigterm_timeout: SomeSubstitutionsType = LaunchConfiguration('sigterm_timeout', default=5),
                 sigkill_timeout: SomeSubstitutionsType = LaunchConfiguration('sigkill_timeout', default=5),
                 emulate_tty: bool = False, output: Union[dict, SomeSubstitutionsType] = 'log',
                 output_format: str = '[{this.process_description.final_name}] {line}',
                 on_exit: Optional[Union[SomeEntitiesType, Callable]] = None,
                 respawn: Union[bool, SomeSubstitutionsType] = False, respawn_delay: Optional[float] = None,
                 respawn_max_retries: int = -1, **kwargs) -> None:
        super().__init__(**kwargs)
        self.process_description, self.shell, self.emulate_tty = process_description, shell, emulate_tty
        self.sigterm_timeout = normalize_to_list_of_substitutions(sigterm_timeout)
        self.sigkill_timeout = normalize_to_list_of_substitutions(sigkill_timeout)
        output = os.environ.get('OVERRIDE_LAUNCH_PROCESS_OUTPUT', output)
        self.output = output if isinstance(output, dict) else normalize_to_list_of_substitutions(output)
        self._output_format, self._on_exit = output_format, on_exit
        self._respawn = normalize_typed_substitution(respawn, bool)
        self._respawn_delay = respawn_delay
        self._respawns_left = float('inf') if respawn_max_retries < 0 else respawn_max_retries
        self.process_details: Optional[dict[str, Any]] = None
        self._transport: Optional[asyncio.SubprocessTransport] = None
        self._completed: Optional[asyncio.Future] = None
        self._shutdown: Optional[asyncio.Future] = None
        self._timers: list[TimerAction] = []

    @property
    def return_code(self) -> Optional[int]:
        return None if self._transport is None else self._transport.get_returncode()

    def get_sub_entities(self) -> list[LaunchDescriptionEntity]:
        return self._on_exit if isinstance(self._on_exit, list) else []

    def get_asyncio_future(self) -> Optional[asyncio.Future]:
        return self._completed

    def _write_line(self, fd: int, line: str) -> None:
        self._output_loggers[fd - 1].info(self._output_format.format(line=line, this=self))

    def _stop(self, context, send_sigint: bool) -> Optional[list[Action]]:
        """Stop the process, or keep it from starting again; return the timers that enforce it."""
        if self._shutdown.done():
            return None
        if self._transport is None and not self._completed.done():
            context.register_event_handler(OnProcessStart(
                target_action=self, on_start=lambda event, context: self._stop(context, send_sigint)))
            return None
        self._shutdown.set_result(None)
        if self._completed.done():
            return None
        escalations = [('SIGINT', signal.SIGTERM, self.sigterm_timeout), ('SIGTERM', signal.SIGKILL, [PythonExpression(
            ['float(', *self.sigterm_timeout, ') + float(', *self.sigkill_timeout, ')'])])]
        self._timers = [
            TimerAction(period=timeout, cancel_on_shutdown=False, actions=[
                OpaqueFunction(function=self._log_escalation, args=[sent, escalation, timeout]),
                EmitEvent(event=SignalProcess(signal_number=escalation, process_matcher=matches_action(self)))])
            for sent, escalation, timeout in escalations]
        sigint = EmitEvent(event=SignalProcess(signal_number=signal.SIGINT, process_matcher=matches_action(self)))
        return [*self._timers, *([sigint] if send_sigint else [])]

    def _log_escalation(self, context, sent: str, escalation: signal.Signals, timeout: Iterable) -> None:
        self._logger.error(
            f"process[{self.process_details['name']}] failed to terminate '{perform_substitutions(context, timeout)}' "
            f"seconds after receiving '{sent}', escalating to '{escalation.name}'")

    def _send_signal(self, context) -> None:
        event = context.locals.event
        if self.process_details is None or self._transport is None:
            raise RuntimeError('Signal event received before execution.')
        if self.return_code is None:
            self._logger.info(f"sending signal '{event.signal_name}' to process[{self.process_details['name']}]")
            try:
                self._transport.send_signal(event.signal)
            except ProcessLookupError:
                self._logger.debug(f"signal '{event.signal_name}' not sent because the process has closed already")

    async def _start(self, context) -> _Protocol:
        """Start the process; its output goes through pipes, or pseudo terminals."""
        details, loop = self.process_details, context.asyncio_loop
        emulate_tty = self.emulate_tty
        if 'emulate_tty' in context.launch_configurations:
            emulate_tty = evaluate_condition_expression(
                context, normalize_to_list_of_substitutions(context.launch_configurations['emulate_tty']))
        terminals = [pty.openpty() for _ in range(2)] if emulate_tty else []
        streams = {name: slave for name, (_, slave) in zip(('stdout', 'stderr'), terminals)}
        options = {'cwd': details['cwd'], 'env': details['env'], **streams}
        try:
            if self.shell:
                self._transport, protocol = await loop.subprocess_shell(
                    lambda: _Protocol(self._write_line), ' '.join(details['cmd']), **options)
            else:
                self._transport, protocol = await loop.subprocess_exec(
                    lambda: _Protocol(self._write_line), *details['cmd'], **options)
        except Exception:
            for master, _ in terminals:
                os.close(master)
            raise
        finally:
            for _, slave in terminals:
                os.close(slave)
        for fd, (master, _) in enumerate(terminals, start=1):
            loop.add_reader(master, _read_terminal, loop, protocol, fd, master)
        details['pid'] = self._transport.get_pid()
        self._logger.info(f"process started with pid [{details['pid']}]")
        return protocol

    async def _run(self, context) -> None:
        details = self.process_details
        command = ' '.join(part for part in details['cmd'] if part.strip())
        try:
            protocol = await self._start(context)
        except Exception:
            self._logger.error(f'exception occurred while executing process:\n{traceback.format_exc()}')
            self._clean_up()
            return
        await context.emit_event(ProcessStarted(**details))
        await protocol.exited
        await asyncio.wait([protocol.drained], timeout=_DRAIN_SECONDS)
        if self.return_code == 0:
            self._logger.info(f"process has finished cleanly [pid {details['pid']}]")
        else:
            self._logger.error(
                f"process has died [pid {details['pid']}, exit code {self.return_code}, cmd '{command}'].")
        await context.emit_event(ProcessExited(returncode=self.return_code, **details))
        if self._respawn and self._respawns_left > 0 and not context.is_shutdown and not self._shutdown.done():
            self._respawns_left -= 1
            if self._respawn_delay:
                await asyncio.wait([self._shutdown], timeout=self._respawn_delay)
            if not self._shutdown.done():
                self._transport = None
                self._task = context.asyncio_loop.create_task(self._run(context))
                return
        self._clean_up()

    def _clean_up(self) -> None:
        for timer in self._timers:
            timer.cancel()
        if self._transport is not None:
            self._transport.close()
        self._completed.set_result(None)

    def prepare(self, context) -> None:
        """Perform the substitutions."""
        description = self.process_description
        description.prepare(context, self)
        self.process_details = {
            'action': self, 'name': description.final_name, 'cmd': description.final_cmd,
            'cwd': description.final_cwd, 'env': description.final_env}
        self._respawn = perform_typed_substitution(context, self._respawn, bool)

    def execute(self, context) -> None:
        self.prepare(context)
        name = self.process_description.final_name
        if self._completed is not None:
            raise RuntimeError(f"ExecuteLocal action '{name}': executed more than once: {self.describe()}")
        if context.is_shutdown:
            return
        output = self.output if isinstance(self.output, dict) else perform_substitutions(context, self.output)
        self._output_loggers = logging.get_output_loggers(name, output)
        self._logger = logging.get_logger(name)
        self._completed, self._shutdown = (context.asyncio_loop.create_future() for _ in range(2))

        def is_for_this(event_class: type) -> Callable[[Any], bool]:
            return lambda event: isinstance(event, event_class) and event.process_matcher(self)
        for handler in (
                EventHandler(matcher=is_for_this(ShutdownProcess), entities=OpaqueFunction(
                    function=lambda context: self._stop(context, send_sigint=True))),
                EventHandler(matcher=is_for_this(SignalProcess), entities=OpaqueFunction(function=self._send_signal)),
                OnShutdown(on_shutdown=lambda event, context: self._stop(
                    context, send_sigint=not event.due_to_sigint or context.noninteractive)),
                *([] if self._on_exit is None else [OnProcessExit(target_action=self, on_exit=self._on_exit)])):
            context.register_event_handler(handler)
        self._task = context.asyncio_loop.create_task(self._run(context))


class ExecuteProcess(ExecuteLocal):
    """Runs a command."""

    def __init__(self, *, cmd: Iterable[SomeSubstitutionsType], prefix: Optional[SomeSubstitutionsType] = None,
                 name: Optional[SomeSubstitutionsType] = None, cwd: Optional[SomeSubstitutionsType] = None,
                 env: Optional[dict[SomeSubstitutionsType, SomeSubstitutionsType]] = None,
                 additional_env: Optional[dict[SomeSubstitutionsType, SomeSubstitutionsType]] = None,
                 **kwargs) -> None:
        super().__init__(process_description=Executable(
            cmd=cmd, prefix=prefix, name=name, cwd=cwd, env=env, additional_env=additional_env), **kwargs)

    def _final_or_given(self, member: str) -> Any:
        final = getattr(self.process_description, f'final_{member}')
        return getattr(self.process_description, member) if final is None else final

    name = property(lambda self: self._final_or_given('name'))
    cmd = property(lambda self: self._final_or_given('cmd'))
    cwd = property(lambda self: self._final_or_given('cwd'))
    env = property(lambda self: self._final_or_given('env'))
    additional_env = property(lambda self: self.process_description.additional_env)
