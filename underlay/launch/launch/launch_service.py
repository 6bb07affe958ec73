# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""The event loop that runs a launch."""

import asyncio
import contextlib
import signal
import threading
import traceback
from collections.abc import Iterable, Iterator
from typing import Optional

from . import logging
from .base import EntityFuturePairs, Event, LaunchContext, LaunchDescriptionEntity
from .base import visit_all_entities_and_collect_futures
from .events import IncludeLaunchDescription, OnEvent, OnShutdown, Shutdown
from .launch_description import LaunchDescription


class LaunchService:
    """Visits launch descriptions, handles their events and waits for what they started."""

    def __init__(self, *, argv: Optional[Iterable[str]] = None, noninteractive: bool = False,
                 debug: bool = False) -> None:
        """noninteractive: no terminal gives the children its Ctrl-C, so they are sent SIGINT."""
        logging.set_level('DEBUG' if debug else 'INFO')
        self._logger = logging.get_logger('launch')
        self.__context = LaunchContext(argv=argv, noninteractive=noninteractive)
        self.__context.register_event_handler(OnEvent(
            IncludeLaunchDescription, lambda event, context: event.launch_description))
        self.__context.register_event_handler(OnShutdown(
            on_shutdown=lambda event, context: context._set_is_shutdown(True)))
        self._entity_future_pairs: EntityFuturePairs = []
        self._loop_lock = threading.RLock()
        self._loop: Optional[asyncio.AbstractEventLoop] = None

    @property
    def context(self) -> LaunchContext:
        return self.__context

    def emit_event(self, event: Event) -> None:
        """Queue the event, from any thread; before run() it waits for it."""
        with self._loop_lock:
            if self._loop is None:
                self.__context.emit_event_sync(event)
            else:
                self._loop.call_soon_threadsafe(self.__context.emit_event_sync, event)

    def include_launch_description(self, launch_description: LaunchDescription) -> None:
        self.emit_event(IncludeLaunchDescription(launch_description))

    def shutdown(self, force_sync: bool = False) -> None:
        """Stop what runs and end run(), from any thread; nothing unless it runs."""
        with self._loop_lock:
            if self._loop is not None:
                self._loop.call_soon_threadsafe(self._shutdown, 'LaunchService.shutdown() called')

    def _shutdown(self, reason: str, due_to_sigint: bool = False) -> None:
        if not self.__context.is_shutdown:
            self.__context._set_is_shutdown(True)
            self.__context.emit_event_sync(Shutdown(reason=reason, due_to_sigint=due_to_sigint))

    @contextlib.contextmanager
    def _prepared_loop(self) -> Iterator[None]:
        """Take the running loop and its signals."""
        loop = asyncio.get_running_loop()
        with self._loop_lock:
            if self._loop is not None:
                raise RuntimeError('LaunchService cannot be run multiple times concurrently.')
            self._loop = loop
        self.__context._set_asyncio_loop(loop)
        self.__context._set_is_shutdown(False)
        previous = {signum: signal.getsignal(signum) for signum in (signal.SIGINT, signal.SIGTERM)}
        for signum in previous:
            loop.add_signal_handler(signum, self._on_signal, signum)
        try:
            yield
        finally:
            for signum, handler in previous.items():
                loop.remove_signal_handler(signum)
                if handler is not None:  # None: not installed from Python
                    signal.signal(signum, handler)
            self.__context._set_asyncio_loop(None)
            with self._loop_lock:
                self._loop = None

    def _on_signal(self, signum: signal.Signals) -> None:
        # A terminal sends its SIGINT to the children too, but no SIGTERM.
        is_sigint = signum is signal.SIGINT
        reason = 'user interrupted with ctrl-c (SIGINT)' if is_sigint else 'terminated (SIGTERM)'
        self._logger.warning(reason + (' again, ignoring...' if self.__context.is_shutdown else ''))
        self._shutdown(reason, due_to_sigint=is_sigint)

    async def _process_one_event(self) -> None:
        event = await self.__context._event_queue.get()
        for handler in [handler for handler in self.__context._event_handlers if handler.matches(event)]:
            self._logger.debug("processing event: '%s' by '%s'", event, handler)
            self.__context._push_locals()
            try:
                entities = handler.handle(event, self.__context)
                for entity in entities if isinstance(entities, Iterable) else [entities]:
                    if isinstance(entity, LaunchDescriptionEntity):
                        visit_all_entities_and_collect_futures(entity, self.__context, self._entity_future_pairs)
                    elif entity is not None:
                        raise RuntimeError(f"expected a LaunchDescriptionEntity from event_handler, got '{entity}'")
            finally:
                self.__context._pop_locals()

    async def run_async(self, *, shutdown_when_idle: bool = True) -> int:
        """Run as a coroutine of the main thread; return 0, or 1 after an error of the launch itself."""
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError('LaunchService can only be run in the main thread.')
        with self._prepared_loop():
            self._logger.info('All log files can be found below %s', logging.log_dir())
            queue, event_task, return_code = self.__context._event_queue, None, 0
            while True:
                self._entity_future_pairs = [pair for pair in self._entity_future_pairs if not pair[1].done()]
                pending = [future for _, future in self._entity_future_pairs]
                if queue.empty() and not pending and self.__context.is_shutdown:
                    break
                if queue.empty() and not pending and shutdown_when_idle:
                    self._shutdown('idle')
                if event_task is None or event_task.done():
                    event_task = asyncio.ensure_future(self._process_one_event())
                try:
                    done, _ = await asyncio.wait([event_task, *pending], return_when=asyncio.FIRST_COMPLETED)
                    for future in done:
                        future.result()
                except Exception as error:
                    self._logger.debug(traceback.format_exc())
                    message, return_code = f'Caught exception in launch (see debug for traceback): {error}', 1
                    self._logger.error(message)
                    self._shutdown(message)  # and wait until what runs has ended
            if event_task is not None:
                event_task.cancel()
            return return_code

    def run(self, *, shutdown_when_idle: bool = True) -> int:
        """Run in the main thread until idle (or shut down); return 0, or 1 after an error of the launch itself."""
        loop = None
        with contextlib.suppress(RuntimeError):
            loop = asyncio.get_event_loop()
        if loop is None or loop.is_closed():
            loop = asyncio.new_event_loop()
            asyncio.set_event_loop(loop)
        return loop.run_until_complete(self.run_async(shutdown_when_idle=shutdown_when_idle))
