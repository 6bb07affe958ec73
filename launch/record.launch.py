# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Record paired frames: `ros2 launch ros_kd record.launch.py output:=drive1`, then train on the bag drive1."""

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, EmitEvent, RegisterEventHandler, SetEnvironmentVariable
from launch.conditions import IfCondition
from launch.event_handlers import OnProcessExit
from launch.events import Shutdown
from launch.substitutions import EnvironmentVariable, LaunchConfiguration, PathJoinSubstitution, PythonExpression
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare

ARGUMENTS = (
    ('output', '', 'folder of the bag; empty: ./pairs_<date>_<time>'),
    ('cameras', '', 'cameras to record, separated by commas; empty: all that publish <camera>/camera_info'),
    ('points', 'points', 'topic of the LiDAR'),
    ('max_pairs', '0', 'end after so many pairs; 0 = at Ctrl+C'),
    ('dataset', '', 'replay this dataset and record it, for example kitti_raw:/data/2011_09_26_drive_0013_sync'),
    ('rate', '1.0', 'with dataset or sim: speed relative to real time'),
    ('label_images', '', 'with dataset: folder of label images that repeats the paths of the images'),
    ('seed', '0', 'with sim: which town'),
    ('camera_rate_scale', '1.0', 'with sim: images a second relative to 10 Hz in front and 5 Hz to the sides'),
    ('namespace', '', 'namespace of the nodes and of the sensors'),
)
SWITCHES = (
    ('sim', 'also start the simulated vehicle'),
    ('use_sim_time', 'follow /clock; a dataset that is replayed publishes it'),
)


def text(name: str) -> ParameterValue:
    """Return an argument as a parameter that stays text even if it looks like a number, as output:=2026_11_23 does."""
    return ParameterValue(LaunchConfiguration(name), value_type=str)


def profile(variable: str, other: str) -> SetEnvironmentVariable:
    """Set Fast DDS' profile (both names it has had) to the shipped one, unless the user has one already."""
    shipped = PathJoinSubstitution([FindPackageShare('ros_kd'), 'config', 'fastdds.xml'])
    return SetEnvironmentVariable(
        variable, EnvironmentVariable(variable, default_value=EnvironmentVariable(other, default_value=shipped)))


def end_with(node: Node, reason: str) -> RegisterEventHandler:
    """Shut the launch down once `node` has ended."""
    return RegisterEventHandler(OnProcessExit(target_action=node, on_exit=[EmitEvent(event=Shutdown(reason=reason))]))


def generate_launch_description() -> LaunchDescription:
    """Recorder, and on request what there is to record."""
    value = LaunchConfiguration
    common = {'package': 'ros_kd', 'namespace': value('namespace'), 'output': 'screen'}
    clock = {'use_sim_time': value('use_sim_time')}
    recorder = Node(
        executable='record', name='record', **common,
        parameters=[PathJoinSubstitution([FindPackageShare('ros_kd'), 'config', 'record.yaml']),
                    {**{name: text(name) for name in ('output', 'cameras', 'points')},
                     'max_pairs': value('max_pairs')}, clock])
    replay = Node(
        executable='replay', name='replay', **common,
        parameters=[{'dataset': text('dataset'), 'label_images': text('label_images'), 'rate': value('rate'),
                     'wait_for_subscribers': 60.0, 'clock': value('use_sim_time')}],
        condition=IfCondition(PythonExpression(['r"""', value('dataset'), '""" != ""'])))
    vehicle = Node(executable='sim', name='sim', **common, condition=IfCondition(value('sim')), parameters=[
        PathJoinSubstitution([FindPackageShare('ros_kd'), 'config', 'sim.yaml']),
        {name: value(name) for name in ('seed', 'camera_rate_scale', 'rate')}])
    return LaunchDescription([
        *(DeclareLaunchArgument(name, default_value=default, description=text) for name, default, text in ARGUMENTS),
        *(DeclareLaunchArgument(name, default_value='false', choices=['true', 'false'], description=text)
          for name, text in SWITCHES),
        profile('FASTRTPS_DEFAULT_PROFILES_FILE', 'FASTDDS_DEFAULT_PROFILES_FILE'),
        profile('FASTDDS_DEFAULT_PROFILES_FILE', 'FASTRTPS_DEFAULT_PROFILES_FILE'),
        recorder, replay, vehicle,
        end_with(recorder, 'the recording has ended'),
        end_with(replay, 'the dataset has ended'),
    ])
