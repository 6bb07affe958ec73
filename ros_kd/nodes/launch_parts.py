# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""What the launch files share: the transport's profile, sources of messages, and parameters as they were written."""

from __future__ import annotations

from typing import Any, Callable, Iterable

from ament_index_python.packages import PackageNotFoundError, get_package_prefix
from launch import Action, LaunchContext
from launch.actions import DeclareLaunchArgument, EmitEvent, LogInfo, RegisterEventHandler, SetEnvironmentVariable
from launch.conditions import IfCondition
from launch.event_handlers import OnProcessExit
from launch.events import Shutdown
from launch.substitutions import EnvironmentVariable, LaunchConfiguration, PathJoinSubstitution, PythonExpression
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare

PROFILES = ('FASTRTPS_DEFAULT_PROFILES_FILE', 'FASTDDS_DEFAULT_PROFILES_FILE')  # its name before Fast DDS 3, and now
SOURCE_ARGUMENTS = (
    ('dataset', '', 'replay this dataset, for example kitti_raw:/data/2011_09_26_drive_0013_sync'),
    ('rate', '1.0', 'with dataset or sim: speed relative to real time'),
    ('label_images', '', 'with dataset: folder of label images that repeats the paths of the images'),
    ('seed', '0', 'with sim: which town'),
    ('camera_rate_scale', '1.0', 'with sim: images a second relative to 10 Hz in front and 5 Hz to the sides'),
    ('namespace', '', 'namespace of the nodes and of the sensors'),
)
SOURCE_SWITCHES = (
    ('sim', 'also start the simulated vehicle'),
    ('use_sim_time', 'follow /clock; a dataset that is replayed publishes it'),
)


def declared(arguments: Iterable[tuple[str, str, str]], switches: Iterable[tuple[str, str]]) -> list[Action]:
    """Return the declarations of (name, default, description) and of switches that are false by default."""
    return [*(DeclareLaunchArgument(name, default_value=default, description=text)
              for name, default, text in arguments),
            *(DeclareLaunchArgument(name, default_value='false', choices=['true', 'false'], description=text)
              for name, text in switches)]


def text(name: str) -> ParameterValue:
    """Return an argument as a parameter that stays text even if it looks like a number, as output:=2026_11_23 does."""
    return ParameterValue(LaunchConfiguration(name), value_type=str)


def given(context: LaunchContext, arguments: Iterable[tuple[str, str, str]], value: Callable[[str], Any]
          ) -> dict[str, Any]:
    """Return the arguments (name, default, description) that are not empty, as parameters made by `value` of the name.

    The others stay as the file has them.
    """
    return {name: value(name) for name, _, _ in arguments if LaunchConfiguration(name).perform(context)}


def config(file: str) -> PathJoinSubstitution:
    """Return the path of a shipped file of config/."""
    return PathJoinSubstitution([FindPackageShare('ros_kd'), 'config', file])


def transport() -> list[Action]:
    """Set Fast DDS' profile (both names it has had) to the shipped one, unless the user has one already."""
    return [SetEnvironmentVariable(name, EnvironmentVariable(
        name, default_value=EnvironmentVariable(other, default_value=config('fastdds.xml'))))
        for name, other in (PROFILES, PROFILES[::-1])]


def end_with(node: Node, reason: str) -> RegisterEventHandler:
    """Shut the launch down once `node` has ended."""
    return RegisterEventHandler(OnProcessExit(target_action=node, on_exit=[EmitEvent(event=Shutdown(reason=reason))]))


def sources() -> list[Action]:
    """Return the replayed dataset and the simulated vehicle, each where its argument asks for it."""
    value = LaunchConfiguration
    common = {'package': 'ros_kd', 'namespace': value('namespace'), 'output': 'screen'}
    replay = Node(
        executable='replay', name='replay', **common,
        parameters=[{'dataset': text('dataset'), 'label_images': text('label_images'), 'rate': value('rate'),
                     'wait_for_subscribers': 60.0, 'clock': value('use_sim_time')}],
        condition=IfCondition(PythonExpression(['r"""', value('dataset'), '""" != ""'])))
    vehicle = Node(executable='sim', name='sim', **common, condition=IfCondition(value('sim')), parameters=[
        config('sim.yaml'), {name: value(name) for name in ('seed', 'camera_rate_scale', 'rate')}])
    return [replay, vehicle, end_with(replay, 'the dataset has ended')]


def rviz(file: str, missing: str, arguments: Iterable[str] = (), **options: Any) -> list[Action]:
    """Return RViz with a shipped view; where it is not installed, a line that says so and `missing`.

    options: of its Node.
    """
    try:
        get_package_prefix('rviz2')
    except PackageNotFoundError:
        return [LogInfo(msg=f'RViz is not installed here (package rviz2): {missing}')]
    return [Node(package='rviz2', executable='rviz2', name='rviz2', output='log',
                 arguments=['-d', config(file), *arguments], **options)]
