# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""The parameters of what pairs live: the recorder and the overlay share them."""

from __future__ import annotations

from dataclasses import dataclass

from rclpy.node import Node

from ros_kd.nodes import topics
from ros_kd.nodes.running import OFF, declare

LEARN = 'learn'


@dataclass(frozen=True)
class StreamParameters:
    """Values at the start; `declare_stream` says what they mean. offsets: seconds by camera. bounds: as pairing takes
    them, or LEARN or OFF."""

    points: str
    cameras: tuple[str, ...]
    labels: bool
    policy: str
    slop: float
    queue: int
    age_penalty: float
    offsets: dict[str, float]
    bounds: dict[str, float] | str
    fixed_frame: str
    base_frame: str
    tf_timeout: float
    label_timeout: float
    reliability: str
    input_timeout: float
    discovery_time: float


def declare_stream(node: Node) -> StreamParameters:
    """Declare the parameters, read only. Raises ValueError naming a wrong value and what was expected."""
    names = tuple(map(str, declare(node, 'cameras', [], 'cameras to pair (<name>/image..., <name>/camera_info); empty: '
                                   'all that are published')))
    for name in names:
        resolve(node, 'cameras', name)
    bounds = declare(node, 'rate_bounds', [LEARN], 'shortest time between the messages of a topic, which lets a pair '
                     f'be released before the next message: {LEARN} from the stamps, {OFF}, or name=seconds for each '
                     'camera and "points"')
    return StreamParameters(
        points=resolve(node, 'points', declare(node, 'points', topics.POINTS, 'topic of the LiDAR')),
        cameras=names,
        labels=declare(node, 'record_labels', 'auto', "take the cameras' label images too: auto = where they are "
                       'published at the start', choices=('auto', OFF)) == 'auto',
        policy=declare(node, 'policy', 'approximate', 'approximate: the sets of messages closest in time; exact: equal '
                       'stamps only', choices=('approximate', 'exact')),
        slop=declare(node, 'slop', 0.1, 'largest time between the messages of a pair, in seconds', 0.001, 10.0),
        queue=declare(node, 'queue', 20, 'messages kept of each topic while looking for their pair', 1, 1000),
        age_penalty=declare(node, 'age_penalty', 0.1, 'how much closer in time a later set must be to be taken instead '
                            'of an earlier one, as a share', 0.0, 10.0),
        offsets=_named('time_offsets', declare(node, 'time_offsets', [], 'name=seconds by which the stamps of a camera '
                                               'are later than its exposure; taken off for pairing only')),
        bounds=bounds[0] if bounds in ([LEARN], [OFF]) else _named('rate_bounds', bounds),
        fixed_frame=declare(node, 'fixed_frame', 'odom', 'frame in which the motion between scan and image is known; '
                            'empty: leave the motion out'),
        base_frame=declare(node, 'base_frame', 'base_link', 'frame of the vehicle, to which the sensors are fixed'),
        tf_timeout=declare(node, 'tf_timeout', 5.0, 'seconds that a pair waits for transforms and calibration', 0.0,
                           60.0),
        label_timeout=declare(node, 'label_timeout', 0.5, 'seconds that a pair waits for its label images', 0.0, 60.0),
        reliability=declare(node, 'qos_reliability', 'auto', 'reliability of the subscriptions: auto = reliable where '
                            'all publishers are', choices=('auto', 'reliable', 'best_effort')),
        input_timeout=declare(node, 'input_timeout', 5.0, 'seconds of silence on a topic before a warning', 0.1,
                              3600.0),
        discovery_time=declare(node, 'discovery_time', 1.0, 'seconds to wait for further cameras after finding one, '
                               'with cameras empty', 0.0, 60.0))


def resolve(node: Node, parameter: str, name: str) -> str:
    """Return the full name of a topic. Raises ValueError naming the parameter if `name` is none."""
    try:
        return node.resolve_topic_name(str(name))
    except Exception as error:  # rclpy has one class for each reason
        raise ValueError(f'parameter {parameter}: "{name}" is no name of a topic: {error}') from None


def _named(parameter: str, items: list[str]) -> dict[str, float]:
    values = {}
    for item in items:
        name, _, number = str(item).partition('=')
        try:
            values[name.strip()] = float(number)
        except ValueError:
            raise ValueError(f'parameter {parameter}: "{item}", expected name=seconds, as in front=0.012') from None
    return values
