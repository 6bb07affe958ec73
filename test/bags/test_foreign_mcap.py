# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""mcap bags that other tools made are read, however they store their messages."""

import pickle
import random
import struct

import numpy as np
import pytest
from mcap_parts import CHUNK, MESSAGE, places
from rosbags.rosbag2 import CompressionFormat, CompressionMode, Reader, StoragePlugin, Writer

from ros_kd.bags import BagError, codec, layout
from ros_kd.bags.index import BagIndex
from ros_kd.bags.mcap.records import Channel, Schema, header, record
from ros_kd.bags.mcap.summary import Summary
from ros_kd.bags.recover import recover
from ros_kd.bags.store import open_store

mcap_writer = pytest.importorskip('mcap.writer', reason='the mcap package is not installed')
COUNT = 300


def payload(number):
    return bytes(codec.string(str(number) * (1 + number % 50)))


def write(path, messages=range(COUNT), finish=True, **options):
    """Write strings on /even and /odd; every third number comes 5 numbers late."""
    with path.open('wb') as stream:
        writer = mcap_writer.Writer(stream, chunk_size=2000, **options)
        writer.start('ros2', 'test')
        schema = writer.register_schema('std_msgs/String', 'ros2msg', b'string data')
        channels = [writer.register_channel(topic, 'cdr', schema) for topic in ('/even', '/odd')]
        for number in messages:
            writer.add_message(channels[number % 2], 1000 + number - 5 * (number % 3 == 0), payload(number), 0)
        if finish:
            writer.finish()
    return path


def check(index, messages=range(COUNT)):
    assert index.types == {'/even': layout.STRING, '/odd': layout.STRING}
    for which, topic in enumerate(index.types):
        mine = sorted((1000 + number - 5 * (number % 3 == 0), place, number) for place, number in enumerate(messages)
                      if number % 2 == which)
        assert index.stamps(topic).tolist() == [stamp for stamp, _, _ in mine]
        for place in random.Random(0).sample(range(len(mine)), len(mine)):
            assert bytes(index.read(topic, place)) == payload(mine[place][2])
            assert bytes(index.head(topic, place, 10)) == payload(mine[place][2])[:10]


KINDS = {
    'plain': dict(compression=mcap_writer.CompressionType.NONE),
    'lz4': dict(compression=mcap_writer.CompressionType.LZ4),
    'without chunks': dict(use_chunking=False),
    'without message indexes': dict(compression=mcap_writer.CompressionType.NONE,
                                    index_types=mcap_writer.IndexType.CHUNK),
    'without chunk indexes': dict(compression=mcap_writer.CompressionType.NONE,
                                  index_types=mcap_writer.IndexType.MESSAGE),
    'without any index': dict(index_types=mcap_writer.IndexType.NONE, use_statistics=False,
                              use_summary_offsets=False, compression=mcap_writer.CompressionType.LZ4),
    'nothing repeated': dict(repeat_channels=False, repeat_schemas=False,
                             compression=mcap_writer.CompressionType.NONE),
}


@pytest.mark.parametrize('kind', KINDS)
def test_every_way_to_store_messages_is_read(tmp_path, kind):
    index = open_store(write(tmp_path / 'foreign.mcap', **KINDS[kind]))
    assert isinstance(index, BagIndex) and index.warnings == ()
    check(index)
    check(pickle.loads(pickle.dumps(index)))


@pytest.mark.parametrize('kind', KINDS)
def test_every_whole_message_of_a_torn_file_is_read_and_recovered(tmp_path, kind):
    path = write(tmp_path / 'foreign.mcap', **KINDS[kind])
    data, whole = path.read_bytes(), write(tmp_path / 'other.mcap', **KINDS[kind]).read_bytes()
    compressed, chance = KINDS[kind].get('compression') == mcap_writer.CompressionType.LZ4, random.Random(1)
    ends = [end for _, opcode, end in places(data) if opcode == (CHUNK if compressed else MESSAGE)]
    for length in [chance.randrange(ends[0], ends[-1]) for _ in range(12)] + [ends[5], ends[5] - 1, len(data) - 3]:
        path.write_bytes(data[:length])
        if compressed:
            count = sum(messages_in(whole, end) for end in ends if end <= length)
        else:
            count = sum(end <= length for end in ends)
        index = BagIndex(path)
        assert len(index.warnings) == 1 and 'was not finished' in index.warnings[0]
        check(index, range(count))
        assert recover(path, say=list) == 0
        index = BagIndex(path)
        assert index.warnings == ()
        check(index, range(count))
        with Reader(path) as reader:
            assert reader.message_count == count


