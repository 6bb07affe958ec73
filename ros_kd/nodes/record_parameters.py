# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""The recorder's own parameters; config/record.yaml repeats their defaults."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from rclpy.node import Node

from ros_kd.bags.recording import Limits
from ros_kd.bags.writer import Storage
from ros_kd.nodes.running import declare
from ros_kd.nodes.stream_parameters import resolve

MB = 1_000_000
NEXT, WHILE = 'next', 'while'


@dataclass(frozen=True)
class RecordParameters:
    """Values at the start; `declare_record` says what they mean."""

    output: Path
    max_pairs: int
    every: int
    min_distance: float
    snapshot: float
    trigger_topic: str
    trigger: str
    paused: bool
    autostart: bool
    storage: Storage
    limits: Limits


def declare_record(node: Node) -> RecordParameters:
    """Declare the parameters, read only. Raises ValueError naming a wrong value and what was expected."""
    output = declare(node, 'output', '', 'folder of the bag; empty: ./pairs_<date>_<time>')
    output = output or f'pairs_{datetime.now():%Y-%m-%d_%H-%M-%S}'
    trigger_topic = declare(node, 'trigger_topic', '', 'topic that decides what is recorded, see trigger; empty: none')
    return RecordParameters(
        output=Path(output).expanduser().absolute(),
        max_pairs=declare(node, 'max_pairs', 0, 'end after so many pairs; 0 = never', 0, 2**31 - 1),
        every=declare(node, 'every', 1, 'record every n-th pair', 1, 10000),
        min_distance=declare(node, 'min_distance', 0.0, 'metres that the vehicle travels between recorded pairs (needs '
                             'odometry); 0: all', 0.0, 1e5),
        snapshot=declare(node, 'snapshot_duration', 0.0, 'hold the pairs of so many seconds in memory, and write them '
                         'when ~/snapshot is called; 0: record at once', 0.0, 3600.0),
        trigger_topic=resolve(node, 'trigger_topic', trigger_topic) if trigger_topic else '',
        trigger=declare(node, 'trigger', WHILE, f'{NEXT}: each std_msgs/Empty on trigger_topic records the next pair; '
                        f'{WHILE}: record while the last std_msgs/Bool was true', choices=(NEXT, WHILE)),
        paused=declare(node, 'start_paused', False, 'record nothing until ~/resume is called'),
        autostart=declare(node, 'autostart', True, 'configure and activate at the start; False: wait for a lifecycle '
                          'manager or ~/start'),
        storage=Storage(
            declare(node, 'split_size', 0, 'MB after which a new file begins; 0 = never', 0, 10**9) * MB,
            declare(node, 'split_duration', 0.0, 'seconds after which a new file begins; 0 = never', 0.0, 1e6),
            declare(node, 'compression', 'none', 'of the files; zstd makes raw images and clouds smaller and costs a '
                    'core', choices=('none', 'zstd'))),
        limits=Limits(
            declare(node, 'backlog', 512, 'MB of pairs that may wait for the disk; pairs beyond are dropped and '
                    'counted', 1, 10**6) * MB,
            declare(node, 'min_free_space', 1000, 'MB of the disk that stay free: recording ends before', 0,
                    10**9) * MB,
            declare(node, 'sync_period', 1.0, 'seconds of recording that a power cut may take', 0.25, 60.0)))
