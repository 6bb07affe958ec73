# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""sqlite3 and ROS 1 bags give the same bytes as an mcap bag of the same messages, from any thread or process."""

import pickle
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest
from raw_drive import KINDS, Drive, write_bag
from rosbags import rosbag1
from rosbags.typesys import Stores, get_typestore

from ros_kd.bags import BagError, codec, layout
from ros_kd.bags.ros1_store import Ros1Store
from ros_kd.bags.sqlite_store import SqliteStore
from ros_kd.bags.store import open_store

FOREIGN = [kind for kind in (*KINDS, 'sqlite-zstd') if kind != 'mcap']


@pytest.fixture(scope='module')
def drive():
    return Drive(3)


@pytest.fixture(scope='module')
def bags(tmp_path_factory, drive):
    folder = tmp_path_factory.mktemp('stores')
    return {kind: write_bag(folder / kind, drive.messages, kind) for kind in (*KINDS, 'sqlite-zstd')}


def by_topic(drive):
    topics = {}
    for message in sorted(drive.messages, key=lambda message: message.logged):
        topics.setdefault(message.topic, []).append(message)
    return topics


@pytest.mark.parametrize('kind', FOREIGN)
def test_messages_come_back_byte_for_byte_in_the_order_of_their_log_times(bags, drive, kind):
    store, topics = open_store(bags[kind]), by_topic(drive)
    assert store.types == {topic: messages[0].kind for topic, messages in topics.items()} and store.warnings == ()
    for topic, messages in topics.items():
        assert list(store.stamps(topic)) == [message.logged for message in messages]
        for number in (len(messages) - 1, 0, len(messages) // 2):
            raw = bytes(messages[number].raw)
            assert bytes(store.read(topic, number)) == raw, topic
            for size in (16, 25, 40, 10**6):
                assert bytes(store.head(topic, number, size)) == raw[:size], (topic, size)
    assert len(store.stamps('/nothing')) == 0


@pytest.mark.parametrize('kind', FOREIGN)
def test_threads_and_forked_workers_share_a_store(bags, kind):
    store = open_store(bags[kind])
    expected = [bytes(store.read('/points', number)) for number in range(3)]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda n: bytes(store.read('/points', n % 3)), range(60))) == expected * 20
    with get_context('fork').Pool(2) as pool:
        assert pool.map(_read, [(store, number % 3) for number in range(12)]) == expected * 4
    process = get_context('fork').Process(target=_check, args=(store, expected))  # uses the parent's own object
    process.start()
    process.join()
    assert process.exitcode == 0
    copy = pickle.loads(pickle.dumps(store))
    store.close()
    assert bytes(copy.read('/points', 1)) == expected[1]


def _read(arguments):
    store, number = arguments
    return bytes(store.read('/points', number))


def _check(store, expected):
    assert [bytes(store.read('/points', number)) for number in range(3)] == expected


@pytest.mark.parametrize('compression', rosbag1.Writer.CompressionFormat)
def test_compressed_ros1_bags_are_read(tmp_path, compression):
    store = get_typestore(Stores.ROS1_NOETIC)
    writer = rosbag1.Writer(tmp_path / 'a.bag')
    writer.set_compression(compression)
    writer.chunk_threshold = 1000
    with writer:
        connection = writer.add_connection('chatter', layout.STRING, typestore=store)
        for number in range(30):
            message = store.types[layout.STRING](f'{number} ' * 50)
            writer.write(connection, number, store.serialize_ros1(message, layout.STRING))
    read = Ros1Store(tmp_path / 'a.bag')
    assert [codec.read(read.read('/chatter', number), layout.STRING).data.split()[0] for number in range(30)] == \
        [str(number) for number in range(30)]


def test_reading_leaves_nothing_beside_the_files(bags):
    before = sorted(path.name for path in bags['sqlite'].iterdir())
    store = SqliteStore(bags['sqlite'])
    store.read('/points', 0)
    assert sorted(path.name for path in bags['sqlite'].iterdir()) == before
    store.close()
    assert sorted(path.name for path in bags['sqlite'].iterdir()) == before


def test_the_files_of_a_split_bag_are_one(tmp_path, drive):
    ordered = sorted(drive.messages, key=lambda message: message.logged)
    split = tmp_path / 'split'
    split.mkdir()
    for number in range(11):  # 10 comes after 9
        part = write_bag(tmp_path / f'part{number}', ordered[number::11], 'sqlite')
        shutil.copy(part / f'part{number}.db3', split / f'split_{number}.db3')
    store = SqliteStore(split)
    assert list(store.stamps('/tf')) == sorted(store.stamps('/tf')) and len(store.stamps('/tf')) == 35
    clouds = [message for message in ordered if message.topic == '/points']
    assert [bytes(store.read('/points', number)) for number in range(3)] == [bytes(cloud.raw) for cloud in clouds]
    assert 'did not finish' in store.warnings[0]  # no metadata.yaml


