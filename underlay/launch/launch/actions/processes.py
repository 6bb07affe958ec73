# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Actions that run processes, log what they write and stop them when the launch shuts down."""

import asyncio
import itertools
import logging as std_logging
import os
import pty
import re
import shlex
import signal
import traceback
from collections.abc import Callable, Iterable
from typing import Any, Optional, Union

from .. import logging
from ..base import Action, LaunchDescriptionEntity, SomeEntitiesType, SomeSubstitutionsType as Text
from ..conditions import is_true
from ..event_handlers import OnProcessExit, OnShutdown
from ..events import ProcessExited, ProcessStarted, Shutdown
from ..substitutions import LaunchConfiguration
from ..utilities import normalize_to_list_of_substitutions, perform_substitutions

Environment = Optional[dict[Text, Text]]
_PREFIX = LaunchConfiguration('launch-prefix', default='')
_PREFIX_FILTER = LaunchConfiguration('launch-prefix-filter', default='')
_counter = itertools.count(1)
_DRAIN_SECONDS = 1.0  # a grandchild can hold the output open long after the process has ended


class _Lines(asyncio.Protocol):
    """Logs what comes out of a pipe or terminal, line by line."""

    def __init__(self, logger: std_logging.Logger, name: str) -> None:
        self._logger, self._name, self._rest = logger, name, b''
        self.closed = asyncio.get_running_loop().create_future()

    def data_received(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b'\n')
        for line in lines:
            self._logger.info('[%s] %s', self._name, line.decode(errors='replace').rstrip('\r'))

    def connection_lost(self, exc: Optional[Exception]) -> None:
        if self._rest:
            self.data_received(b'\n')
        self.closed.set_result(None)


class ExecuteProcess(Action):
    """Runs a command; timeouts (s) are from SIGINT to SIGTERM and from there to SIGKILL at shutdown."""

    def __init__(self, *, cmd: Iterable[Text], prefix: Optional[Text] = None, name: Optional[Text] = None,
                 cwd: Optional[Text] = None, env: Environment = None, additional_env: Environment = None,
                 shell: bool = False, sigterm_timeout: Text = LaunchConfiguration('sigterm_timeout', default=5),
                 sigkill_timeout: Text = LaunchConfiguration('sigkill_timeout', default=5), emulate_tty: bool = False,
                 output: Union[dict, Text] = 'log', on_exit: Optional[Union[SomeEntitiesType, Callable]] = None,
                 respawn: Union[bool, Text] = False, respawn_delay: Optional[float] = None,
                 respawn_max_retries: int = -1, **kwargs) -> None:
        super().__init__(**kwargs)
        self.cmd = [normalize_to_list_of_substitutions(x) for x in cmd]
        self._texts = {'name': name, 'cwd': cwd, 'prefix': prefix, 'respawn': str(respawn) if isinstance(
            respawn, bool) else respawn, 'sigterm_timeout': sigterm_timeout, 'sigkill_timeout': sigkill_timeout}
        self._env, self._additional_env = env, additional_env or {}
        self.shell, self.emulate_tty = shell, emulate_tty
        self.output = os.environ.get('OVERRIDE_LAUNCH_PROCESS_OUTPUT', output)
        self._on_exit, self._respawn_delay = on_exit, respawn_delay
        self._respawns_left = float('inf') if respawn_max_retries < 0 else respawn_max_retries
        self.process_details: Optional[dict[str, Any]] = None
        self._process: Optional[asyncio.subprocess.Process] = None
        self._task: Optional[asyncio.Task] = None

    @property
    def return_code(self) -> Optional[int]:
        return None if self._process is None else self._process.returncode

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
        if 'emulate_tty' in context.launch_configurations:
            self.emulate_tty = is_true(context.launch_configurations['emulate_tty'])
        self._output = self.output if isinstance(self.output, dict) else perform(self.output)

    def execute(self, context) -> None:
        if self._task is not None:
            raise RuntimeError(f'{self.describe()} is executed more than once')
        self.prepare(context)
        if context.is_shutdown:
            return
        name = self.process_details['name']
        self._logger, self._output_loggers = logging.get_logger(name), logging.get_output_loggers(name, self._output)
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
        while not self._shutdown.done():
            try:
                await self._start()
            except Exception:
                self._logger.error(f'exception occurred while executing process:\n{traceback.format_exc()}')
                return
            self.process_details['pid'] = pid = self._process.pid
            self._logger.info(f'process started with pid [{pid}]')
            context.emit_event_sync(ProcessStarted(**self.process_details))
            outputs = [await context.asyncio_loop.connect_read_pipe(
                lambda: _Lines(logger, self.process_details['name']), reader)
                for reader, logger in zip(self._readers, self._output_loggers)]
            await self._until_exit()
            await asyncio.wait([lines.closed for _, lines in outputs], timeout=_DRAIN_SECONDS)
            for stream in (self._stdin, *(transport for transport, _ in outputs)):
                stream.close()
            if self.return_code == 0:
                self._logger.info(f'process has finished cleanly [pid {pid}]')
            else:
                command = ' '.join(part for part in self.process_details['cmd'] if part.strip())
                self._logger.error(f"process has died [pid {pid}, exit code {self.return_code}, cmd '{command}'].")
            context.emit_event_sync(ProcessExited(returncode=self.return_code, **self.process_details))
            if not self._respawn or self._respawns_left <= 0 or context.is_shutdown:
                return
            self._respawns_left -= 1
            await asyncio.wait([self._shutdown], timeout=self._respawn_delay or 0)

    async def _start(self) -> None:
        """Start the process with its output in pipes, or pseudo terminals."""
        (stdin, writer), *pairs = [os.pipe(), *(pty.openpty() if self.emulate_tty else os.pipe() for _ in range(2))]
        self._stdin = open(writer, 'wb')  # nothing is written, but the process' input does not end either
        self._readers = [open(reader, 'rb', buffering=0) for reader, _ in pairs]
        start, cmd = asyncio.create_subprocess_exec, self.process_details['cmd']
        if self.shell:
            start, cmd = asyncio.create_subprocess_shell, [' '.join(cmd)]
        try:
            self._process = await start(*cmd, stdin=stdin, stdout=pairs[0][1], stderr=pairs[1][1],
                                        cwd=self.process_details['cwd'], env=self.process_details['env'])
        except Exception:
            for stream in (self._stdin, *self._readers):
                stream.close()
            raise
        finally:
            for end in (stdin, pairs[0][1], pairs[1][1]):
                os.close(end)

    async def _until_exit(self) -> None:
        """Wait for the end of the process; at shutdown interrupt, then terminate, then kill it."""
        exited = asyncio.ensure_future(self._process.wait())
        await asyncio.wait([exited, self._shutdown], return_when=asyncio.FIRST_COMPLETED)
        if not exited.done() and self._shutdown.result():
            self._send_signal(signal.SIGINT)
        for timeout, sent, next_signal in zip(self._timeouts, ('SIGINT', 'SIGTERM'), (signal.SIGTERM, signal.SIGKILL)):
            await asyncio.wait([exited], timeout=timeout)
            if not exited.done():
                self._logger.error(
                    f"process[{self.process_details['name']}] failed to terminate '{timeout:g}' seconds after receiving "
                    f"'{sent}', escalating to '{next_signal.name}'")
                self._send_signal(next_signal)
        await exited

    def _send_signal(self, signum: signal.Signals) -> None:
        self._logger.info(f"sending signal '{signum.name}' to process[{self.process_details['name']}]")
        try:
            self._process.send_signal(signum)
        except ProcessLookupError:
            self._logger.debug(f"signal '{signum.name}' not sent because the process has closed already")
