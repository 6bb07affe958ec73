# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Check calibration and time before a drive: points over the live images, the cloud in their colours, Δt, in RViz."""

from launch import LaunchDescription
from launch.actions import OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from ros_kd.nodes import launch_parts
from ros_kd.nodes.launch_parts import (SOURCE_ARGUMENTS, SOURCE_SWITCHES, config, declared, end_with, given, sources,
                                       text, transport)

ARGUMENTS = (
    ('cameras', '', 'cameras to check, separated by commas; empty: as in params_file, else all that publish '
     '<camera>/camera_info'),
    ('points', '', 'topic of the LiDAR; empty: as in params_file, else points'),
)
FURTHER = (
    ('params_file', config('record.yaml'), 'YAML with all parameters'),
    ('visualize', 'true', 'show the pictures in RViz, where it is installed'),
)


def overlay(context):
    """The overlay, with the parameters that were given behind those of the file; its end is the launch's end."""
    node = Node(
        package='ros_kd', executable='overlay', name='overlay', namespace=LaunchConfiguration('namespace'),
        output='screen', parameters=[
            LaunchConfiguration('params_file'),
            {**given(context, ARGUMENTS, text), 'use_sim_time': LaunchConfiguration('use_sim_time')}])
    return [node, end_with(node, 'the overlay has ended')]


def rviz(context):
    """RViz with the cloud and the pictures."""
    if LaunchConfiguration('visualize').perform(context) != 'true':
        return []
    return launch_parts.rviz('overlay.rviz', 'the pictures are on /overlay/<camera>/image.',
                             parameters=[{'use_sim_time': LaunchConfiguration('use_sim_time')}])


def generate_launch_description() -> LaunchDescription:
    """The overlay, RViz, and on request what there is to see."""
    return LaunchDescription([
        *declared((*ARGUMENTS, *FURTHER, *SOURCE_ARGUMENTS), SOURCE_SWITCHES), *transport(),
        OpaqueFunction(function=overlay), *sources(), OpaqueFunction(function=rviz)])
