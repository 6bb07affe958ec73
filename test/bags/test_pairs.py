# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""What goes into a bag of paired frames comes out of it, bit for bit, and any mcap reader sees it."""

import pickle
import sqlite3
from dataclasses import replace

import numpy as np
import pytest
from paired_frames import FRONT, assert_same, make_frame, make_pose, write_bag
from rosbags.rosbag2 import CompressionFormat, CompressionMode, Reader, StoragePlugin, Writer

from ros_kd.bags import BagError, codec, layout
from ros_kd.bags.reader import PairedBag
from ros_kd.bags.writer import PairedBagWriter, RawPair, RawView, rig_of
from ros_kd.cameras import Camera
from ros_kd.frames import CameraView, PairedFrame, Scan
from ros_kd.label_sets import get_taxonomy

@pytest.fixture(scope='module')
def frames():
    return [make_frame(number) for number in range(5)]


@pytest.fixture(scope='module')
def bag(tmp_path_factory, frames):
    return write_bag(tmp_path_factory.mktemp('bags') / 'pairs', frames)


def test_frames_come_back_bit_for_bit_in_any_order(bag, frames):
    read = PairedBag(bag)
    assert len(read) == 5 and list(read.stamps) == [frame.stamp for frame in frames]
    for index in (3, 0, 4, 1, 2, -1):
        assert_same(read[index], frames[index])
    assert [frame.stamp for frame in read] == [frame.stamp for frame in frames]
    assert bytes(read[0].views[0].pixels.data) == frames[0].views[0].pixels.data.tobytes()
    with pytest.raises(IndexError, match='pair 5 of 5'):
        read[5]


def test_poses_make_the_trajectory(bag, frames):
    trajectory = PairedBag(bag).read_trajectory()
    assert list(trajectory.stamps) == [frame.stamp for frame in frames]
    np.testing.assert_allclose(trajectory.poses[2], frames[2].world_from_lidar, atol=1e-12)


def test_a_bag_may_cross_to_another_process(bag, frames):
    assert_same(pickle.loads(pickle.dumps(PairedBag(bag)))[2], frames[2])


def test_messages_of_a_pair_share_the_scans_stamp_and_end_with_the_cloud(bag, frames):
    with Reader(bag) as reader:
        log = [(connection.topic, stamp) for connection, stamp, _ in reader.messages()]
        latched = {topic for topic in reader.topics if reader.topics[topic].connections[0].ext.offered_qos_profiles}
    assert {stamp for _, stamp in log} == {frame.stamp for frame in frames}
    second = [topic for topic, stamp in log if stamp == frames[1].stamp]
    assert second == ['/front/image/compressed', '/front/extrinsics', '/front/delta_t', '/front/labels',
                      '/rear/image', '/rear/extrinsics', '/rear/delta_t', '/pose', '/points']
    assert {'/rig', '/label_info', '/front/camera_info', '/rear/camera_info', '/front/label_info'} == latched
    assert log[0][0] == '/rig' and latched == {topic for topic, _ in log[:5]}


def test_the_mcap_package_reads_the_bag(bag):
    mcap = pytest.importorskip('mcap.reader', reason='the mcap package is not installed')
    with next(bag.glob('*.mcap')).open('rb') as file:
        messages = list(mcap.make_reader(file, validate_crcs=True).iter_messages())
    assert sum(channel.topic == '/points' for _, channel, _ in messages) == 5
    assert {schema.name for schema, _, _ in messages} >= {layout.CLOUD, layout.COMPRESSED, layout.IMAGE}


def test_a_bag_rewritten_with_compression_reads_the_same(bag, frames, tmp_path):
    writer = Writer(tmp_path / 'small', version=8, storage_plugin=StoragePlugin.MCAP)
    writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
    with Reader(bag) as reader, writer:
        connections = {c.id: writer.add_connection(c.topic, c.msgtype, typestore=codec.typestore())
                       for c in reader.connections}
        for connection, stamp, raw in reader.messages():
            writer.write(connections[connection.id], stamp, raw)
    assert_same(PairedBag(tmp_path / 'small')[4], frames[4])


