# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""metadata.yaml, by which rosbag2 knows the files and topics of a bag."""

from __future__ import annotations

import os
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Sequence

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from ros_kd.bags.mcap.summary import Summary

NAME = 'metadata.yaml'
VERSION = 8  # the newest that Humble's rosbag2 still reads
_ROOT = 'rosbag2_bagfile_information'


@dataclass(frozen=True)
class FileEntry:
    """A file of a bag by its name in the folder, and what it holds."""

    name: str
    summary: Summary


@dataclass(frozen=True)
class Listed:
    """What a metadata.yaml says: names of the files, and their messages in all."""

    names: tuple[str, ...]
    messages: int


def read_metadata(folder: Path) -> Listed | None:
    """Return what the folder's metadata.yaml says, None where it is missing or unreadable."""
    try:
        information = YAML(typ='safe').load((folder / NAME).read_text(encoding='utf-8'))[_ROOT]
        return Listed(tuple(Path(name).name for name in information['relative_file_paths']),
                      int(information['message_count']))
    except (OSError, YAMLError, ValueError, KeyError, TypeError):
        return None


def write_metadata(folder: Path, files: Sequence[FileEntry]) -> None:
    """Replace metadata.yaml at once: it is the old one or the new one at any time. Raises OSError."""
    temporary = folder / f'.{NAME}.part'
    writer = YAML(typ='safe')
    writer.default_flow_style = False
    try:
        with temporary.open('w', encoding='utf-8') as stream:
            writer.dump({_ROOT: _information(files)}, stream)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(folder / NAME)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(folder)


def sync_folder(folder: Path) -> None:
    """Force the names of new files onto the disk."""
    with suppress(OSError):  # some network file systems cannot
        file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(file)
        finally:
            os.close(file)


def _information(files: Sequence[FileEntry]) -> dict[str, Any]:
    filled = [file.summary for file in files if file.summary.messages]
    start = min((summary.start for summary in filled), default=0)
    end = max((summary.end for summary in filled), default=0)
    return {
        'version': VERSION,
        'storage_identifier': 'mcap',
        'relative_file_paths': [file.name for file in files],
        'duration': {'nanoseconds': end - start},
        'starting_time': {'nanoseconds_since_epoch': start},
        'message_count': sum(summary.messages for summary in filled),
        'topics_with_message_count': _topics(filled),
        'compression_format': '',
        'compression_mode': '',
        'files': [_file(file) for file in files],
        'custom_data': None,
        'ros_distro': '',
    }


def _file(file: FileEntry) -> dict[str, Any]:
    start = file.summary.start if file.summary.messages else 0
    return {'path': file.name, 'starting_time': {'nanoseconds_since_epoch': start},
            'duration': {'nanoseconds': file.summary.end - start}, 'message_count': file.summary.messages}


def _topics(summaries: Sequence[Summary]) -> list[dict[str, Any]]:
    topics: dict[str, dict[str, str]] = {}
    counts: Counter[str] = Counter()
    for summary in summaries:
        types = {number: schema.name for number, schema in summary.schemas.items()}
        for number, channel in summary.channels.items():
            topics.setdefault(channel.topic, {
                'name': channel.topic,
                'type': types.get(channel.schema, ''),
                'serialization_format': channel.encoding,
                'offered_qos_profiles': channel.metadata.get('offered_qos_profiles', ''),
                'type_description_hash': channel.metadata.get('topic_type_hash', '')})
            counts[channel.topic] += summary.counts[number]
    return [{'topic_metadata': topic, 'message_count': counts[name]} for name, topic in topics.items()]
