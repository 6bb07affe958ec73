# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""What goes into a bag of paired frames comes out of it, bit for bit, and any mcap reader sees it."""

import pickle
import sqlite3

import cv2
import numpy as np
import pytest
from rosbags.rosbag2 import CompressionFormat, CompressionMode, Reader, StoragePlugin, Writer

from ros_kd import extrinsics
from ros_kd.bags import BagError, codec, layout
from ros_kd.bags.pixels import compressed_pixels, image_pixels
from ros_kd.bags.reader import PairedBag
from ros_kd.bags.writer import PairedBagWriter, RawPair, RawView, rig_of
from ros_kd.cameras import Camera
from ros_kd.frames import CameraView, PairedFrame, Scan
from ros_kd.images import EncodedPixels, RawPixels
from ros_kd.label_sets import get_taxonomy

FRONT = Camera(40, 24, [[30, 0, 20], [0, 31, 12], [0, 0, 1]], 'plumb_bob', (-0.3, 0.1, 1e-3, -2e-3, 0.02))
REAR = Camera(16, 8, [[9, 0, 8], [0, 9, 4], [0, 0, 1]], 'equidistant', (0.01, 0.002, 0.0, 0.0))


def make_pose(random, scale=5.0):
    return extrinsics.from_quaternion(random.normal(0, scale, 3), random.normal(size=4))


def make_frame(number, points=500):
    """A frame as a dataset gives it: an encoded and a raw camera, label image, all columns, odometry."""
    random = np.random.default_rng(number)
    stamp = 1_700_000_000_000_000_000 + number * 100_000_000
    xyz = random.normal(0, 20, (points, 3)).astype(np.float32)
    xyz[3] = np.nan
    scan = Scan(stamp, xyz, random.random(points, np.float32), random.random(points, np.float32) / 10,
                random.integers(0, 64, points).astype(np.uint16), random.integers(0, 12, points).astype(np.uint16),
                get_taxonomy('street-12'), 'os_sensor')
    jpeg = cv2.imencode('.jpg', random.integers(0, 255, (24, 40, 3), np.uint8))[1]
    views = (CameraView('front', stamp - 20_000_001, FRONT, make_pose(random), EncodedPixels(jpeg, 'jpeg'),
                        'front_optical', RawPixels(random.integers(0, 19, (24, 40), np.uint8)),
                        get_taxonomy('cityscapes')),
             CameraView('rear', stamp + 13, REAR, make_pose(random),
                        RawPixels(random.integers(0, 255, (8, 16, 3), np.uint8)), 'rear_optical'))
    return PairedFrame(scan, views, f'{number}', make_pose(random))


def write_bag(path, frames):
    with PairedBagWriter(path, rig_of(frames[0], 'odom')) as writer:
        for frame in frames:
            writer.write_frame(frame)
    return path


@pytest.fixture(scope='module')
def frames():
    return [make_frame(number) for number in range(5)]


@pytest.fixture(scope='module')
def bag(tmp_path_factory, frames):
    return write_bag(tmp_path_factory.mktemp('bags') / 'pairs', frames)


