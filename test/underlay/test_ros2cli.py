# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""The ros2 command's verbs launch and run."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile

import pytest

for package in ('ros2launch', 'ros2run'):
    pytest.importorskip(package, reason=f'{package} is not installed')

from ros2launch.api import (  # noqa: E402
    MultipleLaunchFilesError, get_share_file_path_from_package, parse_launch_arguments)
from ros2run.api import MultipleExecutables, PackageNotFound, get_executable_path  # noqa: E402

os.environ.setdefault('ROS_LOG_DIR', tempfile.mkdtemp(prefix='ros_log_'))
LAUNCH_FILE = '''
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, ExecuteProcess, LogInfo
from launch.conditions import IfCondition
from launch.substitutions import LaunchConfiguration
def generate_launch_description():
    return LaunchDescription([
        DeclareLaunchArgument('needed', description='Give it'),
        DeclareLaunchArgument('mode', default_value=['a', LaunchConfiguration('x', default='')], choices=['a', 'b']),
        DeclareLaunchArgument('maybe', default_value='', condition=IfCondition('false')),
        LogInfo(msg=['needed is ', LaunchConfiguration('needed')]),
        ExecuteProcess(cmd=['echo', 'quiet'])])
'''


@pytest.fixture
def prefix(tmp_path, monkeypatch):
    """An install prefix with the package `demo`: a launch file and executables."""
    for folder in (
            'share/ament_index/resource_index/packages', 'share/demo/launch', 'lib/demo/.hidden', 'lib/demo/sub'):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / 'share/ament_index/resource_index/packages/demo').touch()
    (tmp_path / 'share/demo/launch/demo.launch.py').write_text(LAUNCH_FILE)
    for name, body in (('say', 'echo "said $@"; exit 7'), ('.hidden/say', ''), ('sub/twice', ''), ('twice', ''),
                       ('wait', 'echo ready; exec sleep 60')):
        (tmp_path / 'lib/demo' / name).write_text(f'#!/bin/sh\n{body}\n')
        (tmp_path / 'lib/demo' / name).chmod(0o755)
    (tmp_path / 'lib/demo/data').touch()
    monkeypatch.setenv('AMENT_PREFIX_PATH', str(tmp_path))
    return tmp_path


def ros2(*args, **kwargs):
    return subprocess.run([sys.executable, '-c', 'import sys; from ros2cli.cli import main; sys.exit(main())', *args],
                          capture_output=True, text=True, stdin=subprocess.DEVNULL, **kwargs)


def test_launch_arguments_are_shown_with_descriptions_and_defaults(prefix):
    assert ros2('launch', 'demo', 'demo.launch.py', '--show-args').stdout == (
        "Arguments (pass arguments as '<name>:=<value>'):\n"
        "\n    'needed':\n        Give it\n"
        "\n    'mode':\n        One of: ['a', 'b']\n        (default: 'a' + LaunchConfig('x'))\n"
        "\n    'maybe':*\n        no description given\n        (default: '')\n"
        '\n* argument(s) which are only used if specific conditions occur\n')


@pytest.mark.parametrize('by_path', [False, True])
def test_launch_passes_arguments_by_package_or_path(prefix, by_path):
    path = str(prefix / 'share/demo/launch/demo.launch.py')
    where = [path] if by_path else ['demo', 'demo.launch.py']
    result = ros2('launch', *where, 'needed:=1', 'needed:=2')
    assert result.returncode == 0 and '[INFO] [launch.user]: needed is 2\n' in result.stdout
    assert '] quiet\n' not in result.stdout
    assert '] quiet\n' in ros2('launch', '-a', *where, 'needed:=2').stdout


@pytest.mark.parametrize('args, message', [
    (['nowhere', 'x.launch.py'], "Package 'nowhere' not found: "),
    (['demo', 'x.launch.py'], "file 'x.launch.py' was not found in the share directory of package 'demo'"),
    (['nowhere.launch.py'], 'No launch file supplied'),
    (['demo', 'demo.launch.py', 'x=1'], "malformed launch argument 'x=1', expected format '<name>:=<value>'"),
    (['demo', 'demo.launch.py'], "Included launch description missing required argument 'needed'"),
    (['demo', 'demo.launch.py', 'needed:=1', 'mode:=c'], 'Argument "mode" provided value "c" is not valid.')])
def test_launch_errors_say_what_is_wrong(prefix, args, message):
    result = ros2('launch', *args)
    assert result.returncode == 1 and message in result.stdout + result.stderr


def test_launch_file_must_be_unique_in_its_package(prefix):
    assert get_share_file_path_from_package(package_name='demo', file_name='demo.launch.py') == str(
        prefix / 'share/demo/launch/demo.launch.py')
    shutil.copy(prefix / 'share/demo/launch/demo.launch.py', prefix / 'share/demo/demo.launch.py')
    with pytest.raises(MultipleLaunchFilesError, match='found more than once'):
        get_share_file_path_from_package(package_name='demo', file_name='demo.launch.py')


def test_launch_argument_values_may_hold_the_separator():
    assert list(parse_launch_arguments(['a:=b:=c', 'd:=1'])) == [('a', 'b:=c'), ('d', '1')]
    for malformed in (':=1', 'a:=', 'a'):
        with pytest.raises(RuntimeError):
            parse_launch_arguments([malformed])


def test_executables_are_looked_up_below_the_libexec_directory(prefix):
    assert get_executable_path(package_name='demo', executable_name='say') == str(prefix / 'lib/demo/say')
    assert get_executable_path(package_name='demo', executable_name='data') is None
    with pytest.raises(MultipleExecutables):
        get_executable_path(package_name='demo', executable_name='twice')
    with pytest.raises(PackageNotFound):
        get_executable_path(package_name='nowhere', executable_name='say')


def test_run_passes_arguments_and_exit_code(prefix):
    result = ros2('run', 'demo', 'say', '--ros-args', '-r', 'a:=b')
    assert result.returncode == 7 and 'said --ros-args -r a:=b\n' in result.stdout
    assert 'prefixed' in ros2('run', '--prefix', 'echo prefixed', 'demo', 'say').stdout


@pytest.mark.parametrize('args, message', [
    (['nowhere', 'say'], "Package 'nowhere' not found"), (['demo', 'nothing'], 'No executable found'),
    (['demo', 'twice'], 'Multiple executables found:\n- ')])
def test_run_errors_say_what_is_wrong(prefix, args, message):
    result = ros2('run', *args)
    assert result.returncode == 1 and message in result.stderr


def test_interrupt_of_the_terminal_is_left_to_the_executable(prefix):
    with subprocess.Popen(
            [sys.executable, '-c', 'import sys; from ros2cli.cli import main; sys.exit(main())', 'run', 'demo', 'wait'],
            stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        assert process.stdout.readline() == 'ready\n'
        os.killpg(process.pid, signal.SIGINT)
        assert 'Interrupt' in process.stdout.read()
        assert process.wait() % 256 == 256 - signal.SIGINT


def test_help_without_a_verb_and_packages_of_this_prefix_without_sourcing():
    result = ros2(env={k: v for k, v in os.environ.items() if k != 'AMENT_PREFIX_PATH'})
    assert result.returncode == 0 and 'launch' in result.stdout and 'run' in result.stdout
    result = ros2('run', 'nowhere', 'x', env={k: v for k, v in os.environ.items() if k != 'AMENT_PREFIX_PATH'})
    assert "Package 'nowhere' not found" in result.stderr
