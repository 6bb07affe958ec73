# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""The segmenter's launch file under `ros2 launch`."""

import os
import runpy
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='no ROS 2: source a distribution, or make setup')
torch = pytest.importorskip('torch')
pytest.importorskip('launch_ros', reason='no launch_ros: source a distribution, or make setup')

import rclpy  # noqa: E402
from rclpy.context import Context  # noqa: E402
from segmenter import INFO, ROOT, XYZI, Vehicle, cloud, random_points  # noqa: E402

from ros_kd import clouds  # noqa: E402
from ros_kd.students.checkpoint import save_checkpoint  # noqa: E402

DOMAIN = 64
ROS2 = shutil.which('ros2', path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get('PATH', '')]))


@pytest.fixture
def environment(tmp_path):
    """An ament prefix with this checkout as the package, so that the test needs no installation."""
    share, programs = tmp_path / 'share', tmp_path / 'lib' / 'ros_kd'
    (share / 'ament_index/resource_index/packages').mkdir(parents=True)
    (share / 'ament_index/resource_index/packages/ros_kd').touch()
    programs.mkdir(parents=True)
    for folder in ('launch', 'config'):
        shutil.copytree(ROOT / folder, share / 'ros_kd' / folder)
    for script in (ROOT / 'scripts').iterdir():
        (programs / script.name).symlink_to(script)
    paths = {'AMENT_PREFIX_PATH': str(tmp_path), 'PYTHONPATH': str(ROOT), 'PATH': str(Path(sys.executable).parent)}
    joined = {name: os.pathsep.join(filter(None, [value, os.environ.get(name)])) for name, value in paths.items()}
    return {**os.environ, **joined, 'ROS_DOMAIN_ID': str(DOMAIN), 'ROS_LOG_DIR': str(tmp_path / 'log'),
            'OMP_NUM_THREADS': '1'}


def launch(environment, folder, *arguments):
    if ROS2 is None:
        pytest.skip('no ros2 command: source a distribution, or make setup')
    return subprocess.Popen([ROS2, 'launch', 'ros_kd', 'segment.launch.py', 'visualize:=false', *arguments], cwd=folder,
                            env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def test_a_topic_is_labelled_until_the_launch_is_interrupted(tmp_path, environment):
    torch.manual_seed(0)
    save_checkpoint(tmp_path / 'student.safetensors', INFO.build(), INFO)
    context = Context()
    rclpy.init(context=context, domain_id=DOMAIN)
    process = launch(environment, tmp_path, 'topic:=points', 'checkpoint:=student.safetensors', 'device:=cpu')
    try:
        labelled = clouds.records(Vehicle(context).connect().send(cloud(random_points(np.dtype(XYZI)))))
        assert labelled.dtype.names[-3:] == ('label', 'confidence', 'rgb')
        process.send_signal(signal.SIGINT)
        log = process.communicate(timeout=30)[0]
        assert 'finished cleanly' in log and 'Traceback' not in log, log
    finally:
        process.kill()
        context.try_shutdown()


@pytest.mark.parametrize(('arguments', 'text'), [
    (['topic:=points', 'bagfile:=drive'], 'topic:=points and bagfile:=drive: choose one of them'),
    (['loop:=maybe'], "'true', 'false'"), (['rate:=fast'], 'rate:=fast: expected a number')])
def test_a_launch_that_cannot_work_says_why_and_ends(tmp_path, environment, arguments, text):
    process = launch(environment, tmp_path, *arguments)
    try:
        assert text in process.communicate(timeout=60)[0]
    finally:
        process.kill()


@pytest.mark.parametrize(('arguments', 'executables'), [
    ({}, ['segment', 'sim']), ({'topic': '/velodyne_points'}, ['segment']),
    ({'dataset': '/data/x'}, ['segment', 'replay']),
    ({'bagfile': 'drive', 'use_sim_time': 'true', 'rate': '2'}, ['segment', 'replay'])])
def test_what_is_started_follows_from_the_arguments(environment, monkeypatch, arguments, executables):
    from launch import LaunchContext
    from launch_ros.actions import Node
    monkeypatch.setenv('AMENT_PREFIX_PATH', environment['AMENT_PREFIX_PATH'])
    file = runpy.run_path(str(ROOT / 'launch/segment.launch.py'))
    context = LaunchContext()
    context.launch_configurations.update({name: default for name, (default, _) in file['ARGUMENTS'].items()})
    context.launch_configurations.update({'visualize': 'false', **arguments})
    started = [action.node_executable for action in file['start'](context) if isinstance(action, Node)]
    assert started == executables
