# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Record paired frames: `ros2 launch ros_kd record.launch.py output:=drive1`, then train on the bag drive1."""

from launch import LaunchDescription
from launch.actions import OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from ros_kd.nodes.launch_parts import (SOURCE_ARGUMENTS, SOURCE_SWITCHES, config, declared, end_with, given, sources,
                                       text, transport)

TEXTS = (
    ('output', '', 'folder of the bag; empty: ./pairs_<date>_<time>'),
    ('cameras', '', 'cameras to record, separated by commas; empty: as in params_file, else all that publish '
     '<camera>/camera_info'),
    ('points', '', 'topic of the LiDAR; empty: as in params_file, else points'),
    ('compression', '', 'of the bag: none or zstd'),
)
NUMBERS = (
    ('max_pairs', '', 'end after so many pairs; 0 = at Ctrl+C'),
    ('every', '', 'record every n-th pair'),
    ('min_distance', '', 'metres (1.0) that the vehicle travels between recorded pairs; 0.0 = all'),
    ('split_duration', '', 'seconds (60.0) after which a new file of the bag begins; 0.0 = never'),
    ('split_size', '', 'MB after which a new file of the bag begins; 0 = never'),
    ('snapshot_duration', '', 'hold so many seconds (30.0) in memory, write them when ~/snapshot is called'),
)
PATIENCE = '600'  # seconds after Ctrl+C in which a slow disk may take what waits for it; launch kills after 10


def recorder(context):
    """The recorder, with the parameters that were given behind those of the file; its end is the launch's end."""
    node = Node(
        package='ros_kd', executable='record', name='record', namespace=LaunchConfiguration('namespace'),
        output='screen', sigterm_timeout=PATIENCE, sigkill_timeout=PATIENCE, parameters=[
            LaunchConfiguration('params_file'),
            {**given(context, TEXTS, text), **given(context, NUMBERS, LaunchConfiguration),
             'use_sim_time': LaunchConfiguration('use_sim_time')}])
    return [node, end_with(node, 'the recording has ended')]


def generate_launch_description() -> LaunchDescription:
    """Recorder, and on request what there is to record."""
    further = ('params_file', config('record.yaml'), 'YAML with all parameters')
    return LaunchDescription([
        *declared((*TEXTS, *NUMBERS, further, *SOURCE_ARGUMENTS), SOURCE_SWITCHES),
        *transport(), OpaqueFunction(function=recorder), *sources()])
