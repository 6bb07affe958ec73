# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Log messages of the launch and the output of its processes, to the screen and below $ROS_LOG_DIR."""

import datetime
import logging
import os
import socket
import sys
from pathlib import Path
from typing import Optional, Union

_Destinations = dict[str, set[str]]
_OUTPUTS: dict[str, _Destinations] = {
    'screen': {'both': {'screen'}},
    'log': {'both': {'log'}, 'stderr': {'screen'}},
    'both': {'both': {'log', 'screen'}},
    'own_log': {'both': {'own_log'}, 'stdout': {'own_log'}, 'stderr': {'own_log'}},
    'full': {'both': {'screen', 'log', 'own_log'}, 'stdout': {'own_log'}, 'stderr': {'own_log'}},
}


class _ScreenHandler(logging.StreamHandler):
    """Writes to whatever sys.stdout is when a record comes."""

    stream = property(lambda self: sys.stdout, lambda self, _: None)


class LaunchConfig:
    """Where the launch logs to and from which level on."""

    def __init__(self) -> None:
        self.log_dir_or_none: Optional[Path] = None
        self._handlers: dict[tuple[str, str], logging.Handler] = {}

    @property
    def level(self) -> int:
        return logging.root.getEffectiveLevel()

    @level.setter
    def level(self, new_level: int) -> None:
        logging.root.setLevel(new_level)

    @property
    def log_dir(self) -> str:
        """This launch's directory of logs, made on first use: $ROS_LOG_DIR or $ROS_HOME/log or ~/.ros/log."""
        if self.log_dir_or_none is None:
            base = Path(os.environ.get('ROS_LOG_DIR') or
                        os.path.join(os.environ.get('ROS_HOME') or '~/.ros', 'log')).expanduser()
            stamp = datetime.datetime.now().strftime('%Y-%m-%d-%H-%M-%S-%f')
            self.log_dir_or_none = base / f'{stamp}-{socket.gethostname()}-{os.getpid()}'
            self.log_dir_or_none.mkdir(parents=True, exist_ok=True)
        return str(self.log_dir_or_none)

    def handler(self, destination: str, text_format: str) -> logging.Handler:
        """Return the one handler that writes records so formatted to 'screen' or to that file below log_dir."""
        key = (destination, text_format)
        if key not in self._handlers:
            handler = _ScreenHandler() if destination == 'screen' else logging.FileHandler(
                os.path.join(self.log_dir, destination), encoding='utf-8')
            handler.setFormatter(logging.Formatter(text_format, style='{'))
            self._handlers[key] = handler
        return self._handlers[key]


launch_config = LaunchConfig()
logging.root.setLevel(logging.INFO)


def _configured(name: Optional[str], handlers: list[logging.Handler]) -> logging.Logger:
    logger = logging.getLogger(name)
    logger.propagate = False
    for handler in handlers:
        if handler not in logger.handlers:
            logger.addHandler(handler)
    return logger


def get_logger(name: Optional[str] = None) -> logging.Logger:
    """Return the logger, configured for the screen and the launch's log file."""
    return _configured(name, [
        launch_config.handler('screen', '[{levelname}] [{name}]: {message}'),
        launch_config.handler('launch.log', '{created:.7f} [{levelname}] [{name}]: {message}')])


def log_launch_config(*, logger: logging.Logger) -> None:
    logger.info('All log files can be found below %s', launch_config.log_dir)
    logger.info('Default logging verbosity is set to %s', logging.getLevelName(launch_config.level))


def get_output_loggers(process_name: str, output_config: Union[str, dict]) -> tuple[logging.Logger, logging.Logger]:
    """Return the loggers of a process's stdout and stderr; ValueError for an unknown output configuration."""
    if isinstance(output_config, str):
        if output_config not in _OUTPUTS:
            raise ValueError(f'{output_config} is not a valid standard output config i.e. "screen", "log" or "both"')
        wanted = _OUTPUTS[output_config]
    else:
        wanted = {source: {to} if isinstance(to, str) else set(to) for source, to in output_config.items()}
    unknown = set(wanted) - {'both', 'stdout', 'stderr'} or set().union(*wanted.values()) - {'screen', 'log', 'own_log'}
    if unknown:
        raise ValueError(f'{unknown} is no source (both, stdout, stderr) or destination (screen, log, own_log)')
    loggers = []
    for source in ('stdout', 'stderr'):
        to = wanted.get('both', set()) | wanted.get(source, set())
        files = {'screen': 'screen', 'log': 'launch.log', 'own_log': f'{process_name}-{source}.log'}
        loggers.append(_configured(f'{process_name}-{source}', [launch_config.handler(
            files[name], '{message}' if name == 'screen' else '{created:.7f} {message}') for name in sorted(to)]))
    return loggers[0], loggers[1]
