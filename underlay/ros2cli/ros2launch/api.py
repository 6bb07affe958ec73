# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Finds, describes and runs launch files."""

import os
from collections.abc import Iterable

from ament_index_python.packages import get_package_share_directory
from launch import LaunchDescription, LaunchService
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import get_launch_description_from_python_launch_file


class MultipleLaunchFilesError(RuntimeError):
    """Several files of a package bear the launch file's name."""


def get_share_file_path_from_package(*, package_name: str, file_name: str) -> str:
    """Return the file's path below the package's share directory; PackageNotFoundError, FileNotFoundError or
    MultipleLaunchFilesError."""
    share = get_package_share_directory(package_name)
    where = f"in the share directory of package '{package_name}' which is at '{share}'"
    paths = [os.path.join(root, file_name) for root, _, files in os.walk(share) if file_name in files]
    if not paths:
        raise FileNotFoundError(f"file '{file_name}' was not found {where}")
    if len(paths) > 1:
        raise MultipleLaunchFilesError(f"file '{file_name}' was found more than once {where}: {paths}")
    return paths[0]


def print_arguments_of_launch_file(*, launch_file_path: str) -> None:
    """Print the launch file's arguments, their descriptions and defaults."""
    arguments = get_launch_description_from_python_launch_file(launch_file_path).get_launch_arguments()
    print("Arguments (pass arguments as '<name>:=<value>'):")
    for argument in arguments:
        mark = '*' if argument._conditionally_included else ''
        print(f"\n    '{argument.name}':{mark}\n        {argument.description}")
        if argument.default_value is not None:
            print(f"        (default: {' + '.join(token.describe() for token in argument.default_value)})")
    if not arguments:
        print('\n  No arguments.')
    elif any(argument._conditionally_included for argument in arguments):
        print('\n* argument(s) which are only used if specific conditions occur')


def parse_launch_arguments(launch_arguments: Iterable[str]) -> list[tuple[str, str]]:
    """Split ``name:=value``; of the same name the last counts. RuntimeError for anything else."""
    parsed: dict[str, str] = {}
    for argument in launch_arguments:
        name, _, value = argument.partition(':=')
        if not name or not value:
            raise RuntimeError(f"malformed launch argument '{argument}', expected format '<name>:=<value>'")
        parsed[name] = value
    return list(parsed.items())


def launch_a_launch_file(*, launch_file_path: str, launch_file_arguments: list[str], noninteractive: bool = False,
                         debug: bool = False) -> int:
    """Run the launch file; return the launch's exit code."""
    service = LaunchService(argv=launch_file_arguments, noninteractive=noninteractive, debug=debug)
    service.include_launch_description(LaunchDescription([IncludeLaunchDescription(
        launch_file_path, launch_arguments=parse_launch_arguments(launch_file_arguments))]))
    return service.run()
