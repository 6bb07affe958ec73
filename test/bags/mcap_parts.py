# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""An mcap file taken apart by the letter of its specification, and all that a bag holds."""

import struct

from ros_kd.bags.index import BagIndex

CHUNK, MESSAGE = 6, 5


def places(data, begin=8, end=None):
    """Offset, opcode and end of all records of a file, those in uncompressed chunks included."""
    found = []
    while begin + 9 <= (len(data) - 8 if end is None else end):
        opcode, length = struct.unpack_from('<BQ', data, begin)
        found.append((begin, opcode, begin + 9 + length))
        if opcode == CHUNK and struct.unpack_from('<I', data, begin + 37) == (0,):
            found += places(data, begin + 49, begin + 9 + length)
        begin += 9 + length
    return found


def chunk_ends(data):
    """Where the chunks end."""
    return [end for _, opcode, end in places(data) if opcode == CHUNK]


def messages(path):
    """Stamp and bytes of all messages, by topic."""
    index = BagIndex(path)
    return {topic: [(int(stamp), bytes(index.read(topic, number))) for number, stamp in enumerate(index.stamps(topic))]
            for topic in index.types}
