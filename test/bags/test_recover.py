# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""What is whole of a damaged bag is saved, and what is lost is said."""

import random
import struct
import subprocess
import sys

import pytest
from crash import environment
from mcap_parts import CHUNK, chunk_ends, messages, places
from paired_frames import assert_same, make_frame, write_bag
from rosbags.rosbag2 import Reader

from ros_kd.bags import BagError
from ros_kd.bags.index import BagIndex
from ros_kd.bags.metadata import read_metadata
from ros_kd.bags.reader import PairedBag
from ros_kd.bags.recover import main, recover
from ros_kd.bags.writer import Storage

pytestmark = pytest.mark.filterwarnings('ignore:.*(was not finished|damaged|lost|metadata)')


@pytest.fixture(scope='module')
def frames():
    return [make_frame(number, points=200) for number in range(6)]


@pytest.fixture(params=['none', 'zstd'])
def bag(request, tmp_path, frames):
    return write_bag(tmp_path / 'pairs', frames, Storage(compression=request.param))


def storage_of(bag):
    return next(bag.glob('*.mcap'))


def damage(bag, begin, data):
    with storage_of(bag).open('r+b') as file:
        file.seek(begin)
        file.write(data)


def chunk_begins(data):
    return [begin for begin, opcode, _ in places(data) if opcode == CHUNK]


def test_a_whole_bag_is_said_to_be_and_left_as_it_is(bag, capsys):
    before = storage_of(bag).read_bytes(), storage_of(bag).stat().st_mtime_ns, (bag / 'metadata.yaml').read_bytes()
    assert main([str(bag), '--ros-args', '-r', '__node:=recover']) == 0
    assert 'is whole, nothing is to be done. It holds 6 pairs' in capsys.readouterr().out
    assert before == (storage_of(bag).read_bytes(), storage_of(bag).stat().st_mtime_ns,
                      (bag / 'metadata.yaml').read_bytes())


