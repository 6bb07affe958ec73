# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Launched processes: their output, their end, their respawning and how a shutdown stops them."""

import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest

pytest.importorskip('launch', reason='neither ROS launch nor its stand-in is installed')

from launch import LaunchDescription, LaunchService  # noqa: E402
from launch.actions import (  # noqa: E402
    EmitEvent, ExecuteProcess, OpaqueFunction, RegisterEventHandler, SetEnvironmentVariable, Shutdown, TimerAction)
from launch.event_handlers import OnProcessExit, OnProcessStart  # noqa: E402
from launch.events import Shutdown as ShutdownEvent  # noqa: E402
from launch.substitutions import LaunchConfiguration  # noqa: E402

os.environ.setdefault('ROS_LOG_DIR', tempfile.mkdtemp(prefix='ros_log_'))
DEAF = 'import signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); print("ready", flush=True); time.sleep(60)'


def python(code, **kwargs):
    return ExecuteProcess(cmd=[sys.executable, '-S', '-c', code], **kwargs)


def run(*entities, configurations=None, **kwargs):
    service = LaunchService(**kwargs)
    service.context.launch_configurations.update(configurations or {})
    service.include_launch_description(LaunchDescription(list(entities)))
    return service.run()


def test_output_carries_the_name_and_the_end_is_told(capsys):
    assert run(python('import sys; print("one"); sys.stdout.write("two")', output='screen', name='worker'),
               python('print("hidden"); import sys; print("shown", file=sys.stderr)', name='quiet'),
               python('raise SystemExit(3)', name='loser')) == 0
    text = capsys.readouterr().out
    name = re.search(r'\[INFO\] \[(worker-\d+)\]: process started with pid \[\d+\]', text).group(1)
    assert f'[{name}] one\n' in text and f'[{name}] two\n' in text
    assert re.search(rf'\[INFO\] \[{name}\]: process has finished cleanly \[pid \d+\]', text)
    assert 'hidden' not in text and re.search(r'\[quiet-\d+\] shown\n', text)
    assert re.search(
        r"\[ERROR\] \[loser-\d+\]: process has died \[pid \d+, exit code 3, cmd '.*raise SystemExit\(3\)'\]\.", text)


def test_missing_executable_is_told_and_does_not_hang(capsys):
    assert run(ExecuteProcess(cmd=['/no/such/executable'])) == 0
    assert 'exception occurred while executing process' in capsys.readouterr().out


@pytest.mark.parametrize('output, is_shown', [('screen', True), ('log', False), ('both', True),
                                              ({'stdout': 'screen'}, True), ({'stderr': 'screen'}, False)])
def test_output_goes_where_it_is_sent(capsys, output, is_shown):
    assert run(python('print("said")', output=output)) == 0
    assert ('] said\n' in capsys.readouterr().out) is is_shown


def test_environment_is_inherited_set_and_replaced(capsys, tmp_path):
    show = 'import os; print(sorted(k for k in os.environ if k.startswith("T_")), os.getcwd())'
    os.environ['T_INHERITED'] = '1'
    try:
        assert run(SetEnvironmentVariable('T_SET', '2'), python(show, output='screen', additional_env={'T_MORE': '3'}),
                   python(show, output='screen', env={'T_ALONE': '4'}, cwd=str(tmp_path))) == 0
    finally:
        del os.environ['T_INHERITED'], os.environ['T_SET']
    text = capsys.readouterr().out
    assert "['T_INHERITED', 'T_MORE', 'T_SET']" in text and f"['T_ALONE'] {tmp_path}" in text


def test_shell_and_prefix(capsys):
    assert run(ExecuteProcess(cmd=['echo $((40 +', '2))'], shell=True, output='screen'),
               ExecuteProcess(cmd=['said'], prefix='echo prefix', output='screen')) == 0
    text = capsys.readouterr().out
    assert '] 42\n' in text and '] prefix said\n' in text


def test_prefix_of_the_command_line_is_filtered_by_executable():
    chosen, other = (ExecuteProcess(cmd=[name, 'x']) for name in ('echo', 'true'))
    assert run(chosen, other, configurations={'launch-prefix': 'env', 'launch-prefix-filter': 'echo'}) == 0
    assert chosen.process_details['cmd'] == ['env', 'echo', 'x']
    assert other.process_details['cmd'] == ['true', 'x']


def test_events_start_and_exit_reach_their_handlers():
    seen = []
    process, other = python('raise SystemExit(4)'), python('pass')
    assert run(
        RegisterEventHandler(OnProcessStart(target_action=process, on_start=[
            OpaqueFunction(function=lambda context: seen.append('start'))])),
        RegisterEventHandler(OnProcessExit(
            target_action=process, on_exit=lambda event, context: seen.append(event.returncode))),
        RegisterEventHandler(OnProcessExit(
            target_action=lambda action: action is other, on_exit=lambda event, context: seen.append('other'))),
        other, process) == 0
    assert sorted(seen, key=str) == [4, 'other', 'start'] and process.return_code == 4
    with pytest.raises(TypeError):
        OnProcessExit(target_action='no action', on_exit=[])
    with pytest.raises(TypeError):
        OnProcessExit(on_exit=['no entity'])


