# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""The ros2 command."""

import argparse
import os
import shlex
import signal
import sys
from typing import Optional, Union


def use_this_prefix() -> None:
    """Let ROS packages and Python scripts be found in this interpreter's prefix too, with nothing sourced."""
    for variable, directory in (('AMENT_PREFIX_PATH', sys.prefix), ('PATH', os.path.join(sys.prefix, 'bin'))):
        directories = [x for x in os.environ.get(variable, '').split(os.pathsep) if x]
        if directory not in directories:
            directories.insert(0 if variable == 'PATH' else len(directories), directory)
            os.environ[variable] = os.pathsep.join(directories)


def _add_launch(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser('launch', help='Run a launch file', description='Run a launch file')
    add = parser.add_argument
    add('-n', '--noninteractive', default=not sys.stdin.isatty(), action='store_true',
        help='Run the launch system non-interactively, with no terminal associated')
    add('-d', '--debug', action='store_true',
        help='Put the launch system in debug mode, provides more verbose output.')
    add('-s', '--show-args', '--show-arguments', action='store_true',
        help='Show arguments that may be given to the launch file.')
    add('-a', '--show-all-subprocesses-output', action='store_true',
        help="Show all launched subprocesses' output by overriding their output configuration using the "
             'OVERRIDE_LAUNCH_PROCESS_OUTPUT envvar.')
    add('package_name', help='Name of the ROS package which contains the launch file')
    add('launch_file_name', nargs='?', help='Name of the launch file')
    add('launch_arguments', nargs='*',
        help="Arguments to the launch file; '<name>:=<value>' (for duplicates, last one wins)")
    parser.set_defaults(main=_launch)


def _find_launch_file(args: argparse.Namespace) -> tuple[str, list[str]]:
    """Return the launch file's path and its arguments; RuntimeError where it is not found."""
    from ament_index_python.packages import PackageNotFoundError, get_package_prefix
    from ros2launch.api import MultipleLaunchFilesError, get_share_file_path_from_package
    arguments = list(args.launch_arguments)
    try:
        if args.launch_file_name is not None:
            get_package_prefix(args.package_name)
            return get_share_file_path_from_package(
                package_name=args.package_name, file_name=args.launch_file_name), arguments
    except (PackageNotFoundError, ValueError) as error:
        if not os.path.exists(args.package_name):
            raise RuntimeError(f"Package '{args.package_name}' not found: {error}") from error
        arguments.insert(0, args.launch_file_name)
    except (FileNotFoundError, MultipleLaunchFilesError) as error:
        raise RuntimeError(str(error)) from error
    if not os.path.exists(args.package_name):
        raise RuntimeError('No launch file supplied')
    return args.package_name, arguments


def _launch(args: argparse.Namespace) -> Optional[int]:
    from ros2launch.api import launch_a_launch_file, print_arguments_of_launch_file
    path, arguments = _find_launch_file(args)
    if args.show_all_subprocesses_output:
        os.environ['OVERRIDE_LAUNCH_PROCESS_OUTPUT'] = 'both'
    if args.show_args:
        return print_arguments_of_launch_file(launch_file_path=path)
    return launch_a_launch_file(launch_file_path=path, launch_file_arguments=arguments,
                                noninteractive=args.noninteractive, debug=args.debug)


def _add_run(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser('run', help='Run a package specific executable',
                                 description='Run a package specific executable')
    parser.add_argument('--prefix', help='Prefix command, which should go before the executable. Command must be '
                        "wrapped in quotes if it contains spaces (e.g. --prefix 'gdb -ex run --args').")
    parser.add_argument('package_name', help='Name of the ROS package')
    parser.add_argument('executable_name', help='Name of the executable')
    parser.add_argument('argv', nargs=argparse.REMAINDER, help='Pass arbitrary arguments to the executable')
    parser.set_defaults(main=_run)


def _run(args: argparse.Namespace) -> int:
    from ros2run.api import MultipleExecutables, PackageNotFound, get_executable_path, run_executable
    try:
        path = get_executable_path(package_name=args.package_name, executable_name=args.executable_name)
    except (PackageNotFound, MultipleExecutables) as error:
        raise RuntimeError(str(error)) from error
    if path is None:
        raise RuntimeError('No executable found')
    return run_executable(path=path, argv=args.argv, prefix=shlex.split(args.prefix or ''))


def main(argv: Optional[list[str]] = None) -> Union[int, str, None]:
    """Run the command line; return its exit code, or the error to exit with."""
    parser = argparse.ArgumentParser(
        prog='ros2', description='ros2 is an extensible command-line tool for ROS 2 (here: launch and run).')
    commands = parser.add_subparsers(
        title='Commands', metavar='Call `ros2 <command> -h` for more detailed usage.')
    _add_launch(commands)
    _add_run(commands)
    args = parser.parse_args(argv)
    if not hasattr(args, 'main'):
        parser.print_help()
        return 0
    use_this_prefix()
    try:
        return args.main(args)
    except KeyboardInterrupt:
        return signal.SIGINT
    except RuntimeError as error:
        return str(error)
