# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""The event loop that runs a launch."""

import asyncio
import contextlib
import signal
import threading
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Optional

from . import logging
from .base import Event, LaunchDescriptionEntity
from .event_handlers import OnIncludeLaunchDescription, OnShutdown
from .events import IncludeLaunchDescription, Shutdown
from .launch_context import LaunchContext
from .launch_description import LaunchDescription
from .utilities import EntityFuturePairs, visit_all_entities_and_collect_futures


def _get_loop() -> asyncio.AbstractEventLoop:
    """Return this thread's event loop, made if there is none."""
    with contextlib.suppress(RuntimeError), warnings.catch_warnings():
        warnings.simplefilter('ignore', DeprecationWarning)
        loop = asyncio.get_event_loop()
        if not loop.is_closed():
            return loop
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    return loop


class LaunchService:
    """Visits launch descriptions, handles their events and waits for what they started."""

    def __init__(self, *, argv: Optional[Iterable[str]] = None, noninteractive: bool = False,
                 debug: bool = False) -> None:
        """noninteractive: no terminal gives the children its Ctrl-C, so they are sent SIGINT."""
        logging.launch_config.level = 'DEBUG' if debug else 'INFO'
        self._logger = logging.get_logger('launch')
        self.__context = LaunchContext(argv=argv, noninteractive=noninteractive)
        self.__context.register_event_handler(OnIncludeLaunchDescription())
        self.__context.register_event_handler(OnShutdown(on_shutdown=self._on_shutdown))
        self._entity_future_pairs: EntityFuturePairs = []
        self._loop_lock = threading.RLock()
        self._loop: Optional[asyncio.AbstractEventLoop] = None
        self.task: Optional[asyncio.Task] = None
        self._is_shutting_down = False
        self._return_code = 0

    @property
    def context(self) -> LaunchContext:
        return self.__context

    @property
    def event_loop(self) -> Optional[asyncio.AbstractEventLoop]:
        return self._loop

    def _on_shutdown(self, event: Event, context: LaunchContext) -> None:
        self._is_shutting_down = True
        context._set_is_shutdown(True)

    def _in_loop(self, function: Callable, *args) -> None:
        """Call it in the running loop's thread, now where this is that thread; without a loop now too."""
        with self._loop_lock:
            try:
                is_elsewhere = self._loop is not None and asyncio.get_running_loop() is not self._loop
            except RuntimeError:  # no loop runs in this thread
                is_elsewhere = self._loop is not None
            if is_elsewhere:
                self._loop.call_soon_threadsafe(function, *args)
            else:
                function(*args)

    def emit_event(self, event: Event) -> None:
        """Queue the event, from any thread; before run() it waits for it."""
        self._in_loop(self.__context.emit_event_sync, event)

    def include_launch_description(self, launch_description: LaunchDescription) -> None:
        self.emit_event(IncludeLaunchDescription(launch_description))

    def shutdown(self, force_sync: bool = False) -> None:
        """Stop what runs and end run(), from any thread; nothing unless it runs."""
        if self._loop is not None:
            self._in_loop(self._shutdown, 'LaunchService.shutdown() called')

    def _shutdown(self, reason: str, due_to_sigint: bool = False) -> None:
        if not self._is_shutting_down:
            self.__context.emit_event_sync(Shutdown(reason=reason, due_to_sigint=due_to_sigint))
        self._is_shutting_down = True
        self.__context._set_is_shutdown(True)

    @contextlib.contextmanager
    def _prepared_loop(self) -> Iterator[asyncio.AbstractEventLoop]:
        """Take the running loop and its signals, and move the queued events there."""
        loop = asyncio.get_running_loop()
        queue: asyncio.Queue = asyncio.Queue()
        with self._loop_lock:
            if self._loop is not None:
                raise RuntimeError('LaunchService cannot be run multiple times concurrently.')
            while not self.__context._event_queue.empty():
                queue.put_nowait(self.__context._event_queue.get_nowait())
            self.__context._event_queue = queue
            self.__context._set_asyncio_loop(loop)
            self._loop, self.task = loop, asyncio.current_task()
        self._sigints, self._return_code = 0, 0
        handlers = {signal.SIGINT: self._on_sigint, signal.SIGTERM: self._on_sigterm, signal.SIGQUIT: self._on_sigquit}
        previous = {signum: signal.getsignal(signum) for signum in handlers}
        for signum, handler in handlers.items():
            loop.add_signal_handler(signum, handler)
        loop.set_exception_handler(self._on_exception)
        try:
            yield loop
        finally:
            for signum, handler in previous.items():
                loop.remove_signal_handler(signum)
                if handler is not None:  # None: not installed from Python
                    signal.signal(signum, handler)
            loop.set_exception_handler(None)
            with self._loop_lock:
                self.__context._set_asyncio_loop(None)
                self._loop, self.task, self._is_shutting_down = None, None, False

    def _on_exception(self, loop: asyncio.AbstractEventLoop, exception_context: dict) -> None:
        self._return_code = 1
        loop.default_exception_handler(exception_context)

    def _on_sigint(self) -> None:
        self._sigints += 1
        self._logger.warning('user interrupted with ctrl-c (SIGINT)'
                             + (' again, ignoring...' if self._sigints > 1 else ''))
        self._shutdown('ctrl-c (SIGINT)', due_to_sigint=True)

    def _on_sigterm(self) -> None:
        self._logger.warning('terminated (SIGTERM)')
        self._shutdown('SIGTERM')  # a terminal sends no SIGTERM, so the children have had no signal yet

    def _on_sigquit(self) -> None:
        self._logger.error('user interrupted with ctrl-\\ (SIGQUIT), terminating...')
        self._logger.error('using SIGQUIT can result in orphaned processes')
        self._logger.error('make sure no processes launched are still running')
        self._loop.call_soon(self.task.cancel)

    async def _process_one_event(self) -> None:
        event = await self.__context._event_queue.get()
        for handler in tuple(self.__context._event_handlers):
            if not handler.matches(event):
                continue
            self._logger.debug("processing event: '%s' by '%s'", event, handler)
            self.__context._push_locals()
            try:
                entities = handler.handle(event, self.__context)
                for entity in entities if isinstance(entities, Iterable) else (entities,):
                    if entity is None:
                        continue
                    if not isinstance(entity, LaunchDescriptionEntity):
                        raise RuntimeError(
                            f"expected a LaunchDescriptionEntity from event_handler, got '{entity}'")
                    visit_all_entities_and_collect_futures(entity, self.__context, self._entity_future_pairs)
            finally:
                self.__context._pop_locals()

    def _pending(self) -> list[asyncio.Future]:
        self._entity_future_pairs = [pair for pair in self._entity_future_pairs if not pair[1].done()]
        self.__context._completion_futures = [f for f in self.__context._completion_futures if not f.done()]
        return [future for _, future in self._entity_future_pairs] + self.__context._completion_futures

    async def run_async(self, *, shutdown_when_idle: bool = True) -> int:
        """Run as a coroutine of the main thread; return 0, or 1 after an error of the launch itself."""
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError('LaunchService can only be run in the main thread.')
        with self._prepared_loop() as loop:
            logging.log_launch_config(logger=self._logger)
            event_task: Optional[asyncio.Task] = None
            while True:
                pending = self._pending()
                busy = pending or not self.__context._event_queue.empty()
                if not busy and self._is_shutting_down:
                    break
                if not busy and shutdown_when_idle:
                    self._shutdown('idle')
                if event_task is None or event_task.done():
                    event_task = loop.create_task(self._process_one_event())
                try:
                    done, _ = await asyncio.wait([event_task, *(
                        pending if self.__context._event_queue.empty() else ())], return_when=asyncio.FIRST_COMPLETED)
                    for future in done:
                        future.result()
                except asyncio.CancelledError:
                    self._logger.error('run task was canceled')
                    self._return_code = 1
                    break
                except Exception as error:
                    message = f'Caught exception in launch (see debug for traceback): {error}'
                    self._logger.debug(traceback.format_exc())
                    self._logger.error(message)
                    self._shutdown(message)
                    self._return_code = 1  # and let what runs shut down
            if event_task is not None:
                event_task.cancel()
            return self._return_code

    def run(self, *, shutdown_when_idle: bool = True) -> int:
        """Run in the main thread until idle (or shut down); return 0, or 1 after an error of the launch itself."""
        return _get_loop().run_until_complete(self.run_async(shutdown_when_idle=shutdown_when_idle))
