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
    parser.set_defaults(main=_launch)

    def switch(*names: str, text: str, default: bool = False) -> None:
        parser.add_argument(*names, default=default, action='store_true', help=text)
    switch('-n', '--noninteractive', default=not sys.stdin.isatty(), text='There is no terminal that sends a Ctrl-C.')
    switch('-d', '--debug', text='Provide more verbose output.')
    switch('-s', '--show-args', '--show-arguments', text='Show arguments that may be given to the launch file.')
    switch('-a', '--show-all-subprocesses-output', text="Show all launched subprocesses' output.")
    parser.add_argument('package_name', help='Name of the ROS package which contains the launch file')
    parser.add_argument('launch_file_name', nargs='?', help='Name of the launch file')
    parser.add_argument('launch_arguments', nargs='*',
                        help="Arguments to the launch file; '<name>:=<value>' (for duplicates, last one wins)")


def _launch(args: argparse.Namespace) -> Optional[int]:
    from ament_index_python.packages import PackageNotFoundError
    from ros2launch import api
    path, arguments = args.package_name, list(args.launch_arguments)
    if os.path.isfile(path):
        arguments[:0] = [] if args.launch_file_name is None else [args.launch_file_name]
    elif args.launch_file_name is None:
        raise RuntimeError('No launch file supplied')
    else:
        try:
            path = api.get_share_file_path_from_package(package_name=path, file_name=args.launch_file_name)
        except (PackageNotFoundError, ValueError) as error:
            raise RuntimeError(f"Package '{args.package_name}' not found: {error}") from error
    if args.show_all_subprocesses_output:
        os.environ['OVERRIDE_LAUNCH_PROCESS_OUTPUT'] = 'both'
    if args.show_args:
        return api.print_arguments_of_launch_file(launch_file_path=path)
    return api.launch_a_launch_file(launch_file_path=path, launch_file_arguments=arguments,
                                    noninteractive=args.noninteractive, debug=args.debug)


def _add_run(commands: argparse._SubParsersAction) -> None:
    text = 'Run a package specific executable'
    parser = commands.add_parser('run', help=text, description=text)
    parser.set_defaults(main=_run)
    parser.add_argument('--prefix', help="Command that goes before the executable, e.g. --prefix 'gdb -ex run --args'")
    parser.add_argument('package_name', help='Name of the ROS package')
    parser.add_argument('executable_name', help='Name of the executable')
    parser.add_argument('argv', nargs=argparse.REMAINDER, help='Pass arbitrary arguments to the executable')


def _run(args: argparse.Namespace) -> int:
    from ros2run.api import get_executable_path, run_executable
    path = get_executable_path(package_name=args.package_name, executable_name=args.executable_name)
    if path is None:
        raise RuntimeError('No executable found')
    return run_executable(path=path, argv=args.argv, prefix=shlex.split(args.prefix or ''))


def main(argv: Optional[list[str]] = None) -> Union[int, str, None]:
    """Run the command line; return its exit code, or the error to exit with."""
    parser = argparse.ArgumentParser(
        prog='ros2', description='ros2 is an extensible command-line tool for ROS 2 (here: launch and run).')
    commands = parser.add_subparsers(title='Commands', metavar='Call `ros2 <command> -h` for more detailed usage.')
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
    except (RuntimeError, FileNotFoundError) as error:
        return str(error)
