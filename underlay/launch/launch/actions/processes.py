# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""The action that runs a process, logs what it writes and stops it when the launch shuts down."""

import asyncio
import itertools
import os
import re
import shlex
import signal
import traceback
from collections.abc import Callable, Iterable
from typing import Any, Optional, Union

from .. import logging
from ..base import Action, LaunchDescriptionEntity, normalize_to_list_of_substitutions, perform_substitutions
from ..base import SomeEntitiesType, Text
from ..events import OnProcessExit, OnShutdown, ProcessExited, ProcessStarted, Shutdown
from ..substitutions import is_true, LaunchConfiguration, text_of_bool

Environment = Optional[dict[Text, Text]]
_PREFIX = LaunchConfiguration('launch-prefix', default='')
_PREFIX_FILTER = LaunchConfiguration('launch-prefix-filter', default='')
_DRAIN_SECONDS = 1.0  # a grandchild can hold the output open long after the process has ended
_counter = itertools.count(1)


class _Protocol(asyncio.SubprocessProtocol):
    """Logs a process's output, line by line, and tells when it has ended."""

    def __init__(self, name: str, output: Union[dict, str]) -> None:
        self._name, self._loggers = name, logging.get_output_loggers(name, output)
        self._rest = {1: b'', 2: b''}  # by file descriptor, what is no whole line yet
        loop = asyncio.get_running_loop()
        self.exited, self.closed = loop.create_future(), loop.create_future()

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        *lines, self._rest[fd] = (self._rest[fd] + data).split(b'\n')
        for line in lines:
            self._loggers[fd - 1].info('[%s] %s', self._name, line.decode(errors='replace').rstrip('\r'))

    def process_exited(self) -> None:
        self.exited.set_result(None)

    def connection_lost(self, exc: Optional[Exception]) -> None:
        for fd in [fd for fd, rest in self._rest.items() if rest]:
            self.pipe_data_received(fd, b'\n')
        self.closed.set_result(None)


