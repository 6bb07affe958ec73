# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Label the clouds of a LiDAR, a dataset, a recorded bag, or (with no argument) of a simulated vehicle.

    ros2 launch ros_kd segment.launch.py checkpoint:=student.safetensors topic:=/velodyne_points
    ros2 launch ros_kd segment.launch.py bagfile:=drive
    ros2 launch ros_kd segment.launch.py dataset:=semantickitti:/data/semantickitti?sequences=08
    ros2 launch ros_kd segment.launch.py visualize:=browser
"""

import os

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, EmitEvent, LogInfo, OpaqueFunction, RegisterEventHandler, Shutdown
from launch.event_handlers import OnProcessExit
from launch.events import Shutdown as ShutdownEvent
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from ros_kd.nodes import launch_parts
from ros_kd.nodes.launch_parts import config, text, transport

ARGUMENTS = {
    'topic': ('', 'topic of the clouds to label; nothing else is started then'),
    'checkpoint': ('', 'a student: a .safetensors file or its folder; empty: the shipped one, of simulated towns'),
    'dataset': ('', 'dataset to replay: a path, or kind:path?option=value'),
    'bagfile': ('', 'bag of paired frames to replay'),
    'namespace': ('', 'namespace of the segmenter and of its topics, for vehicles with several LiDARs'),
    'visualize': ('rviz', 'where to show the labelled cloud: rviz (or true), where it is installed; browser: on a page '
                  'that is served here; none (or false)'),
    'images': ('', 'in the browser: topics of images to show beside, separated by commas'),
    'fixed_frame': ('', 'frame to show clouds in; empty: base_link in RViz, their own in the browser'),
    'view_address': ('127.0.0.1', 'IP address to serve the page on; 0.0.0.0: to the whole network'),
    'view_port': ('9190', 'TCP port of the page; what it shows has the next one'),
    'rate': ('1.0', 'speed of the replay relative to real time'),
    'seed': ('0', 'which town the simulated vehicle drives through'),
    'loop': ('false', 'replay again from the start at the end'),
    'use_sim_time': ('false', 'take the time from /clock; the replay publishes it then'),
    'device': ('auto', 'where the student runs: auto, cpu or cuda'),
}
CHOICES = {'visualize': ['rviz', 'browser', 'none', 'true', 'false'],
           'loop': ['true', 'false'], 'use_sim_time': ['true', 'false']}
SHOWN = ('points', 'points_filtered', 'legend')  # the segmenter's topics in config/segment.rviz


def generate_launch_description():
    """Declare the arguments; what they start depends on their values."""
    arguments = [DeclareLaunchArgument(name, default_value=default, description=text,
                                       **({'choices': CHOICES[name]} if name in CHOICES else {}))
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
    show = {'browser': browser, 'none': nothing, 'false': nothing}.get(value['visualize'], rviz)
    return [*transport(), segmenter(value), *source(value), *show(value)]


def segmenter(value):
    """The node that labels; when it cannot start, nothing else needs to run."""
    given = {'points_topic': text('topic')} if value['topic'] else {}
    return node('segment', value, config('segment.yaml'),
                {**given, 'checkpoint': text('checkpoint'), 'device': text('device'),
                 'use_sim_time': value['use_sim_time'] == 'true'}, on_exit=Shutdown())


def source(value):
    """What publishes clouds: nothing for a topic, otherwise the replay or the simulated vehicle."""
    if value['topic']:
        return []
    pace = {'rate': number(float, 'rate', value), 'loop': value['loop'] == 'true'}
    if not (value['dataset'] or value['bagfile']):
        return [LogInfo(msg='No topic, dataset or bagfile given: starting the simulated vehicle.'),
                *watched(node('sim', value, config('sim.yaml'),
                              {**pace, 'seed': number(int, 'seed', value), 'camera_rate_scale': 0.2,
                               'wait_for_subscribers': 0.0}))]
    dataset = value['dataset'] or f'bag:{os.path.abspath(os.path.expanduser(value["bagfile"]))}'
    return watched(node('replay', value, {**pace, 'dataset': ParameterValue(dataset, value_type=str),
                                          'clock': value['use_sim_time'] == 'true', 'wait_for_subscribers': 60.0}))


def watched(node):
    """Start a source of clouds; if it fails there is nothing to label, while its orderly end leaves the last labels."""
    def ended(event, context):
        return EmitEvent(event=ShutdownEvent(reason='the source of clouds failed')) if event.returncode else None
    return [node, RegisterEventHandler(OnProcessExit(target_action=node, on_exit=ended))]


def rviz(value):
    """RViz with the labelled cloud and its legend."""
    prefix = f'/{value["namespace"].strip("/")}' if value['namespace'].strip('/') else ''
    return launch_parts.rviz(
        'segment.rviz', 'visualize:=browser shows the labelled cloud in a web browser; '
        f'it is on {prefix}/segment/points.',
        ['-f', value['fixed_frame']] if value['fixed_frame'] else [],
        remappings=[(f'/segment/{topic}', f'{prefix}/segment/{topic}') for topic in SHOWN] if prefix else [],
        parameters=[{'use_sim_time': value['use_sim_time'] == 'true'}])


def browser(value):
    """The page with the labelled cloud, its classes and images."""
    given = {name: text(name) for name in ('images', 'fixed_frame') if value[name]}
    return [node('view', value, config('view.yaml'),
                 {**given, 'address': text('view_address'), 'port': number(int, 'view_port', value),
                  'use_sim_time': value['use_sim_time'] == 'true'})]


def nothing(value):
    """No view."""
    return []


def node(executable, value, *parameters, **options):
    """A node of this package in the namespace."""
    return Node(package='ros_kd', executable=executable, name=executable, namespace=value['namespace'], output='screen',
                parameters=list(parameters), **options)


def number(kind, name, value):
    """An argument as a number. Raises RuntimeError naming it if it is none."""
    try:
        return kind(value[name])
    except ValueError:
        raise RuntimeError(f'{name}:={value[name]}: expected a {"whole " if kind is int else ""}number') from None
