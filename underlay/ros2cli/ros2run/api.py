# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Finds and runs a package's executable."""

import os
import signal
import subprocess
from pathlib import Path
from typing import Optional

from ament_index_python.packages import PackageNotFoundError, get_package_prefix


class MultipleExecutables(RuntimeError):
    """Several files of a package bear the executable's name."""


class PackageNotFound(RuntimeError):
    """The package is not installed."""


def get_executable_path(*, package_name: str, executable_name: str) -> Optional[str]:
    """Return the path of the executable below ``<prefix>/lib/<package>``, hidden directories aside, None if there
    is none; PackageNotFound or MultipleExecutables."""
    try:
        base = Path(get_package_prefix(package_name)) / 'lib' / package_name
    except (PackageNotFoundError, ValueError) as error:
        raise PackageNotFound(f"Package '{package_name}' not found") from error
    paths = [str(path) for path in sorted(base.rglob(executable_name)) if path.is_file() and os.access(path, os.X_OK)
             and not any(part.startswith('.') for part in path.relative_to(base).parts[:-1])]
    if len(paths) > 1:
        raise MultipleExecutables('\n- '.join(['Multiple executables found:', *paths]))
    return paths[0] if paths else None


def run_executable(*, path: str, argv: list[str], prefix: Optional[list[str]] = None) -> int:
    """Run it and return its exit code; a Ctrl-C reaches it from the terminal, a SIGTERM from here."""
    handlers = {signal.SIGINT: lambda signum, frame: None,
                signal.SIGTERM: lambda signum, frame: process.send_signal(signum)}
    previous = {signum: signal.signal(signum, handler) for signum, handler in handlers.items()}
    process = subprocess.Popen([*(prefix or []), path, *argv])
    process.wait()
    for signum, handler in previous.items():
        signal.signal(signum, handler)
    if -process.returncode in signal.valid_signals():
        print('[ros2run]:', signal.strsignal(-process.returncode))
    elif process.returncode != 0:
        print('[ros2run]:', f'Process exited with failure {process.returncode}')
    return process.returncode
