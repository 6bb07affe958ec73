# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""The segmenter's parameters; config/segment.yaml repeats their defaults."""

from __future__ import annotations

from dataclasses import dataclass

from rclpy.node import Node

from ros_kd.nodes.running import declare


@dataclass(frozen=True)
class SegmentParameters:
    """The values at the start; `declare_parameters` says what they mean."""

    points_topic: str
    checkpoint: str
    device: str
    backend: str
    reliability: str
    depth: int
    min_confidence: float
    input_timeout: float
    intensity_scale: float
    autostart: bool


def declare_parameters(node: Node) -> SegmentParameters:
    """Declare the parameters, read only. Raises ValueError naming a wrong value and what was expected."""
    return SegmentParameters(
        points_topic=declare(node, 'points_topic', 'points', 'topic of the clouds to label; remapping works too'),
        checkpoint=declare(node, 'checkpoint', '', 'a student: a .safetensors file, or a folder that holds one; '
                           'empty: the one that is shipped, trained on simulated towns'),
        device=declare(node, 'device', 'auto', 'where the student runs: "auto" (the GPU if there is one), "cpu" '
                       'or "cuda"'),
        backend=declare(node, 'backend', 'auto', 'how sparse convolutions are computed: "auto" or the name of a '
                        'backend'),
        reliability=declare(node, 'reliability', 'best_effort', 'QoS of the subscription: "best_effort" hears every '
                            'publisher, "reliable" only reliable ones', choices=('best_effort', 'reliable')),
        depth=declare(node, 'depth', 1, 'QoS queue of the subscription; more than 1 makes results older, not more '
                      'frequent', 1, 100),
        min_confidence=declare(node, 'min_confidence', 0.0, 'points below are grey in "rgb", label and confidence '
                               'stay; 0: all in colour', 0.0, 1.0),
        input_timeout=declare(node, 'input_timeout', 5.0, 'seconds without a cloud before /diagnostics reports an '
                              'error; 0: never', 0.0, 3600.0),
        intensity_scale=declare(node, 'intensity_scale', 0.0, 'the value of full intensity on this LiDAR (1, 255, '
                                '65535 ...); 0: judged by the first scans', 0.0, 1e6),
        autostart=declare(node, 'autostart', True, 'configure and activate at the start; False: wait for a lifecycle '
                          'manager'))
