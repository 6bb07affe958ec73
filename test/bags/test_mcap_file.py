# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Chunks go to the kernel as they are, in any number of pieces."""

import os
import struct

import numpy as np
import pytest
from mcap_parts import CHUNK, chunk_ends, places

from ros_kd.bags.mcap.file import McapFile, Topic, write_all
from ros_kd.bags.mcap.finished import read_finished
from ros_kd.bags.mcap.records import Channel, Schema, zstd
from ros_kd.bags.mcap.scan import scan

STRING = Schema(1, 'std_msgs/msg/String', 'ros2msg', b'string data')
TOPICS = [Topic(Channel(number, 1, f'/{number}', 'cdr', {}), STRING) for number in range(1, 4)]


def test_more_pieces_than_one_call_takes_are_written_in_order(tmp_path):
    random = np.random.default_rng(0)
    parts = [random.bytes(int(size)) for size in random.integers(0, 50, 5000)]
    file = os.open(tmp_path / 'parts', os.O_RDWR | os.O_CREAT)
    assert write_all(file, parts, 7) == sum(map(len, parts)) > os.sysconf('SC_IOV_MAX')
    assert os.pread(file, 10**6, 0) == bytes(7) + b''.join(parts)
    os.close(file)


@pytest.mark.parametrize('compression', ['', 'zstd'])
def test_a_chunk_is_found_with_and_without_the_summary(tmp_path, compression):
    file = McapFile(tmp_path / 'file.mcap', compression)
    for stamp in range(5):
        file.write(stamp, [(TOPICS[(stamp + number) % 3], struct.pack('<II', stamp, number)) for number in range(1500)])
    unfinished = os.open(file.path, os.O_RDONLY)
    assert read_finished(unfinished) is None
    scanned = scan(unfinished)
    file.finish()
    file.sync()
    file.close()
    file.sync()
    finished = read_finished(unfinished)
    assert len(finished.messages) == 7500 and not scanned.finished and finished.finished
    for found in (scanned, scan(unfinished), scan(unfinished, verify=True)):
        assert np.array_equal(found.messages, finished.messages) and found.channels == finished.channels
        assert found.damaged == [] and len(found.stale) == found.torn == found.unnamed == 0
    assert finished.channels == {topic.channel.id: topic.channel for topic in TOPICS}
    os.close(unfinished)


def test_a_compressed_chunk_names_its_size(tmp_path):
    file = McapFile(tmp_path / 'file.mcap', 'zstd')
    file.write(1, [(TOPICS[0], bytes(100_000)), (TOPICS[1], memoryview(bytes(50)))])
    file.close()
    data = file.path.read_bytes()
    begin = next(begin for begin, opcode, _ in places(data) if opcode == CHUNK)
    (unpacked,) = struct.unpack_from('<Q', data, begin + 25)
    frame = data[begin + 53:chunk_ends(data)[0]]
    assert len(frame) < 1000 and zstd.get_frame_info(frame).decompressed_size == unpacked == len(zstd.decompress(frame))


def test_a_file_that_is_there_is_not_overwritten(tmp_path):
    (tmp_path / 'file.mcap').write_bytes(b'precious')
    with pytest.raises(FileExistsError):
        McapFile(tmp_path / 'file.mcap')
    assert (tmp_path / 'file.mcap').read_bytes() == b'precious'
