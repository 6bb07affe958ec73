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

_OUTPUTS = {  # where stdout and stderr go
    'screen': ({'screen'}, {'screen'}), 'log': ({'log'}, {'log', 'screen'}), 'own_log': ({'own_log'}, {'own_log'}),
    'both': ({'log', 'screen'}, {'log', 'screen'}), 'full': ({'screen', 'log', 'own_log'},) * 2}
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
def _handler(file: str, text_format: str) -> logging.Handler:
    """Return the one handler that writes records so formatted to the 'screen' or that file below log_dir()."""
    handler = _ScreenHandler() if file == 'screen' else logging.FileHandler(
        os.path.join(log_dir(), file), encoding='utf-8')
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


def get_output_loggers(process_name: str, output_config: Union[str, dict]) -> list[logging.Logger]:
    """Return the loggers of a process's stdout and stderr; ValueError for an unknown output configuration."""
    if isinstance(output_config, str) and output_config not in _OUTPUTS:
        raise ValueError(f'{output_config} is not a valid standard output config i.e. "screen", "log" or "both"')
    if isinstance(output_config, str):
        destinations = _OUTPUTS[output_config]
    else:
        to = {source: {x} if isinstance(x, str) else set(x) for source, x in output_config.items()}
        destinations = [to.get('both', set()) | to.get(source, set()) for source in ('stdout', 'stderr')]
    return [_configured(f'{process_name}-{source}', *(
        _handler('screen', '{message}') if name == 'screen' else
        _handler({'log': 'launch.log', 'own_log': f'{process_name}-{source}.log'}[name], '{created:.7f} {message}')
        for name in names)) for source, names in zip(('stdout', 'stderr'), destinations)]
