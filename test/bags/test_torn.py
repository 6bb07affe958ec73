# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""A bag that ends at any byte holds just the pairs that are whole before it, unfinished as well as recovered."""

import random
import warnings

import pytest
from mcap_parts import MESSAGE, chunk_ends, messages, places
from paired_frames import assert_same, make_frame, write_bag
from rosbags.rosbag2 import Reader, StoragePlugin, Writer

from ros_kd.bags import BagError, codec
from ros_kd.bags.index import BagIndex
from ros_kd.bags.reader import PairedBag
from ros_kd.bags.recover import recover
from ros_kd.bags.writer import PairedBagWriter, Storage, rig_of

pytestmark = pytest.mark.filterwarnings('ignore:.*was not finished')


def lengths(data, count, seed):
    """Lengths to cut a file to: around the borders of records, and anywhere."""
    borders = {edge + step for begin, _, end in places(data) for edge in (begin, end) for step in (-1, 0, 1)}
    chance = random.Random(seed)
    return sorted({length for length in borders if 0 <= length < len(data)}
                  | {chance.randrange(len(data)) for _ in range(count)})


def pairs_of(path):
    """The number of pairs, 0 where the bag says that it has none."""
    try:
        return len(PairedBag(path))
    except BagError as error:
        assert 'holds no whole' in str(error) or 'without pairs' in str(error)
        return 0


@pytest.fixture(scope='module', params=['none', 'zstd'])
def bag(request, tmp_path_factory):
    frames = [make_frame(number, points=20) for number in range(4)]
    path = write_bag(tmp_path_factory.mktemp('torn') / 'pairs', frames, Storage(compression=request.param))
    return frames, next(path.glob('*.mcap')).read_bytes(), messages(path)


def test_any_end_of_the_file_leaves_just_the_whole_pairs(bag, tmp_path):
    frames, data, written = bag
    path = tmp_path / 'torn.mcap'
    for length in lengths(data, 60, 1):
        path.write_bytes(data[:length])
        whole = sum(end <= length for end in chunk_ends(data))
        assert pairs_of(path) == whole, length
        if whole:
            assert_same(PairedBag(path)[whole - 1], frames[whole - 1])


def test_recovered_all_readers_see_just_the_whole_pairs(bag, tmp_path):
    mcap = pytest.importorskip('mcap.reader', reason='the mcap package is not installed')
    frames, data, written = bag
    compressed = b'zstd' in data[:200]
    for number, length in enumerate(lengths(data, 20, 2)[::5]):
        folder = tmp_path / f'{number}'
        folder.mkdir()
        path = folder / f'{number}_0.mcap'
        path.write_bytes(data[:length])
        whole = sum(end <= length for end in chunk_ends(data))
        if whole == 0:
            with pytest.raises(BagError, match='holds no whole'):
                recover(folder, say=list)
            assert path.read_bytes() == data[:length]
            continue
        assert recover(folder, say=list) == 0
        last = frames[whole - 1].stamp
        kept = {topic: [entry for entry in entries if entry[0] <= last] for topic, entries in written.items()}
        assert messages(folder) == {topic: kept[topic] for topic in BagIndex(folder).types}
        assert BagIndex(folder).warnings == ()
        with Reader(folder) as reader:
            read = [(connection.topic, stamp) for connection, stamp, _ in reader.messages()]
            assert len(read) == reader.message_count == sum(map(len, kept.values()))
        if not compressed:
            with path.open('rb') as file:
                assert len(list(mcap.make_reader(file, validate_crcs=True).iter_messages())) == len(read)


def test_recovering_again_changes_nothing(bag, tmp_path):
    _, data, _ = bag
    folder = tmp_path / 'again'
    folder.mkdir()
    path = folder / 'again_0.mcap'
    path.write_bytes(data[:chunk_ends(data)[2] + 100])
    assert recover(folder, say=list) == 0
    before = path.read_bytes(), (folder / 'metadata.yaml').read_bytes()
    said = []
    assert recover(folder, say=said.append) == 0
    assert 'nothing is to be done' in said[-1]
    assert (path.read_bytes(), (folder / 'metadata.yaml').read_bytes()) == before


