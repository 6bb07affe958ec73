# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""A bag of several files is read as one, and each of them by itself."""

import pickle
import shutil
import threading

import numpy as np
import pytest
from paired_frames import assert_same, make_frame, write_bag
from rosbags.rosbag2 import Reader

from ros_kd.bags import BagError, codec, layout
from ros_kd.bags.reader import PairedBag
from ros_kd.bags.writer import PairedBagWriter, RawPair, Storage, rig_of
from ros_kd.label_sets import get_taxonomy


@pytest.fixture(scope='module')
def frames():
    return [make_frame(number) for number in range(7)]


@pytest.mark.parametrize('storage, sizes', [
    (Storage(max_seconds=0.3), [3, 3, 1]), (Storage(max_seconds=0.25), [3, 3, 1]), (Storage(), [7]),
    (Storage(max_bytes=75_000), [2, 2, 2, 1]), (Storage(max_bytes=1), [1] * 7),
    (Storage(max_seconds=0.3, compression='zstd'), [3, 3, 1])])
def test_files_end_by_size_and_time_and_stand_for_themselves(tmp_path, frames, storage, sizes):
    bag = write_bag(tmp_path / 'drive', frames, storage)
    files = [bag / f'drive_{number}.mcap' for number in range(len(sizes))]
    assert sorted(bag.glob('*.mcap')) == files and all(
        file.stat().st_size < storage.max_bytes for file in files if storage.max_bytes > 1)
    whole, first = PairedBag(bag), 0
    assert whole.warnings == () and [frame.stamp for frame in whole] == [frame.stamp for frame in frames]
    for file, size in zip(files, sizes):
        alone = PairedBag(shutil.copy(file, tmp_path / 'alone.mcap'))
        assert len(alone) == size and alone.rig == whole.rig
        for number in range(size):
            assert_same(alone[number], frames[first + number])
            assert_same(whole[first + number], frames[first + number])
        first += size
    assert_same(pickle.loads(pickle.dumps(whole))[-1], frames[-1])


def test_rosbag2_finds_each_file_with_its_time_and_messages_in_the_metadata(tmp_path, frames):
    bag = write_bag(tmp_path / 'drive', frames, Storage(max_seconds=0.3))
    with Reader(bag) as reader:
        listed = list(reader.storage.files)
        counts = {topic: info.msgcount for topic, info in reader.topics.items()}
        total, start, duration = reader.message_count, reader.start_time, reader.duration
        stamps = [stamp for _, stamp, _ in reader.messages()]
    assert [file['path'] for file in listed] == [f'drive_{number}.mcap' for number in range(3)]
    assert [file['starting_time']['nanoseconds_since_epoch'] for file in listed] == \
        [frames[number].stamp for number in (0, 3, 6)]
    assert [file['duration']['nanoseconds'] for file in listed] == [200_000_000, 200_000_000, 0]
    assert sum(file['message_count'] for file in listed) == total == len(stamps) == sum(counts.values())
    assert start == frames[0].stamp and duration == 600_000_001 and stamps == sorted(stamps)
    assert counts['/points'] == counts['/front/delta_t'] == 7 and counts['/rig'] == counts['/front/camera_info'] == 3
    for name in ('drive_0.mcap', 'drive_2.mcap'):
        with Reader(bag / name) as reader:
            assert reader.message_count == len(list(reader.messages()))


def test_the_mcap_package_reads_every_file_with_its_checksums(tmp_path, frames):
    mcap = pytest.importorskip('mcap.reader', reason='the mcap package is not installed')
    bag = write_bag(tmp_path / 'drive', frames, Storage(max_seconds=0.3))
    for file, pairs in zip(sorted(bag.glob('*.mcap')), (3, 3, 1)):
        with file.open('rb') as stream:
            reader = mcap.make_reader(stream, validate_crcs=True)
            summary = reader.get_summary()
            messages = list(reader.iter_messages())
        assert len(summary.chunk_indexes) == summary.statistics.chunk_count == pairs
        assert summary.statistics.message_count == len(messages)
        assert all(index.message_index_length > 0 for index in summary.chunk_indexes)
        assert all(summary.schemas[channel.schema_id].data for channel in summary.channels.values())


def test_the_delay_of_each_image_can_be_plotted(tmp_path, frames):
    bag = write_bag(tmp_path / 'drive', frames[:2])
    with Reader(bag) as reader:
        delays = [codec.read(raw, layout.FLOAT).data for connection, _, raw in reader.messages()
                  if connection.topic == '/front/delta_t']
    np.testing.assert_allclose(delays, [-0.020000001] * 2, rtol=1e-12)


