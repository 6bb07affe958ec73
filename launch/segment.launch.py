# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Label the clouds of a LiDAR, a dataset, a recorded bag, or (with no argument) of a simulated vehicle.

    ros2 launch ros_kd segment.launch.py checkpoint:=student.safetensors topic:=/velodyne_points
    ros2 launch ros_kd segment.launch.py bagfile:=drive
    ros2 launch ros_kd segment.launch.py dataset:=semantickitti:/data/semantickitti?sequences=08
"""

import os

from ament_index_python.packages import PackageNotFoundError, get_package_prefix, get_package_share_directory
from launch import LaunchDescription
from launch.actions import (DeclareLaunchArgument, EmitEvent, LogInfo, OpaqueFunction, RegisterEventHandler,
                            SetEnvironmentVariable, Shutdown)
from launch.event_handlers import OnProcessExit
from launch.events import Shutdown as ShutdownEvent
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

ARGUMENTS = {
    'topic': ('', 'topic of the clouds to label; nothing else is started then'),
    'checkpoint': ('', 'a student: a .safetensors file or its folder; empty: the shipped one, of simulated towns'),
    'dataset': ('', 'dataset to replay: a path, or kind:path?option=value'),
    'bagfile': ('', 'bag of paired frames to replay'),
    'visualize': ('true', 'show the labelled cloud in RViz, where it is installed'),
    'rate': ('1.0', 'speed of the replay relative to real time'),
    'seed': ('0', 'which town the simulated vehicle drives through'),
    'loop': ('false', 'replay again from the start at the end'),
    'use_sim_time': ('false', 'take the time from /clock; the replay publishes it then'),
    'device': ('auto', 'where the student runs: auto, cpu or cuda'),
}
BOOLEAN = ('visualize', 'loop', 'use_sim_time')
PROFILES = ('FASTRTPS_DEFAULT_PROFILES_FILE', 'FASTDDS_DEFAULT_PROFILES_FILE')  # its name before Fast DDS 3, and now


def generate_launch_description():
    """Declare the arguments; what they start depends on their values."""
    arguments = [DeclareLaunchArgument(name, default_value=default, description=text,
                                       **({'choices': ['true', 'false']} if name in BOOLEAN else {}))
                 for name, (default, text) in ARGUMENTS.items()]
    return LaunchDescription([*arguments, OpaqueFunction(function=start)])


def start(context):
    """Return the actions for the values of the arguments."""
    value = {name: LaunchConfiguration(name).perform(context) for name in ARGUMENTS}
    given = [name for name in ('topic', 'dataset', 'bagfile') if value[name]]
    if len(given) > 1:
        raise RuntimeError(f'{" and ".join(f"{name}:={value[name]}" for name in given)}: choose one of them')
    if not given:
        value['use_sim_time'] = 'true'  # of the simulated vehicle's /clock
    share = get_package_share_directory('ros_kd')
    return [*transport(share), segmenter(share, value), *source(share, value), *rviz(share, value)]


def transport(share):
    """Fast DDS's own shared memory loses large clouds; a profile that the user has set stays."""
    profile = os.path.join(share, 'config', 'fastdds.xml')
    own = any(name in os.environ for name in PROFILES)
    return [] if own else [SetEnvironmentVariable(name, profile) for name in PROFILES]


def segmenter(share, value):
    """The node that labels; when it cannot start, nothing else needs to run."""
    parameters = {'points_topic': text(value['topic'] or 'points'), 'checkpoint': text(value['checkpoint']),
                  'device': text(value['device']), 'use_sim_time': value['use_sim_time'] == 'true'}
    return Node(package='ros_kd', executable='segment', name='segment', output='screen', on_exit=Shutdown(),
                parameters=[os.path.join(share, 'config', 'segment.yaml'), parameters])


def source(share, value):
    """What publishes clouds: nothing for a topic, otherwise the replay or the simulated vehicle."""
    if value['topic']:
        return []
    pace = {'rate': number(float, 'rate', value), 'loop': value['loop'] == 'true'}
    if not (value['dataset'] or value['bagfile']):
        return [LogInfo(msg='No topic, dataset or bagfile given: starting the simulated vehicle.'),
                *watched(Node(package='ros_kd', executable='sim', name='sim', output='screen', parameters=[
                    os.path.join(share, 'config', 'sim.yaml'),
                    {**pace, 'seed': number(int, 'seed', value), 'camera_rate_scale': 0.2,
                     'wait_for_subscribers': 0.0}]))]
    dataset = value['dataset'] or f'bag:{os.path.abspath(os.path.expanduser(value["bagfile"]))}'
    return watched(Node(package='ros_kd', executable='replay', name='replay', output='screen', parameters=[
        {**pace, 'dataset': text(dataset), 'clock': value['use_sim_time'] == 'true', 'wait_for_subscribers': 60.0}]))


def watched(node):
    """Start a source of clouds; if it fails there is nothing to label, while its orderly end leaves the last labels."""
    def ended(event, context):
        return EmitEvent(event=ShutdownEvent(reason='the source of clouds failed')) if event.returncode else None
    return [node, RegisterEventHandler(OnProcessExit(target_action=node, on_exit=ended))]


def rviz(share, value):
    """RViz with the labelled cloud and its legend."""
    if value['visualize'] != 'true':
        return []
    try:
        get_package_prefix('rviz2')
    except PackageNotFoundError:
        return [LogInfo(msg='RViz is not installed here (package rviz2): the labelled cloud is on /segment/points.')]
    return [Node(package='rviz2', executable='rviz2', name='rviz2', output='log',
                 arguments=['-d', os.path.join(share, 'config', 'segment.rviz')],
                 parameters=[{'use_sim_time': value['use_sim_time'] == 'true'}])]


def number(kind, name, value):
    """An argument as a number. Raises RuntimeError naming it if it is none."""
    try:
        return kind(value[name])
    except ValueError:
        raise RuntimeError(f'{name}:={value[name]}: expected a {"whole " if kind is int else ""}number') from None


def text(value):
    """A parameter that stays text even if it looks like a number."""
    return ParameterValue(value, value_type=str)