def messages_in(data, chunk_end):
    from lz4.frame import decompress

    begin = next(begin for begin, _, end in places(data) if end == chunk_end)
    (named,) = struct.unpack_from('<I', data, begin + 37)
    records = decompress(data[begin + 49 + named:chunk_end])
    return sum(opcode == MESSAGE for _, opcode, _ in places(records, 0, len(records)))


def test_a_damaged_message_outside_of_chunks_costs_itself_alone(tmp_path):
    path = write(tmp_path / 'foreign.mcap', use_chunking=False)
    data = path.read_bytes()
    begin, _, end = [place for place in places(data) if place[1] == MESSAGE][100]
    path.write_bytes(data[:begin] + bytes(end - begin) + data[end:])
    said = []
    assert recover(path, say=said.append) == 1 and f'{end - begin} bytes from byte {begin} on are damaged' in said[-2]
    assert recover(path, tmp_path / 'saved', say=list) == 0
    check(BagIndex(tmp_path / 'saved'), [number for number in range(COUNT) if number != 100])


def test_messages_compressed_one_by_one_are_unpacked(tmp_path):
    writer = Writer(tmp_path / 'small', version=8, storage_plugin=StoragePlugin.MCAP)
    writer.set_compression(CompressionMode.MESSAGE, CompressionFormat.ZSTD)
    with writer:
        connections = [writer.add_connection(topic, layout.STRING, typestore=codec.typestore())
                       for topic in ('/even', '/odd')]
        for number in range(COUNT):
            writer.write(connections[number % 2], 1000 + number - 5 * (number % 3 == 0), payload(number))
    check(BagIndex(tmp_path / 'small'))


def test_topics_in_other_encodings_are_left_out_with_a_warning(tmp_path):
    path = tmp_path / 'mixed.mcap'
    with path.open('wb') as stream:
        writer = mcap_writer.Writer(stream)
        writer.start('', 'test')
        schema = writer.register_schema('std_msgs/msg/String', 'ros2msg', b'string data')
        for topic, encoding in (('/ros', 'cdr'), ('/web', 'json')):
            writer.add_message(writer.register_channel(topic, encoding, schema), 5, payload(1), 5)
        writer.finish()
    index = BagIndex(path)
    assert index.types == {'/ros': layout.STRING} and bytes(index.read('/ros', 0)) == payload(1)
    assert '/web' in index.warnings[0] and 'encoded as "json", expected cdr' in index.warnings[0]


def test_messages_whose_channel_is_lost_are_counted(tmp_path):
    path = tmp_path / 'nameless.mcap'
    known = record(3, Schema(1, 'std_msgs/msg/String', 'ros2msg', b'string data').record()[9:]) \
        + Channel(1, 1, '/known', 'cdr', {}).record()
    messages = b''.join(record(5, struct.pack('<HIQQ', channel, 0, 7, 7), payload(3)) for channel in (1, 2, 2))
    path.write_bytes(header() + known + messages)
    index = BagIndex(path)
    assert '2 messages' in index.warnings[1] and index.stamps('/known').tolist() == [7]
    assert recover(path, say=list) == 1
    assert recover(path, tmp_path / 'saved', say=list) == 0 and BagIndex(tmp_path / 'saved').warnings == ()


def test_a_finished_file_without_messages_is_a_bag_without_topics(tmp_path):
    (tmp_path / 'empty.mcap').write_bytes(header() + Summary().records(len(header())))
    index = BagIndex(tmp_path / 'empty.mcap')
    assert index.types == {} and index.warnings == () and len(index.stamps('/rig')) == 0
    with Reader(tmp_path / 'empty.mcap') as reader:
        assert reader.message_count == 0


def test_a_topic_that_is_not_there_and_a_folder_of_something_else(tmp_path):
    index = BagIndex(write(tmp_path / 'foreign.mcap'))
    assert np.array_equal(index.stamps('/none'), []) and index.stamps('/none').dtype == np.int64
    (tmp_path / 'other').mkdir()
    (tmp_path / 'other' / 'metadata.yaml').write_text('rosbag2_bagfile_information: {}')
    with pytest.raises(BagError, match='no bag at'):
        open_store(tmp_path / 'other')