def test_serialised_messages_pass_through_untouched(tmp_path):
    frame = make_frame(0)
    view = frame.views[0]
    cloud = codec.cloud(frame.scan)
    image = codec.image(view.pixels, view.stamp, 'front_optical')
    info = codec.camera_info(FRONT, view.stamp, 'front_optical')
    rig = layout.Rig((layout.CameraTopics.under('front', 'front_optical', True, '/vehicle/cam0/compressed'),),
                     '/vehicle/velodyne_points', 'os_sensor')
    with PairedBagWriter(tmp_path / 'raw', rig) as writer:
        assert writer.latch_taxonomy('/label_info', get_taxonomy('street-12'))
        assert not writer.latch_taxonomy('/label_info', get_taxonomy('street-12'))
        writer.write(RawPair(cloud, (RawView('front', image, info, np.eye(4)),)))
        with pytest.raises(BagError, match='must rise'):
            writer.write(RawPair(cloud, ()))
        with pytest.raises(BagError, match=r'no camera "left".*front'):
            writer.write(RawPair(codec.cloud(make_frame(1).scan), (RawView('left', image, info, np.eye(4)),)))
    with Reader(tmp_path / 'raw') as reader:
        stored = {connection.topic: bytes(raw) for connection, _, raw in reader.messages()}
    assert stored['/vehicle/velodyne_points'] == bytes(cloud) and stored['/vehicle/cam0/compressed'] == bytes(image)
    read = PairedBag(tmp_path / 'raw')
    assert len(read) == 1 and read.read_trajectory() is None and read[0].world_from_lidar is None
    assert read[0].view('front').label_pixels is None


def test_a_calibration_that_changes_holds_from_its_pair_on(tmp_path):
    frames = [make_frame(number) for number in range(3)]
    wider = Camera(40, 24, FRONT.K * np.array([[2], [2], [1]]))
    front, rear = frames[2].views
    views = (CameraView('front', front.stamp, wider, np.eye(4), front.pixels), rear)
    frames[2] = PairedFrame(frames[2].scan, views, '', frames[2].world_from_lidar)
    read = PairedBag(write_bag(tmp_path / 'zoom', frames))
    assert [frame.view('front').camera.K[0, 0] for frame in read] == [30, 30, 60]


def test_rectified_images_come_with_the_camera_and_extrinsics_that_they_have_after_rectification(tmp_path):
    frame = make_frame(0)
    view, turn = frame.views[0], make_pose(np.random.default_rng(5))[:3, :3]
    info = replace(codec.read(codec.camera_info(FRONT, view.stamp, 'front_optical'), layout.CAMERA_INFO),
                   r=turn.reshape(-1), p=np.array([35, 0, 21, 0, 0, 36, 11, 0, 0, 0, 1, 0], np.float64))
    raw = codec.typestore().serialize_cdr(info, layout.CAMERA_INFO)
    image = codec.image(view.pixels, view.stamp, 'front_optical')
    for rectified in (False, True):
        topics = layout.CameraTopics.under('front', 'front_optical', True, rectified=rectified)
        path = tmp_path / f'{rectified}'
        with PairedBagWriter(path, layout.Rig((topics,))) as writer:
            writer.write(RawPair(codec.cloud(frame.scan), (RawView('front', image, raw, view.lidar_to_camera),)))
        read = PairedBag(path)[0].views[0]
        if not rectified:
            np.testing.assert_array_equal(read.camera.K, FRONT.K)
            np.testing.assert_allclose(read.lidar_to_camera, view.lidar_to_camera, atol=1e-12)
    assert read.camera.model == 'none' and read.camera.K.tolist() == [[35, 0, 21], [0, 36, 11], [0, 0, 1]]
    np.testing.assert_allclose(read.lidar_to_camera[:3], turn @ view.lidar_to_camera[:3], atol=1e-12)


