# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Log messages of the launch and the output of its processes, to the screen and below $ROS_LOG_DIR."""

import datetime
import functools
import logging
import os
import socket
import sys
from pathlib import Path
from typing import Optional, Union

_OUTPUTS = {
    'screen': {'both': 'screen'},
    'log': {'both': 'log', 'stderr': 'screen'},
    'both': {'both': {'log', 'screen'}},
    'own_log': {'both': 'own_log'},
    'full': {'both': {'screen', 'log', 'own_log'}},
}
set_level = logging.root.setLevel
set_level('INFO')


class _ScreenHandler(logging.StreamHandler):
    """Writes to whatever sys.stdout is when a record comes."""

    stream = property(lambda self: sys.stdout, lambda self, _: None)


@functools.lru_cache(None)
def log_dir() -> str:
    """Return this launch's directory of logs, made below $ROS_LOG_DIR, $ROS_HOME/log or ~/.ros/log."""
    base = os.environ.get('ROS_LOG_DIR') or os.path.join(os.environ.get('ROS_HOME') or '~/.ros', 'log')
    stamp = datetime.datetime.now().strftime('%Y-%m-%d-%H-%M-%S-%f')
    path = Path(base).expanduser() / f'{stamp}-{socket.gethostname()}-{os.getpid()}'
    path.mkdir(parents=True, exist_ok=True)
    return str(path)


@functools.lru_cache(None)
def _handler(destination: str, text_format: str) -> logging.Handler:
    """Return the one handler that writes records so formatted to 'screen' or to that file below log_dir()."""
    handler = _ScreenHandler() if destination == 'screen' else logging.FileHandler(
        os.path.join(log_dir(), destination), encoding='utf-8')
    handler.setFormatter(logging.Formatter(text_format, style='{'))
    return handler


def _configured(name: Optional[str], *handlers: logging.Handler) -> logging.Logger:
    logger = logging.getLogger(name)
    logger.propagate = False
    for handler in handlers:
        logger.addHandler(handler)  # once: a handler that is there already is not added
    return logger


def get_logger(name: Optional[str] = None) -> logging.Logger:
    """Return the logger, configured for the screen and the launch's log file."""
    return _configured(name, _handler('screen', '[{levelname}] [{name}]: {message}'),
                       _handler('launch.log', '{created:.7f} [{levelname}] [{name}]: {message}'))


def get_output_loggers(process_name: str, output_config: Union[str, dict]) -> tuple[logging.Logger, logging.Logger]:
    """Return the loggers of a process's stdout and stderr; ValueError for an unknown output configuration."""
    if isinstance(output_config, str) and output_config not in _OUTPUTS:
        raise ValueError(f'{output_config} is not a valid standard output config i.e. "screen", "log" or "both"')
    wanted = _OUTPUTS[output_config] if isinstance(output_config, str) else output_config
    wanted = {source: {to} if isinstance(to, str) else set(to) for source, to in wanted.items()}
    unknown = set(wanted) - {'both', 'stdout', 'stderr'} or set().union(*wanted.values()) - {'screen', 'log', 'own_log'}
    if unknown:
        raise ValueError(f'{unknown} is no source (both, stdout, stderr) or destination (screen, log, own_log)')

    def logger(source: str) -> logging.Logger:
        files = {'screen': 'screen', 'log': 'launch.log', 'own_log': f'{process_name}-{source}.log'}
        return _configured(f'{process_name}-{source}', *(
            _handler(files[name], '{message}' if name == 'screen' else '{created:.7f} {message}')
            for name in sorted(wanted.get('both', set()) | wanted.get(source, set()))))
    return logger('stdout'), logger('stderr')
