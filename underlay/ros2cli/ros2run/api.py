# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Finds and runs a package's executable."""

import os
import signal
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Optional

from ament_index_python.packages import PackageNotFoundError, get_package_prefix

MESSAGE_PREFIX = '[ros2run]:'


class MultipleExecutables(Exception):
    """Several files of a package bear the executable's name."""

    def __init__(self, paths: Iterable[str]) -> None:
        self.paths = list(paths)


class PackageNotFound(Exception):
    """The package is not installed."""

    def __init__(self, package_name: str) -> None:
        self.package_name = package_name


def get_executable_paths(*, package_name: str) -> list[str]:
    """Return the executable files below ``<prefix>/lib/<package>``, hidden directories aside."""
    try:
        base = Path(get_package_prefix(package_name)) / 'lib' / package_name
    except (PackageNotFoundError, ValueError) as error:
        raise PackageNotFound(package_name) from error
    return [str(path) for path in sorted(base.rglob('*')) if path.is_file() and os.access(path, os.X_OK)
            and not any(part.startswith('.') for part in path.relative_to(base).parts[:-1])]


def get_executable_path(*, package_name: str, executable_name: str) -> Optional[str]:
    """Return the executable's path, None if there is none; PackageNotFound or MultipleExecutables."""
    paths = [path for path in get_executable_paths(package_name=package_name)
             if os.path.basename(path) == executable_name]
    if len(paths) > 1:
        raise MultipleExecutables(paths)
    return paths[0] if paths else None


def run_executable(*, path: str, argv: list[str], prefix: Optional[list[str]] = None) -> int:
    """Run it and return its exit code; a Ctrl-C reaches it from the terminal, a SIGTERM from here."""
    process = subprocess.Popen([*(prefix or []), path, *argv])
    previous = signal.signal(signal.SIGTERM, lambda signum, frame: process.send_signal(signum))
    while process.returncode is None:
        try:
            process.wait()
        except KeyboardInterrupt:
            pass  # the process got it too, and is waited for
    signal.signal(signal.SIGTERM, previous)
    if -process.returncode in signal.valid_signals():
        print(MESSAGE_PREFIX, signal.strsignal(-process.returncode))
    elif process.returncode != 0:
        print(MESSAGE_PREFIX, f'Process exited with failure {process.returncode}')
    return process.returncode
