# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""The segmenter's parameters; config/segment.yaml repeats their defaults."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Sequence

from rclpy.node import Node
from rclpy.parameter import Parameter

from ros_kd.nodes.labelled_cloud import FIELDS
from ros_kd.nodes.running import checked, declare


@dataclass(frozen=True)
class SegmentParameters:
    """The values; PARAMETERS says what they mean."""

    points_topic: str
    checkpoint: str
    device: str
    backend: str
    precision: str
    tta: int
    threads: int
    reliability: str
    depth: int
    output_fields: tuple[str, ...]
    min_confidence: float
    drop_classes: tuple[str, ...]
    drop_below_confidence: float
    budget_ms: float
    input_timeout: float
    intensity_scale: float
    autostart: bool


@dataclass(frozen=True)
class _Declared:
    """How a parameter is declared, see `declare`; the names are its arguments."""

    default: Any
    description: str
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    live: bool = False


PARAMETERS = {
    'points_topic': _Declared('points', 'topic of the clouds to label; remapping works too'),
    'checkpoint': _Declared('', 'a student: a .safetensors file, or a folder that holds one; empty: the one that is '
                            'shipped, trained on simulated towns. ~/reload loads the one named now', live=True),
    'device': _Declared('auto', 'where the student runs: "auto" (the GPU if there is one), "cpu" or "cuda"'),
    'backend': _Declared('auto', 'how sparse convolutions are computed: "auto" or the name of a backend'),
    'precision': _Declared('auto', 'numbers to compute with: "auto" takes bfloat16 where the processor is faster with '
                           'it', choices=('auto', 'float32', 'bfloat16')),
    'tta': _Declared(1, 'turned and mirrored views of a cloud to average over: better labels at as many times the cost',
                     1, 12),
    'threads': _Declared(0, 'threads of the student on the CPU; 0: as many as torch takes', 0, 256),
    'reliability': _Declared('best_effort', 'QoS of the subscription: "best_effort" hears every publisher, "reliable" '
                             'only reliable ones', choices=('best_effort', 'reliable')),
    'depth': _Declared(1, 'QoS queue of the subscription; more than 1 makes results older, not more frequent', 1, 100),
    'output_fields': _Declared(list(FIELDS), "fields to append to the cloud's own", choices=FIELDS, live=True),
    'min_confidence': _Declared(0.0, 'points below are grey in "rgb", label and confidence stay; 0: all in colour', 0.0,
                                1.0, live=True),
    'drop_classes': _Declared([], 'names of the classes to leave out of ~/points_filtered', live=True),
    'drop_below_confidence': _Declared(0.0, 'points below are left out of ~/points_filtered', 0.0, 1.0, live=True),
    'budget_ms': _Declared(0.0, 'time for a cloud beyond which /diagnostics warns; 0: the time between the clouds as '
                           'they come', 0.0, 60000.0, live=True),
    'input_timeout': _Declared(5.0, 'seconds without a cloud before /diagnostics reports an error; 0: never', 0.0,
                               3600.0, live=True),
    'intensity_scale': _Declared(0.0, 'the value of full intensity on this LiDAR (1, 255, 65535 ...); 0: judged by the '
                                 'first scans', 0.0, 1e6),
    'autostart': _Declared(True, 'configure and activate at the start; False: wait for a lifecycle manager'),
}


def declare_parameters(node: Node) -> SegmentParameters:
    """Declare the parameters. Raises ValueError naming a wrong value and what was expected."""
    return SegmentParameters(**{name: _fixed(declare(node, name, **asdict(declared)))
                                for name, declared in PARAMETERS.items()})


def updated(settings: SegmentParameters, parameters: Sequence[Parameter]) -> SegmentParameters:
    """Return the values after a change. Raises ValueError naming a wrong value and what was expected."""
    values = {}
    for parameter in parameters:
        declared = PARAMETERS.get(parameter.name)
        if declared is not None:
            values[parameter.name] = _fixed(checked(parameter.name, parameter.value, declared.default,
                                                    declared.description, declared.low, declared.high,
                                                    declared.choices))
    if values.get('checkpoint') and not Path(values['checkpoint']).expanduser().exists():
        raise ValueError(f'parameter checkpoint is "{values["checkpoint"]}", which is not there: expected a '
                         '.safetensors file or a folder that holds one')
    return replace(settings, **values)


def _fixed(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
