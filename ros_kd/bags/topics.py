# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""The topics of a rig as an mcap file describes them: definitions, and how to play them (quality of service)."""

from __future__ import annotations

from ros_kd.bags import codec, layout
from ros_kd.bags.mcap.file import Topic
from ros_kd.bags.mcap.records import Channel, Schema

# Keep last 1, reliable, transient local: who subscribes later gets the last message, as rosbag2 (to Jazzy) writes it.
_LATCHED = '''- history: 1
  depth: 1
  reliability: 1
  durability: 1
  deadline:
    sec: 0
    nsec: 0
  lifespan:
    sec: 0
    nsec: 0
  liveliness: 0
  liveliness_lease_duration:
    sec: 0
    nsec: 0
  avoid_ros_namespace_conventions: false'''


def topics_of(rig: layout.Rig) -> dict[str, Topic]:
    """Return the topics of a rig by name; the same rig has the same channels in all its files."""
    types, latched = rig.types(), rig.latched()
    schemas = {kind: _schema(number, kind) for number, kind in enumerate(dict.fromkeys(types.values()), 1)}
    return {name: Topic(_channel(number, name, schemas[kind], name in latched), schemas[kind])
            for number, (name, kind) in enumerate(types.items(), 1)}


def _schema(number: int, kind: str) -> Schema:
    definition, _ = codec.typestore().generate_msgdef(kind, ros_version=2)
    return Schema(number, kind, 'ros2msg', definition.encode())


def _channel(number: int, name: str, schema: Schema, latched: bool) -> Channel:
    return Channel(number, schema.id, name, 'cdr', {'offered_qos_profiles': _LATCHED if latched else '',
                                                    'topic_type_hash': codec.typestore().hash_rihs01(schema.name)})