def test_required_process_takes_the_others_with_it(capsys):
    other = python('import time; time.sleep(60)')
    assert run(other, python('pass', name='required', on_exit=Shutdown())) == 0
    assert re.search(r'process\[required-\d+\] was required: shutting down launched system', capsys.readouterr().out)
    assert other.return_code == -signal.SIGINT


@pytest.mark.parametrize('respawn', [True, LaunchConfiguration('respawn')])
def test_respawn_ends_with_its_retries(respawn):
    codes = []
    assert run(python('raise SystemExit(1)', respawn=respawn, respawn_delay=0.05, respawn_max_retries=2,
                      on_exit=lambda event, context: codes.append(event.returncode)),
               configurations={'respawn': 'true'}) == 0
    assert codes == [1, 1, 1]


def test_shutdown_ends_the_wait_for_a_respawn():
    codes = []
    assert run(python('pass', respawn=True, respawn_delay=60.0, on_exit=lambda event, context: codes.append(0)),
               TimerAction(period=0.5, actions=[Shutdown()])) == 0
    assert codes == [0]


@pytest.mark.parametrize('noninteractive, expected', [(True, signal.SIGINT), (False, signal.SIGTERM)])
def test_interrupt_is_passed_on_only_where_no_terminal_does(noninteractive, expected):
    process = python('input()', sigterm_timeout='0.2')
    assert run(process, RegisterEventHandler(OnProcessStart(target_action=process, on_start=[
        EmitEvent(event=ShutdownEvent(reason='none', due_to_sigint=True))])), noninteractive=noninteractive) == 0
    assert process.return_code == -expected


def test_deaf_process_is_terminated_and_then_killed(capsys, tmp_path):
    is_deaf = tmp_path / 'is_deaf'
    process = python('import signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); '
                     'signal.signal(signal.SIGTERM, signal.SIG_IGN); '
                     f'open({str(is_deaf)!r}, "w"); time.sleep(60)', sigterm_timeout='0.2', sigkill_timeout='0.2')
    wait = f'import os, time\nwhile not os.path.exists({str(is_deaf)!r}): time.sleep(0.02)'
    assert run(process, python(wait, on_exit=Shutdown())) == 0
    assert process.return_code == -signal.SIGKILL
    text = capsys.readouterr().out
    assert "failed to terminate '0.2' seconds after receiving 'SIGINT', escalating to 'SIGTERM'" in text
    assert "seconds after receiving 'SIGTERM', escalating to 'SIGKILL'" in text


def test_error_in_the_launch_stops_the_processes_started_before():
    process = python('import time; time.sleep(60)')

    def fail(context):
        raise ValueError('no such robot')
    assert run(process, OpaqueFunction(function=fail)) == 1
    assert process.return_code is not None


def test_shutdown_from_another_thread():
    service = LaunchService()
    process = python('import time; time.sleep(60)', name='sleeper')
    service.include_launch_description(LaunchDescription([process, RegisterEventHandler(OnProcessStart(
        target_action=process, on_start=lambda event, context: threading.Thread(target=service.shutdown).start()))]))
    assert service.run() == 0
    assert process.return_code == -signal.SIGINT


LAUNCH_FILE = f'''
import sys
from launch import LaunchDescription
from launch.actions import ExecuteProcess
def generate_launch_description():
    polite = 'print("ready", flush=True); import time; time.sleep(60)'
    return LaunchDescription([
        ExecuteProcess(cmd=[sys.executable, '-S', '-c', code], output='screen', sigterm_timeout='0.5')
        for code in (polite, {DEAF!r})])
'''


def is_alive(pid: int) -> bool:
    try:
        return Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()[0] != 'Z'
    except FileNotFoundError:
        return False


@pytest.mark.parametrize('signum', [signal.SIGINT, signal.SIGTERM])
def test_signal_to_the_launch_alone_leaves_no_orphan(tmp_path, signum):
    path = tmp_path / 'two.launch.py'
    path.write_text(LAUNCH_FILE)
    code = f'import sys; from ros2cli.cli import main; sys.exit(main(["launch", {str(path)!r}]))'
    with subprocess.Popen([sys.executable, '-c', code], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
                          start_new_session=True) as launch:
        lines, ready, pids = [], 0, []
        for line in launch.stdout:
            lines.append(line)
            pids += [int(pid) for pid in re.findall(r'process started with pid \[(\d+)\]', line)]
            ready += line.endswith('] ready\n')
            if line.endswith('] ready\n') and ready == 2:
                launch.send_signal(signum)
        assert launch.wait() == 0
    assert len(pids) == 2 and not any(is_alive(pid) for pid in pids), ''.join(lines)