class ExecuteProcess(Action):
    """Runs a command; timeouts (s) are from SIGINT to SIGTERM and from there to SIGKILL at shutdown."""

    def __init__(self, *, cmd: Iterable[Text], prefix: Optional[Text] = None, name: Optional[Text] = None,
                 cwd: Optional[Text] = None, env: Environment = None, additional_env: Environment = None,
                 shell: bool = False, sigterm_timeout: Text = LaunchConfiguration('sigterm_timeout', default=5),
                 sigkill_timeout: Text = LaunchConfiguration('sigkill_timeout', default=5),
                 output: Union[dict, Text] = 'log', on_exit: Optional[Union[SomeEntitiesType, Callable]] = None,
                 respawn: Union[bool, Text] = False, respawn_delay: Optional[float] = None,
                 respawn_max_retries: int = -1, **kwargs) -> None:
        super().__init__(**kwargs)
        self.cmd = [normalize_to_list_of_substitutions(x) for x in cmd]
        self._texts = {'name': name, 'cwd': cwd, 'prefix': prefix, 'sigterm_timeout': sigterm_timeout,
                       'sigkill_timeout': sigkill_timeout, 'respawn': text_of_bool(respawn)}
        self._env, self._additional_env, self.shell = env, additional_env or {}, shell
        self.output = os.environ.get('OVERRIDE_LAUNCH_PROCESS_OUTPUT', output)
        self._on_exit, self._respawn_delay = on_exit, respawn_delay
        self._respawns_left = float('inf') if respawn_max_retries < 0 else respawn_max_retries
        self.process_details: Optional[dict[str, Any]] = None
        self._transport: Optional[asyncio.SubprocessTransport] = None
        self._task: Optional[asyncio.Task] = None

    @property
    def return_code(self) -> Optional[int]:
        return None if self._transport is None else self._transport.get_returncode()

    def get_sub_entities(self) -> list[LaunchDescriptionEntity]:
        return self._on_exit if isinstance(self._on_exit, list) else []

    def get_asyncio_future(self) -> Optional[asyncio.Future]:
        return self._task

    def prepare(self, context) -> None:
        """Perform the substitutions."""
        def perform(text: Text) -> str:
            return perform_substitutions(context, normalize_to_list_of_substitutions(text))
        given = {key: None if text is None else perform(text) for key, text in self._texts.items()}
        cmd = [perform(part) for part in self.cmd]
        if given['prefix'] is None and re.match(perform(_PREFIX_FILTER), os.path.basename(cmd[0])):
            given['prefix'] = perform(_PREFIX)
        cmd = shlex.split(given['prefix'] or '') + cmd
        env = {**(dict(context.environment) if self._env is None else self._env), **self._additional_env}
        self.process_details = {
            'action': self, 'name': f"{given['name'] or os.path.basename(cmd[0])}-{next(_counter)}", 'cmd': cmd,
            'cwd': given['cwd'], 'env': {perform(key): perform(value) for key, value in env.items()}}
        self._timeouts = [float(given['sigterm_timeout']), float(given['sigkill_timeout'])]
        self._respawn = is_true(given['respawn'])
        self._output = self.output if isinstance(self.output, dict) else perform(self.output)

    def execute(self, context) -> None:
        if self._task is not None:
            raise RuntimeError(f'{self.describe()} is executed more than once')
        self.prepare(context)
        if context.is_shutdown:
            return
        self._logger = logging.get_logger(self.process_details['name'])
        self._shutdown = context.asyncio_loop.create_future()  # its result: whether to send SIGINT
        context.register_event_handler(OnShutdown(on_shutdown=self._on_shutdown))
        if self._on_exit is not None:
            context.register_event_handler(OnProcessExit(target_action=self, on_exit=self._on_exit))
        self._task = context.asyncio_loop.create_task(self._run(context))

    def _on_shutdown(self, event: Shutdown, context) -> None:
        if not self._shutdown.done():
            self._shutdown.set_result(not event.due_to_sigint or context.noninteractive)

    async def _run(self, context) -> None:
        """Run the process, and again as long as it shall respawn."""
        details = self.process_details
        while not self._shutdown.done():
            try:
                protocol = await self._start(context.asyncio_loop)
            except Exception:
                self._logger.error(f'exception occurred while executing process:\n{traceback.format_exc()}')
                return
            details['pid'] = pid = self._transport.get_pid()
            self._logger.info(f'process started with pid [{pid}]')
            context.emit_event_sync(ProcessStarted(**details))
            await self._until(protocol.exited)
            await asyncio.wait([protocol.closed], timeout=_DRAIN_SECONDS)
            self._transport.close()
            if self.return_code == 0:
                self._logger.info(f'process has finished cleanly [pid {pid}]')
            else:
                command = ' '.join(part for part in details['cmd'] if part.strip())
                self._logger.error(f"process has died [pid {pid}, exit code {self.return_code}, cmd '{command}'].")
            context.emit_event_sync(ProcessExited(returncode=self.return_code, **details))
            if not self._respawn or self._respawns_left <= 0 or context.is_shutdown:
                return
            self._respawns_left -= 1
            await asyncio.wait([self._shutdown], timeout=self._respawn_delay or 0)

    async def _start(self, loop: asyncio.AbstractEventLoop) -> _Protocol:
        details, start = self.process_details, loop.subprocess_shell if self.shell else loop.subprocess_exec
        self._transport, protocol = await start(
            lambda: _Protocol(details['name'], self._output),
            *([' '.join(details['cmd'])] if self.shell else details['cmd']), cwd=details['cwd'], env=details['env'])
        return protocol

    async def _until(self, exited: asyncio.Future) -> None:
        """Wait for the end of the process; at shutdown interrupt, then terminate, then kill it."""
        await asyncio.wait([exited, self._shutdown], return_when=asyncio.FIRST_COMPLETED)
        if not exited.done() and self._shutdown.result():
            self._send_signal(signal.SIGINT)
        for timeout, sent, escalation in zip(self._timeouts, ('SIGINT', 'SIGTERM'), (signal.SIGTERM, signal.SIGKILL)):
            await asyncio.wait([exited], timeout=timeout)
            if not exited.done():
                self._logger.error(f"process[{self.process_details['name']}] failed to terminate '{timeout:g}' seconds "
                                   f"after receiving '{sent}', escalating to '{escalation.name}'")
                self._send_signal(escalation)
        await exited

    def _send_signal(self, signum: signal.Signals) -> None:
        self._logger.info(f"sending signal '{signum.name}' to process[{self.process_details['name']}]")
        try:
            self._transport.send_signal(signum)
        except ProcessLookupError:
            self._logger.debug(f"signal '{signum.name}' not sent because the process has closed already")
