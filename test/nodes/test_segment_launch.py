# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""The segmenter's launch file under `ros2 launch`."""

import os
import runpy
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='no ROS 2: source a distribution, or make setup')
pytest.importorskip('torch')
pytest.importorskip('launch_ros', reason='no launch_ros: source a distribution, or make setup')

import rclpy  # noqa: E402
from rclpy.context import Context  # noqa: E402
from segmenter import ROOT, XYZI, Vehicle, checkpoint_at, cloud, random_points  # noqa: E402

from ros_kd import clouds  # noqa: E402

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


@pytest.fixture
def student(tmp_path):
    return checkpoint_at(tmp_path / 'student.safetensors')


def launch(environment, folder, *arguments):
    if ROS2 is None:
        pytest.skip('no ros2 command: source a distribution, or make setup')
    return subprocess.Popen([ROS2, 'launch', 'ros_kd', 'segment.launch.py', *arguments], cwd=folder,
                            env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def test_a_topic_is_labelled_until_the_launch_is_interrupted(tmp_path, environment, student):
    context = Context()
    rclpy.init(context=context, domain_id=DOMAIN)
    process = launch(environment, tmp_path, 'visualize:=none', 'topic:=points', 'checkpoint:=student.safetensors',
                     'device:=cpu')
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
    (['loop:=maybe'], "'true', 'false'"), (['visualize:=foxglove'], "'rviz', 'browser', 'none'"),
    (['rate:=fast'], 'rate:=fast: expected a number')])
def test_a_launch_that_cannot_work_says_why_and_ends(tmp_path, environment, arguments, text):
    process = launch(environment, tmp_path, 'device:=cpu', *arguments)
    try:
        assert text in process.communicate(timeout=60)[0]
    finally:
        process.kill()


def started(environment, monkeypatch, **arguments):
    """Return the launch file's context, and the actions that it starts for these arguments."""
    from launch import LaunchContext
    monkeypatch.setenv('AMENT_PREFIX_PATH', environment['AMENT_PREFIX_PATH'])
    file = runpy.run_path(str(ROOT / 'launch/segment.launch.py'))
    context = LaunchContext()
    context.launch_configurations.update({name: default for name, (default, _) in file['ARGUMENTS'].items()})
    context.launch_configurations.update({'visualize': 'none', **arguments})
    return context, file['start'](context)


def nodes(actions):
    from launch_ros.actions import Node
    return {action.node_executable: action for action in actions if isinstance(action, Node)}


@pytest.mark.parametrize(('arguments', 'executables'), [
    ({}, ['segment', 'sim']), ({'topic': '/velodyne_points'}, ['segment']),
    ({'dataset': '/data/x'}, ['segment', 'replay']),
    ({'bagfile': 'drive', 'use_sim_time': 'true', 'rate': '2'}, ['segment', 'replay']),
    ({'topic': 'points', 'visualize': 'false'}, ['segment']),
    ({'topic': 'points', 'visualize': 'browser'}, ['segment', 'view'])])
def test_what_is_started_follows_from_the_arguments(environment, monkeypatch, arguments, executables):
    assert list(nodes(started(environment, monkeypatch, **arguments)[1])) == executables


@pytest.mark.parametrize('value', ['rviz', 'true'])
def test_rviz_is_started_where_it_is_installed_and_the_browser_recommended_elsewhere(environment, monkeypatch, tmp_path,
                                                                                     value):
    from launch.actions import LogInfo
    context, actions = started(environment, monkeypatch, topic='points', visualize=value, namespace='front')
    said, = [context.perform_substitution(action.msg[0]) for action in actions if isinstance(action, LogInfo)]
    assert list(nodes(actions)) == ['segment'] and 'visualize:=browser' in said and '/front/segment/points' in said
    (tmp_path / 'share/ament_index/resource_index/packages/rviz2').touch()
    assert list(nodes(started(environment, monkeypatch, topic='points', visualize=value)[1])) == ['segment', 'rviz2']


def test_rviz_shows_what_the_segmenter_publishes_with_a_profile_that_hears_it():
    yaml = pytest.importorskip('yaml')
    displays = yaml.safe_load((ROOT / 'config/segment.rviz').read_text())['Visualization Manager']['Displays']
    shown = {display['Name']: display['Topic'] for display in displays if 'Topic' in display}
    file = runpy.run_path(str(ROOT / 'launch/segment.launch.py'))
    assert {topic['Value'] for topic in shown.values()} == {f'/segment/{topic}' for topic in file['SHOWN']}
    assert shown['Legend']['Durability Policy'] == 'Transient Local'
    assert all(display['Color Transformer'] == 'RGB8' for display in displays if 'PointCloud2' in display['Class'])


def test_rviz_listens_in_the_namespace_of_the_segmenter(tmp_path, environment, student):
    program, arguments = tmp_path / 'lib/rviz2/rviz2', tmp_path / 'arguments.txt'
    (tmp_path / 'share/ament_index/resource_index/packages/rviz2').touch()
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\necho "$@" > {arguments}.part && mv {arguments}.part {arguments}\n')
    program.chmod(0o755)
    process = launch(environment, tmp_path, 'topic:=points', 'visualize:=rviz', 'namespace:=/front', 'fixed_frame:=map',
                     'checkpoint:=student.safetensors')
    try:
        deadline = time.monotonic() + 60
        while not arguments.exists():
            assert time.monotonic() < deadline and process.poll() is None, process.communicate()[0]
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    finally:
        process.kill()
    given = arguments.read_text()
    assert all(f'-r /segment/{topic}:=/front/segment/{topic}' in given for topic in ('points', 'legend')), given
    assert f'-d {tmp_path}/share/ros_kd/config/segment.rviz -f map' in given


def test_the_browser_is_offered_a_page_in_the_namespace_of_the_segmenter(tmp_path, environment, student):
    pytest.importorskip('rerun', reason='Rerun is not installed')
    from onlooker import free_port
    context, port = Context(), free_port()
    rclpy.init(context=context, domain_id=DOMAIN)
    node = rclpy.create_node('looker', context=context)
    process = launch(environment, tmp_path, 'topic:=points', 'visualize:=browser', 'namespace:=front',
                     f'view_port:={port}', 'checkpoint:=student.safetensors')
    try:
        deadline = time.monotonic() + 60
        while not node.get_subscriptions_info_by_topic('/front/segment/label_info'):
            assert time.monotonic() < deadline and process.poll() is None, process.communicate()[0]
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        log = process.communicate(timeout=60)[0]
        assert f'open this page in a browser: http://localhost:{port}/' in log and 'Traceback' not in log, log
    finally:
        process.kill()
        node.destroy_node()
        context.try_shutdown()