def test_recover_that_is_cut_short_can_be_done_again(bag, tmp_path):
    """Every state of the file that a kill may leave behind, from the torn one to the last byte of the summary."""
    _, data, _ = bag
    path = tmp_path / 'twice.mcap'
    end = chunk_ends(data)[2]
    path.write_bytes(data[:end + 1000])
    recover(path, say=list)
    finished = path.read_bytes()
    for length in range(end, len(finished), 97):
        path.write_bytes(finished[:length])
        assert recover(path, say=list) == 0
        assert path.read_bytes() == finished


@pytest.mark.parametrize('tear', [0, 1, 2, 3, 4, 5])
def test_a_bag_of_older_layout_with_pairs_across_chunks_keeps_the_pairs_whose_cloud_is_there(tmp_path, tear):
    """One chunk per MiB, as rosbags writes; a pair of 0.4 MB crosses their borders."""
    frames = [make_frame(number, points=20_000) for number in range(6)]
    new = write_bag(tmp_path / 'new', frames)
    with Writer(tmp_path / 'old', version=8, storage_plugin=StoragePlugin.MCAP) as writer, Reader(new) as reader:
        connections = {c.id: writer.add_connection(c.topic, c.msgtype, typestore=codec.typestore())
                       for c in reader.connections if not c.topic.endswith('delta_t')}
        for connection, stamp, raw in reader.messages():
            if connection.id in connections:
                writer.write(connections[connection.id], stamp, raw)
    data = next((tmp_path / 'old').glob('*.mcap')).read_bytes()
    assert 1 < len(chunk_ends(data)) < 6
    clouds = [end for begin, opcode, end in places(data) if opcode == MESSAGE and end - begin > 200_000]
    path = tmp_path / 'torn.mcap'
    length = [clouds[4], clouds[4] - 1, clouds[2] + 50, len(data) // 2, clouds[0], chunk_ends(data)[0]][tear]
    path.write_bytes(data[:length])
    whole = sum(end <= length for end in clouds)
    assert pairs_of(path) == whole
    assert recover(path, say=list) == 0
    read = PairedBag(path)
    assert len(read) == whole and read.warnings == ()
    for number in range(whole):
        assert_same(read[number], frames[number])


def test_an_unfinished_bag_warns_how_much_is_left_out_and_what_to_do(bag, tmp_path):
    _, data, _ = bag
    path = tmp_path / 'torn.mcap'
    path.write_bytes(data[:chunk_ends(data)[1] + 1234])
    with pytest.warns(UserWarning, match=r'torn\.mcap was not finished: \d+ bytes at its end.*ros2 run ros_kd recover'):
        read = PairedBag(path)
    assert len(read.warnings) == 1
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        recover(path, say=list)
        PairedBag(path)


def test_zeros_at_the_end_as_after_a_power_cut_are_no_pairs(bag, tmp_path):
    frames, data, _ = bag
    path = tmp_path / 'zeros.mcap'
    ends = chunk_ends(data)
    for begin, until in ((ends[1] + 10, ends[3]), (ends[2] - 900, ends[2] + 5000), (ends[1], ends[1] + 100_000)):
        path.write_bytes((data[:begin] + bytes(len(data)))[:until])
        whole = sum(end <= begin for end in ends)
        assert pairs_of(path) == whole
        assert recover(path, say=list) == 0
        assert len(PairedBag(path)) == whole
        assert_same(PairedBag(path)[whole - 1], frames[whole - 1])


def test_a_file_that_is_still_being_written_is_not_touched(tmp_path):
    frame = make_frame(0, points=20)
    with PairedBagWriter(tmp_path / 'live', rig_of(frame)) as writer:
        writer.write_frame(frame)
        assert len(PairedBag(tmp_path / 'live')) == 1
        with pytest.raises(BagError, match='being written at this moment'):
            recover(tmp_path / 'live', say=list)
    assert len(PairedBag(tmp_path / 'live')) == 1
