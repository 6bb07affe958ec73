# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""A student alone in a simulated town: it labels scans, and a page shows and scores what it saw; then all ends.

    ros2 launch ros_kd demo.launch.py checkpoint:=student.safetensors report:=report.html
"""

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, EmitEvent, IncludeLaunchDescription, RegisterEventHandler
from launch.event_handlers import OnProcessExit
from launch.events import Shutdown
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare

ARGUMENTS = (
    ('checkpoint', '', 'a student: a .safetensors file or its folder; empty: the shipped one'),
    ('seed', '200', 'which town'),
    ('scans', '30', 'scans to label before the page is written'),
    ('report', 'report.html', 'the page'),
    ('caption', 'Simulated vehicle in a town that training never saw', 'line under the headline of the page'),
    ('device', 'auto', 'where the student runs: auto, cpu or cuda'),
    ('visualize', 'none', 'where to show the labelled cloud meanwhile: rviz, browser or none'),
)


def generate_launch_description() -> LaunchDescription:
    """Segmenter on the simulated vehicle, and the report that ends both."""
    value = LaunchConfiguration
    segment = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(
            PathJoinSubstitution([FindPackageShare('ros_kd'), 'launch', 'segment.launch.py'])),
        launch_arguments=[('use_sim_time', 'true'), ('rate', '0.5'), *(
            (name, value(name)) for name in ('checkpoint', 'seed', 'device', 'visualize'))])
    report = Node(package='ros_kd', executable='report', name='report', output='screen', parameters=[{
        'scans': value('scans'), 'out': ParameterValue(value('report'), value_type=str),
        'caption': ParameterValue(value('caption'), value_type=str), 'cameras': ['front', 'left', 'right'],
        'use_sim_time': True}])
    return LaunchDescription([
        *(DeclareLaunchArgument(name, default_value=default, description=text) for name, default, text in ARGUMENTS),
        segment, report,
        RegisterEventHandler(OnProcessExit(target_action=report, on_exit=[
            EmitEvent(event=Shutdown(reason='the report is written'))])),
    ])