def assert_same(read, written):
    assert read.stamp == written.stamp and read.scan.frame_id == written.scan.frame_id
    for column in ('points', 'intensity', 'time', 'ring', 'label'):
        a, b = getattr(read.scan, column), getattr(written.scan, column)
        assert a.dtype == b.dtype and np.array_equal(a.view(np.uint8), b.view(np.uint8)), column
    assert read.scan.taxonomy == written.scan.taxonomy
    np.testing.assert_allclose(read.world_from_lidar, written.world_from_lidar, atol=1e-12)
    assert [view.name for view in read.views] == [view.name for view in written.views]
    for a, b in zip(read.views, written.views):
        assert (a.stamp, a.frame_id, a.taxonomy) == (b.stamp, b.frame_id, b.taxonomy)
        np.testing.assert_array_equal(a.image(), b.image())
        np.testing.assert_allclose(a.lidar_to_camera, b.lidar_to_camera, atol=1e-12)
        assert (a.camera.model, a.camera.distortion, a.camera.width, a.camera.height) == \
            (b.camera.model, b.camera.distortion, b.camera.width, b.camera.height)
        np.testing.assert_array_equal(a.camera.K, b.camera.K)
        assert (a.label_pixels is None) == (b.label_pixels is None)
        if a.label_pixels is not None:
            np.testing.assert_array_equal(a.labels(), b.labels())


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
    assert second == ['/front/image/compressed', '/front/extrinsics', '/front/labels', '/rear/image',
                      '/rear/extrinsics', '/pose', '/points']
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
    storage = next(bag.glob('*.mcap'))
    whole = storage.read_bytes()
    for name, data in (('cut.mcap', whole[:len(whole) // 2]), ('nothing.mcap', b''), ('stub.mcap', whole[:12])):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(BagError, match='damaged or was not finished.*mcap recover'):
            PairedBag(tmp_path / name)
    (tmp_path / 'unfinished').mkdir()
    (tmp_path / 'unfinished' / 'unfinished.mcap').write_bytes(whole[:-100])
    with pytest.raises(BagError, match='no metadata.yaml.*did not finish'):
        PairedBag(tmp_path / 'unfinished')
    (tmp_path / 'whole.mcap').write_bytes(whole)
    assert len(PairedBag(tmp_path / 'whole.mcap')) == 5


def test_a_raw_bag_is_told_from_a_bag_of_pairs(tmp_path):
    with Writer(tmp_path / 'raw', version=8, storage_plugin=StoragePlugin.MCAP) as writer:
        connection = writer.add_connection('/velodyne_points', layout.CLOUD, typestore=codec.typestore())
        writer.write(connection, 5, codec.cloud(make_frame(0).scan))
    with pytest.raises(BagError, match=r'without pairs; it holds /velodyne_points \(.*PointCloud2\).*record'):
        PairedBag(tmp_path / 'raw')
    sqlite3.connect(tmp_path / 'old.db3').close()
    with pytest.raises(BagError):
        PairedBag(tmp_path / 'old.db3')


def test_a_newer_layout_and_other_text_are_no_rig():
    rig = layout.Rig((layout.CameraTopics.under('front', 'optical', True),), intensity_scale=255.0)
    assert layout.Rig.from_json(rig.to_json()) == rig
    with pytest.raises(BagError, match='layout version 2.*update'):
        layout.Rig.from_json('{"version": 2}')
    with pytest.raises(BagError, match='not the JSON of a rig'):
        layout.Rig.from_json('hello')


def test_headers_are_read_without_deserialising():
    raw = codec.raw_image(np.zeros((2, 2), np.uint8), 5_000_000_006, 'optical')
    assert layout.header_stamp(raw) == 5_000_000_006 and layout.header_frame(raw) == 'optical'
    for bad in (b'', bytes(20), bytes(raw[:18])):
        with pytest.raises(BagError):
            layout.header_frame(bad)


class ImageLike:
    def __init__(self, encoding, array, step=0, big=False):
        self.encoding, self.is_bigendian = encoding, big
        self.height, self.width = array.shape[:2]
        rows = np.ascontiguousarray(array).view(np.uint8).reshape(self.height, -1)
        self.step = step or rows.shape[1]
        self.data = np.pad(rows, ((0, 0), (0, self.step - rows.shape[1]))).tobytes()


def test_raw_encodings_become_rgb():
    random = np.random.default_rng(0)
    rgb = random.integers(0, 255, (6, 8, 3), np.uint8)
    padded = np.concatenate([rgb, np.full((6, 8, 1), 9, np.uint8)], 2)
    for encoding, array in (('rgb8', rgb), ('bgr8', rgb[..., ::-1]), ('rgba8', padded),
                            ('bgra8', padded[..., [2, 1, 0, 3]])):
        for step in (0, 40):
            np.testing.assert_array_equal(image_pixels(ImageLike(encoding, array, step)).read(), rgb, encoding)
    depth = random.integers(0, 60000, (4, 4)).astype('>u2')
    np.testing.assert_array_equal(image_pixels(ImageLike('mono16', depth, big=True)).read(), depth)
    with pytest.raises(ValueError, match='"32FC7" is unknown'):
        image_pixels(ImageLike('32FC7', rgb))
    short = ImageLike('rgb8', rgb)
    short.data = short.data[:-1]
    with pytest.raises(ValueError, match='143 bytes'):
        image_pixels(short)


@pytest.mark.parametrize('encoding, red', [('bayer_rggb8', (0, 0)), ('bayer_bggr8', (1, 1)), ('bayer_gbrg8', (1, 0)),
                                           ('bayer_grbg8', (0, 1))])
def test_bayer_patterns_put_red_where_the_sensor_has_it(encoding, red):
    mosaic = np.zeros((16, 16), np.uint8)
    mosaic[red[0]::2, red[1]::2] = 200
    inner = image_pixels(ImageLike(encoding, mosaic)).read()[4:-4, 4:-4].reshape(-1, 3)
    assert (inner[:, 0] == 200).all() and not inner[:, 1:].any()


def test_the_format_of_compressed_images_is_read_as_drivers_write_it():
    assert compressed_pixels(b'', 'bgr8; png compressed bgr8', '').format == 'png'
    assert compressed_pixels(b'', 'rgb8; jpeg compressed bgr8', '').format == 'jpeg'