FOXY = """CREATE TABLE topics(id INTEGER PRIMARY KEY, name TEXT NOT NULL, type TEXT NOT NULL,
    serialization_format TEXT NOT NULL, offered_qos_profiles TEXT NOT NULL);
CREATE TABLE messages(id INTEGER PRIMARY KEY, topic_id INTEGER NOT NULL, timestamp INTEGER NOT NULL,
    data BLOB NOT NULL);
CREATE INDEX timestamp_idx ON messages (timestamp ASC);"""

KILLED = f"""
import os, signal, sqlite3, sys
bag = sqlite3.connect(sys.argv[1])
bag.execute('PRAGMA journal_mode=WAL')
bag.execute('PRAGMA wal_autocheckpoint=100000')
bag.executescript('''{FOXY}''')
bag.execute("INSERT INTO topics VALUES(1, '/chatter', 'std_msgs/msg/String', 'cdr', '')")
for number in range(20):
    data = b'\\0\\1\\0\\0' + bytes(9000)
    bag.execute('INSERT INTO messages(topic_id, timestamp, data) VALUES(1, ?, ?)', (number, data))
    bag.commit()
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_recorder_left_in_its_log_is_read(tmp_path):
    file = tmp_path / 'killed' / 'killed_0.db3'
    file.parent.mkdir()
    assert subprocess.run([sys.executable, '-c', KILLED, file]).returncode == -signal.SIGKILL
    assert (file.parent / 'killed_0.db3-wal').stat().st_size > 0
    store = SqliteStore(file.parent)
    assert len(store.stamps('/chatter')) == 20 and len(store.read('/chatter', 19)) == 9004
    assert 'did not finish' in store.warnings[0]


def test_a_damaged_file_is_read_as_far_as_sqlite_can(tmp_path, bags):
    whole = next(bags['sqlite'].glob('*.db3')).read_bytes()
    file = tmp_path / 'cut.db3'
    page = int(np.frombuffer(whole, '>u2', 1, 16)[0])
    file.write_bytes(whole[:len(whole) * 6 // 10 // page * page] + b'\xff' * page)
    store = SqliteStore(file)
    assert 0 < sum(len(store.stamps(topic)) for topic in store.types) < len(Drive(3).messages)
    assert 'is damaged' in store.warnings[0] and 'are read' in store.warnings[0]


@pytest.mark.parametrize('make, text', [
    (lambda path: path.write_bytes(b'nonsense' * 1000), 'not a database.*recover'),
    (lambda path: path.write_bytes(b''), 'no such table'),
    (lambda path: sqlite3.connect(path).executescript(
        FOXY + "INSERT INTO topics VALUES(1, '/a', 'x/msg/Y', 'protobuf', '')").connection.close(), 'expected cdr'),
    (lambda path: sqlite3.connect(path).executescript(
        FOXY + "INSERT INTO messages VALUES(1, 1, x'ff', x'00')").connection.close(), 'is no number')])
def test_files_that_are_no_bag_say_so(tmp_path, make, text):
    make(tmp_path / 'bad.db3')
    with pytest.raises(BagError, match=text):
        SqliteStore(tmp_path / 'bad.db3')


def test_a_compressed_file_names_the_way_out(tmp_path):
    (tmp_path / 'bag_0.db3.zstd').write_bytes(b'\x28\xb5\x2f\xfd')
    with pytest.raises(BagError, match=r'bag_0.db3.zstd.*zstd -d'):
        open_store(tmp_path)


def test_an_unindexed_ros1_bag_names_rosbag_reindex(tmp_path, bags):
    data = bytearray(bags['ros1'].read_bytes())
    place = data.index(b'index_pos=') + len(b'index_pos=')
    data[place:place + 8] = bytes(8)
    (tmp_path / 'killed.bag').write_bytes(data)
    with pytest.raises(BagError, match='no index.*`rosbag reindex killed.bag`'):
        open_store(tmp_path / 'killed.bag')


def test_a_ros1_bag_cut_short_says_so(tmp_path, bags):
    whole = bags['ros1'].read_bytes()
    for size in (5, 100, 5000, len(whole) * 2 // 3, len(whole) - 10):
        (tmp_path / 'cut.bag').write_bytes(whole[:size])
        with pytest.raises(BagError, match='damaged'):
            open_store(tmp_path / 'cut.bag')


def test_a_ros1_type_without_counterpart_is_named(tmp_path):
    with rosbag1.Writer(tmp_path / 'own.bag') as writer:
        writer.write(writer.add_connection('/own', 'acme/msg/Thing', msgdef='int32 a', md5sum='0' * 32), 0, b'\1\0\0\0')
    store = open_store(tmp_path / 'own.bag')
    assert store.types == {'/own': 'acme/msg/Thing'}
    with pytest.raises(BagError, match=re.escape('/own is of type acme/msg/Thing')):
        store.read('/own', 0)


def test_an_empty_bag_has_no_messages(tmp_path):
    assert open_store(write_bag(tmp_path / 'a', [], 'sqlite')).types == {}
    assert open_store(write_bag(tmp_path / 'b', [], 'ros1')).types == {}