def test_pairs_may_lack_a_camera(tmp_path):
    frames = [make_frame(number) for number in range(2)]
    frames[1] = PairedFrame(frames[1].scan, frames[1].views[1:])
    read = PairedBag(write_bag(tmp_path / 'gap', frames))
    assert [len(frame.views) for frame in read] == [2, 1] and read[1].world_from_lidar is None


def test_an_unknown_intensity_scale_is_one_for_the_whole_bag(tmp_path):
    frames = [make_frame(number) for number in range(3)]
    dark = [Scan(frame.stamp, frame.points, np.full(500, level, np.float32))
            for frame, level in zip(frames, (0.5, 200.0, 1.0))]
    with PairedBagWriter(tmp_path / 'dark', layout.Rig(())) as writer:
        for scan in dark:
            writer.write(RawPair(codec.cloud(scan), ()))
    assert [frame.scan.intensity[0] for frame in PairedBag(tmp_path / 'dark')] == \
        [np.float32(level) / np.float32(255) for level in (0.5, 200, 1)]


def test_an_existing_output_is_refused_and_an_empty_bag_leaves_nothing(tmp_path, bag):
    with pytest.raises(BagError, match='exists already: choose another output'):
        PairedBagWriter(bag, layout.Rig(()))
    with PairedBagWriter(tmp_path / 'new' / 'empty', layout.Rig(())) as writer:
        assert writer.path.exists()
    assert not writer.path.exists()
    (tmp_path / 'file').touch()
    with pytest.raises(BagError, match='cannot make the bag'):
        PairedBagWriter(tmp_path / 'file' / 'bag', layout.Rig(()))


def test_an_error_while_writing_keeps_the_pairs_so_far(tmp_path, frames):
    with pytest.raises(RuntimeError), PairedBagWriter(tmp_path / 'cut', rig_of(frames[0])) as writer:
        writer.write_frame(frames[0])
        raise RuntimeError
    assert len(PairedBag(tmp_path / 'cut')) == 1


def test_what_is_no_bag_of_pairs_is_refused_with_a_way_out(tmp_path, bag):
    with pytest.raises(BagError, match='no bag at .*metadata.yaml'):
        PairedBag(tmp_path)
    with pytest.raises(BagError, match='no bag at'):
        PairedBag(tmp_path / 'nowhere')
    whole = next(bag.glob('*.mcap')).read_bytes()
    for name, data in (('nothing.mcap', b''), ('stub.mcap', whole[:12]), ('picture.mcap', b'JFIF' * 99)):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(BagError, match='holds no whole message.*was not finished|begins'):
            PairedBag(tmp_path / name)
    (tmp_path / 'whole.mcap').write_bytes(whole)
    assert len(PairedBag(tmp_path / 'whole.mcap')) == 5


def test_a_raw_bag_is_told_from_a_bag_of_pairs(tmp_path):
    with Writer(tmp_path / 'raw', version=8, storage_plugin=StoragePlugin.MCAP) as writer:
        connection = writer.add_connection('/velodyne_points', layout.CLOUD, typestore=codec.typestore())
        writer.write(connection, 5, codec.cloud(make_frame(0).scan))
    with pytest.raises(BagError, match=r'without pairs; it holds /velodyne_points \(.*PointCloud2\).*paired when'):
        PairedBag(tmp_path / 'raw')
    sqlite3.connect(tmp_path / 'old.db3').close()
    with pytest.raises(BagError):
        PairedBag(tmp_path / 'old.db3')


def test_a_newer_layout_and_other_text_are_no_rig():
    rig = layout.Rig((layout.CameraTopics.under('front', 'optical', True),), intensity_scale=255.0)
    assert layout.Rig.from_json(rig.to_json()) == rig
    assert layout.Rig.from_json(rig.to_json().replace(', "rectified": false', '')) == rig  # as older bags have it
    with pytest.raises(BagError, match='layout version 2.*update'):
        layout.Rig.from_json('{"version": 2}')
    with pytest.raises(BagError, match='not the JSON of a rig'):
        layout.Rig.from_json('hello')