@pytest.mark.parametrize('finished', [True, False])
def test_zeros_in_the_middle_cost_their_pair_alone_and_need_a_copy(bag, frames, tmp_path, finished, capsys):
    data = storage_of(bag).read_bytes()
    begin, end = chunk_begins(data)[2], chunk_ends(data)[2]
    damage(bag, (begin + end) // 2, bytes(500))
    if not finished:
        storage_of(bag).write_bytes(storage_of(bag).read_bytes()[:-1])
    before = storage_of(bag).read_bytes()
    assert main([str(bag)]) == 1
    said = capsys.readouterr().out
    assert f'bytes from byte {begin} on are damaged, between 2023-11-14 22:13:20.100 UTC and 2023-11-14 22:13:20.300' \
        in said and '--out NEW` makes one that holds 5 pairs' in said
    assert storage_of(bag).read_bytes() == before
    assert main([str(bag), '--out', str(tmp_path / 'saved')]) == 0
    assert 'is whole now. It holds 5 pairs' in capsys.readouterr().out
    read = PairedBag(tmp_path / 'saved')
    assert read.warnings == () and len(read) == 5
    for number, frame in enumerate(frames[:2] + frames[3:]):
        assert_same(read[number], frame)
    assert storage_of(bag).read_bytes() == before
    assert recover(tmp_path / 'saved', say=list) == 0
    with Reader(tmp_path / 'saved') as reader:
        assert reader.topics['/points'].msgcount == 5 and len(list(reader.messages())) == reader.message_count


def test_a_flipped_byte_anywhere_costs_no_more_than_the_pair_that_it_is_in(bag, frames, tmp_path):
    data, chance = storage_of(bag).read_bytes(), random.Random(3)
    begins, ends = chunk_begins(data), chunk_ends(data)
    in_heads = [begins[3] + place for place in (0, 1, 5, 8, 9, 16, 17, 24, 25, 33, 37, 41, 44, 45, 49, 57)]
    for number, place in enumerate(in_heads + [chance.randrange(begins[1], len(data)) for _ in range(25)]):
        damage(bag, 0, data)
        damage(bag, place, bytes([data[place] ^ 1 << chance.randrange(8)]))
        saved = tmp_path / f'{number}' if recover(bag, say=list) else bag
        assert saved == bag or recover(bag, saved, say=list) == 0
        kept = PairedBag(saved)
        untouched = [frame.stamp for frame, begin, end in zip(frames, begins, ends) if not begin <= place < end]
        assert set(untouched) <= set(kept.stamps.tolist()), place
        assert kept.warnings == () and recover(saved, say=list) == 0
        for stamp in untouched:
            index = kept.stamps.tolist().index(stamp)
            assert_same(kept[index], frames[[frame.stamp for frame in frames].index(stamp)])


def test_a_wrong_message_index_costs_nothing(bag, frames, tmp_path):
    data = storage_of(bag).read_bytes()
    for place in (0, 3, 11, 17, 25):
        damage(bag, 0, data)
        damage(bag, chunk_ends(data)[1] + place, bytes([data[chunk_ends(data)[1] + place] ^ 0x21]))
        said = []
        assert recover(bag, say=said.append) == 1
        assert recover(bag, tmp_path / f'saved{place}', say=list) == 0
        assert messages(tmp_path / f'saved{place}') == messages_of(frames, tmp_path / f'fresh{place}')


def messages_of(frames, path):
    return messages(write_bag(path, frames))


def test_an_unfinished_bag_with_a_damaged_middle_opens_over_it(bag, frames):
    data = storage_of(bag).read_bytes()
    begins = chunk_begins(data)
    damage(bag, begins[2], bytes(begins[4] - begins[2] - 20))
    storage_of(bag).write_bytes(storage_of(bag).read_bytes()[:chunk_ends(data)[4] + 40])
    with pytest.warns(UserWarning, match='bytes in 1 places of .* are damaged.*recover .* --out NEW'):
        read = PairedBag(bag)
    assert read.stamps.tolist() == [frames[number].stamp for number in (0, 1, 4)]
    assert_same(read[2], frames[4])


def test_a_damaged_message_is_no_frame_but_an_error_with_the_way_out(bag):
    data = storage_of(bag).read_bytes()
    read = PairedBag(bag)
    damage(bag, chunk_begins(data)[2], bytes(chunk_ends(data)[2] - chunk_begins(data)[2]))
    with pytest.raises(BagError, match='damaged.*ros2 run ros_kd recover .* --out NEW'):
        read[2]


def test_a_bag_without_its_summary_or_metadata_gets_them_back(bag, frames):
    data = storage_of(bag).read_bytes()
    damage(bag, data.rfind(b'/front/extrinsics'), b'?')
    (bag / 'metadata.yaml').write_bytes(bytes(100))
    assert len(PairedBag(bag)) == 6
    assert recover(bag, say=list) == 0
    assert storage_of(bag).read_bytes() == data and read_metadata(bag).names == (storage_of(bag).name,)
    (bag / 'metadata.yaml').unlink()
    assert 'metadata.yaml' in PairedBag(bag).warnings[0]
    assert recover(bag, say=list) == 0
    assert PairedBag(bag).warnings == ()


def test_several_files_are_recovered_as_one_and_an_empty_last_one_goes(tmp_path, frames):
    bag = write_bag(tmp_path / 'split', frames, Storage(max_seconds=0.2))
    files = sorted(bag.glob('*.mcap'))
    assert len(files) == 3
    files[2].write_bytes(files[2].read_bytes()[:100])
    (bag / 'metadata.yaml').unlink()
    assert len(PairedBag(bag)) == 4
    said = []
    assert recover(bag, say=said.append) == 0
    assert any('split_2.mcap: nothing in its 100 bytes is whole' in line for line in said)
    assert sorted(bag.glob('*.mcap')) == files[:2] and PairedBag(bag).warnings == ()
    with Reader(bag) as reader:
        assert reader.topics['/points'].msgcount == 4


def test_with_another_output_the_bag_stays_as_it_is(bag, frames, tmp_path):
    data = storage_of(bag).read_bytes()[:-200]
    storage_of(bag).write_bytes(data)
    with pytest.raises(BagError, match='exists already'):
        recover(bag, tmp_path, say=list)
    assert recover(bag, tmp_path / 'new' / 'saved', say=list) == 0
    assert storage_of(bag).read_bytes() == data
    assert [frame.stamp for frame in PairedBag(tmp_path / 'new' / 'saved')] == [frame.stamp for frame in frames]


def test_wrong_arguments_are_said_in_one_line(tmp_path, capsys):
    (tmp_path / 'notes.txt').write_text('hello')
    for path in (tmp_path / 'nowhere', tmp_path, tmp_path / 'notes.txt'):
        assert main([str(path)]) == 2
        assert 'recover: no bag at' in capsys.readouterr().err


def test_the_command_runs_where_there_is_no_ros(bag):
    storage_of(bag).write_bytes(storage_of(bag).read_bytes()[:-1])
    done = subprocess.run([sys.executable, '-m', 'ros_kd.bags.recover', str(bag)], env=environment(), text=True,
                          capture_output=True)
    assert done.returncode == 0 and 'is whole now' in done.stdout, done.stderr
    assert BagIndex(bag).warnings == ()


def test_a_file_of_zeros_or_noise_is_no_bag(tmp_path):
    for data in (bytes(100_000), struct.pack('<25000I', *range(25000)), b'\x06' * 100_000):
        (tmp_path / 'bad.mcap').write_bytes(data)
        with pytest.raises(BagError, match='holds no whole message'):
            recover(tmp_path / 'bad.mcap', say=list)
        with pytest.raises(BagError, match='begins with'):
            BagIndex(tmp_path / 'bad.mcap')