def test_what_changed_in_an_earlier_file_holds_in_the_next(tmp_path, frames):
    with PairedBagWriter(tmp_path / 'drive', rig_of(frames[0])) as writer:
        writer.write_frame(frames[0])
        assert writer.latch_taxonomy('/label_info', get_taxonomy('cityscapes'))
        writer.latch(layout.TF_STATIC, codec.string('first'))
        writer.latch(layout.TF_STATIC, codec.string('second'))
        writer.write(RawPair(codec.cloud(frames[1].scan), ()))
        writer.split()
        assert PairedBag(writer.files[0]).warnings == ()  # finished at once
        assert PairedBag(tmp_path / 'drive').warnings == ()
        writer.split()  # nothing to finish: no empty file
        writer.write(RawPair(codec.cloud(frames[2].scan), ()))
    assert [file.name for file in writer.files] == ['drive_0.mcap', 'drive_1.mcap']
    assert writer.size == sum(file.stat().st_size for file in writer.files)
    assert PairedBag(writer.files[1])[0].scan.taxonomy == get_taxonomy('cityscapes')
    with Reader(writer.files[1]) as reader:
        latched = [bytes(raw) for connection, _, raw in reader.messages() if connection.topic == layout.TF_STATIC]
    assert latched == [bytes(codec.string(text)) for text in ('first', 'second')]


@pytest.mark.filterwarnings('ignore:.*no metadata')
def test_files_whose_times_overlap_are_read_in_the_order_of_stamps(tmp_path, frames):
    folder = tmp_path / 'both'
    folder.mkdir()
    for name, part in (('b', frames[::2]), ('a', frames[1::2])):
        shutil.copy(next(write_bag(tmp_path / name, part).glob('*.mcap')), folder / f'{name}.mcap')
    read = PairedBag(folder)
    assert 'no metadata.yaml' in read.warnings[0]
    for number, frame in enumerate(frames):
        assert_same(read[number], frame)


def test_metadata_that_does_not_fit_the_files_is_not_believed(tmp_path, frames):
    bag = write_bag(tmp_path / 'drive', frames, Storage(max_seconds=0.3))
    metadata = (bag / 'metadata.yaml').read_text()
    (bag / 'metadata.yaml').write_text(metadata.replace('drive_2.mcap', 'drive_9.mcap'))
    with pytest.warns(UserWarning, match=r"names \['drive_9.mcap'\], which are not there"):
        assert len(PairedBag(bag)) == 7
    (bag / 'metadata.yaml').write_text(metadata)
    shutil.copy(bag / 'drive_2.mcap', bag / 'drive_10.mcap')
    with pytest.warns(UserWarning, match=r"does not name \['drive_10.mcap'\], which are read all the same"):
        PairedBag(bag)
    (bag / 'drive_10.mcap').rename(bag / 'drive_10.mcap.zstd')
    with pytest.raises(BagError, match='compressed files .*drive_10.mcap.zstd.*zstd -d'):
        PairedBag(bag)


def test_another_thread_may_force_the_files_onto_the_disk_meanwhile(tmp_path, frames):
    writer = PairedBagWriter(tmp_path / 'drive', rig_of(frames[0]), Storage(max_bytes=1))
    done, failed = threading.Event(), []

    def sync():
        while not done.is_set():
            try:
                writer.sync()
            except Exception as error:
                failed.append(error)

    thread = threading.Thread(target=sync)
    thread.start()
    for number in range(30):
        writer.write_frame(make_frame(number, points=50))
    writer.close()
    done.set()
    thread.join()
    assert not failed and len(PairedBag(tmp_path / 'drive')) == 30


def test_a_closed_bag_and_wrong_limits_are_refused(tmp_path, frames):
    with PairedBagWriter(tmp_path / 'drive', rig_of(frames[0])) as writer:
        writer.write_frame(frames[0])
    writer.close()
    for late in (writer.split, lambda: writer.write_frame(frames[1])):
        with pytest.raises(BagError, match='is closed already'):
            late()
    with pytest.raises(BagError, match="compression \"lz4\" is unknown.*'zstd'"):
        Storage(compression='lz4')
    with pytest.raises(BagError, match='expected 0'):
        Storage(max_bytes=-1)
