# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Raw bags, as `ros2 bag record` and ROS 1 make them, are paired when they are opened, and say what they leave out."""

import pickle
import warnings
from dataclasses import replace
from multiprocessing import get_context

import numpy as np
import pytest
from raw_drive import FRONT, KINDS, MOUNTS, MS, START, Drive, Message, ego, odometry, tf, write_bag

from ros_kd import extrinsics
from ros_kd.bags import codec, layout
from ros_kd.datasets import DatasetError, open_dataset
from ros_kd.frames import Scan
from ros_kd.images import RawPixels
from ros_kd.label_sets import get_taxonomy

OFFSETS = {'front': 3 * MS, 'rear': -7 * MS}


@pytest.fixture(scope='module', params=KINDS)
def bag(request, tmp_path_factory, drive):
    return write_bag(tmp_path_factory.mktemp('raw') / request.param, drive.messages, request.param)


@pytest.fixture
def quiet():
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        yield


def test_each_scan_is_paired_with_the_nearest_image_of_each_camera(bag, drive, quiet):
    dataset = open_dataset(str(bag))
    assert [frame.stamp for frame in dataset] == drive.scan_stamps and len(dataset) == drive.scans
    for frame in dataset:
        assert {view.name: view.stamp - frame.stamp for view in frame.views} == OFFSETS
    assert not dataset.report and dataset.report.text() == '6 pairs of 6 scans'


def test_images_points_and_calibrations_come_as_the_vehicle_published_them(bag, drive):
    frame = open_dataset(str(bag))[2]
    front, rear = frame.view('front'), frame.view('rear')
    assert bytes(front.pixels.data) == drive.pixels(FRONT, front.stamp, True).data.tobytes()
    np.testing.assert_array_equal(rear.image(), drive.pixels(rear.camera, rear.stamp, False).array)
    np.testing.assert_array_equal(front.camera.K, FRONT.K)
    assert (front.camera.model, front.camera.distortion) == (FRONT.model, FRONT.distortion)
    scan = drive.scan(frame.stamp)
    np.testing.assert_array_equal(frame.points, scan.points)
    np.testing.assert_allclose(frame.scan.intensity, scan.intensity / 255)
    np.testing.assert_array_equal(frame.scan.time, scan.time)
    assert frame.scan.frame_id == 'lidar' and front.frame_id == 'front_optical'


def test_extrinsics_include_the_way_between_scan_and_image(bag, drive):
    dataset = open_dataset(str(bag))
    for frame in dataset:
        for view in frame.views:
            np.testing.assert_allclose(view.lidar_to_camera, drive.expected(view.frame_id, view.stamp, frame.stamp),
                                       atol=1e-6)
        np.testing.assert_allclose(frame.world_from_lidar, odometry(frame.stamp) @ MOUNTS['lidar'], atol=1e-6)
    assert list(dataset.trajectory.stamps) == drive.scan_stamps
    np.testing.assert_allclose(dataset.trajectory.poses[3], dataset[3].world_from_lidar)


def test_workers_and_copies_share_an_opened_bag_and_warn_no_more(bag, quiet):
    dataset = open_dataset(str(bag))
    copy = pickle.loads(pickle.dumps(dataset))
    np.testing.assert_array_equal(copy[4].points, dataset[4].points)
    with get_context('fork').Pool(2) as pool:
        assert pool.map(_stamp, [(dataset, index) for index in range(6)]) == [frame.stamp for frame in dataset]


def _stamp(arguments):
    dataset, index = arguments
    return dataset[index].stamp


def test_options_choose_cameras_frames_and_the_fixed_frame(write, drive):
    bag = write(drive.messages)
    some = open_dataset(f'bag:{bag}?cameras=rear&every=2&frames=2&points=points&slop=0.02')
    assert [frame.key for frame in some] == [str(START), str(START + 200 * MS)]
    assert [view.name for view in some[0].views] == ['rear']
    still = open_dataset(f'bag:{bag}?fixed_frame=')
    np.testing.assert_allclose(still[2].view('rear').lidar_to_camera,
                               extrinsics.invert(MOUNTS['rear_optical']) @ MOUNTS['lidar'], atol=1e-9)
    assert still[2].world_from_lidar is None and still.trajectory is None
    with pytest.raises(IndexError, match='pair 6 of 6'):
        still[6]


@pytest.mark.parametrize('options, text', [
    ('speed=2', r"no option \['speed'\]; it has: points=TOPIC"), ('cameras=left', r'no camera "left".*front'),
    ('points=/velodyne', r'no clouds on /velodyne. Clouds there are: /points'), ('slop=0', 'expected seconds'),
    ('slop=fast', 'expected seconds'), ('every=0', 'every >= 1'), ('deskew=maybe', 'yes or no'),
    ('fixed_frame=world', r'(?s)no transform from "lidar" to the fixed frame "world".*odom\n  base')])
def test_a_wrong_option_is_an_error_that_names_the_choice(write, drive, options, text):
    with pytest.raises(DatasetError, match=text):
        open_dataset(f'bag:{write(drive.messages)}?{options}')


def test_of_several_clouds_none_is_guessed(write, drive):
    second = [replace(message, topic='/rear/points') for message in drive.messages if message.topic == '/points']
    bag = write(drive.messages + second[:3])
    with pytest.raises(DatasetError, match=r'2 topics have clouds.*/points \(.*6 messages, 10.0 Hz\); /rear/points'):
        open_dataset(str(bag))
    assert len(open_dataset(f'{bag}?points=/rear/points')) == 3


def test_a_bag_without_odometry_uses_the_static_chain_and_says_so_once(write, drive):
    bag = write(drive.without('/tf'))
    with pytest.warns(UserWarning, match='leave out the motion') as caught:
        frames = list(open_dataset(str(bag)))
    assert len(caught) == 1 and len(frames) == 6
    np.testing.assert_allclose(frames[0].view('front').lidar_to_camera,
                               extrinsics.invert(MOUNTS['front_optical']) @ MOUNTS['lidar'], atol=1e-9)


def test_map_serves_where_there_is_no_odom(write, drive):
    moved = [tf('/tf', stamp, stamp, 'map', 'base', ego(stamp))
             for stamp in range(START - 200 * MS, START + 800 * MS, 20 * MS)]
    frame = open_dataset(str(write(drive.without('/tf') + moved)))[3]
    view = frame.view('front')
    np.testing.assert_allclose(view.lidar_to_camera, drive.expected(view.frame_id, view.stamp, frame.stamp), atol=1e-6)


def test_pairs_without_transforms_are_left_out_when_the_bag_is_opened(write, drive):
    late = [message for message in drive.messages if message.topic != '/tf' or message.logged > START + 150 * MS]
    with pytest.warns(UserWarning, match='2 scans: no transform: "lidar" to "front_optical": .*"base" in "odom" is '
                                         'known from .* too early'):
        dataset = open_dataset(str(write(late)))
    assert [frame.stamp for frame in dataset] == drive.scan_stamps[2:]
    assert sum(dataset.report.no_transform.values()) == 2 and dataset.report.pairs == 4


def test_a_camera_that_is_not_in_the_tree_leaves_nothing_and_the_error_says_why(write, drive):
    no_front = [message for message in drive.messages if b'front_optical' not in bytes(message.raw)
                or message.topic != '/tf_static']
    with pytest.raises(DatasetError, match='(?s)nothing that can be paired.*6 scans: no transform.*"front_optical" is '
                                           'unknown; known:'):
        open_dataset(str(write(no_front)))


def test_images_before_the_first_calibration_and_impossible_calibrations_are_left_out(write, drive):
    third = START + 250 * MS
    messages = [message for message in drive.messages
                if message.topic != '/front/camera_info' or layout.header_stamp(message.raw) > third]
    with pytest.warns(UserWarning, match='3 scans: no calibration: /front/camera_info: no message before the image'):
        assert len(open_dataset(str(write(messages)))) == 3


def test_an_uncalibrated_camera_is_named(write, drive):
    info = codec.read(codec.camera_info(FRONT, START, 'front_optical'), layout.CAMERA_INFO)
    blank = replace(info, k=np.zeros(9))
    message = Message('/front/camera_info', layout.CAMERA_INFO, START - 800 * MS,
                      codec.typestore().serialize_cdr(blank, layout.CAMERA_INFO))
    with pytest.raises(DatasetError, match='6 scans: no calibration: /front/camera_info: .*calibrate the camera'):
        open_dataset(str(write(drive.without('/front/camera_info') + [message])))


def test_a_calibration_holds_from_its_stamp_on(write, drive):
    wide = replace(FRONT, K=FRONT.K * [[2], [1], [1]])
    change = START + 250 * MS
    messages = [message if message.topic != '/front/camera_info' or layout.header_stamp(message.raw) < change
                else replace(message, raw=codec.camera_info(wide, layout.header_stamp(message.raw), 'front_optical'))
                for message in drive.messages]
    assert [frame.view('front').camera.K[0, 0] for frame in open_dataset(str(write(messages)))] == [30] * 3 + [60] * 3


def test_scans_without_an_image_in_time_are_counted_by_camera(write, drive):
    gap = [message for message in drive.messages if not (message.topic == '/rear/image_raw' and
           START + 180 * MS < layout.header_stamp(message.raw) < START + 340 * MS)]
    with pytest.warns(UserWarning, match='2 scans: no image of rear within 0.02 s'):
        dataset = open_dataset(f'{write(gap)}?slop=0.02')
    assert [frame.stamp for frame in dataset] == [drive.scan_stamps[number] for number in (0, 1, 4, 5)]
    assert dataset.report.interval == {'rear within 0.02 s': 2} and dataset.report.no_partner == 0


def test_a_scan_whose_images_fit_another_better_is_counted(write, drive):
    extra = replace(drive.messages[0], topic='/points', kind=layout.CLOUD, logged=START + 162 * MS,
                    raw=codec.cloud(drive.scan(START + 102 * MS)))
    rear = [message for message in drive.without('/front/image/compressed', '/front/camera_info')
            if message.topic != '/rear/image_raw' or layout.header_stamp(message.raw) % (100 * MS) == 93 * MS]
    with pytest.warns(UserWarning, match='1 scans: the images that fit them fit other scans better'):
        dataset = open_dataset(str(write(rear + [extra])))
    assert [frame.stamp for frame in dataset] == drive.scan_stamps


def test_broken_messages_are_counted_and_survived(write, drive):
    front = '/front/image/compressed'
    image = drive.pixels(FRONT, 0, True)
    broken = [Message('/points', layout.CLOUD, START - 500 * MS, b'\0\1\0\0abc'),
              Message(front, layout.COMPRESSED, START - 490 * MS, b'\0\1\0\0' + bytes(3)),
              Message(front, layout.COMPRESSED, START - 480 * MS, codec.image(image, 0, 'x')),
              Message(front, layout.COMPRESSED, START + 1, codec.image(image, START + 1, 'other')),
              Message('/tf', layout.TF_MESSAGE, START, b'\0\1\0\0\xff\xff\xff\x7f'),
              tf('/tf', START, START, 'base', 'base', np.eye(4)),
              Message('/front/camera_info', layout.CAMERA_INFO, START, b'')]
    doubled = [replace(message, logged=message.logged + 1) for message in drive.messages if message.topic == '/points']
    with pytest.warns(UserWarning, match='6 messages cannot be used: /points: repeated stamp') as caught:
        dataset = open_dataset(str(write(drive.messages + broken + doubled)))
    text = str(caught[0].message)
    for problem in ('/points: damaged', f'{front}: damaged', f'{front}: another frame_id', 'damaged message on /tf',
                    '"base" in "base"'):
        assert f'1 messages cannot be used: {problem}' in text
    assert [frame.stamp for frame in dataset] == drive.scan_stamps


@pytest.mark.parametrize('topic, text', [
    ('/points', r'0 pairs of 0 scans\n  6 messages cannot be used: /points: damaged'),
    ('/rear/image_raw', '6 scans: no image of rear within 0.1 s')])
def test_a_sensor_of_which_nothing_can_be_read_leaves_nothing(write, drive, topic, text):
    messages = [replace(message, raw=b'\0\1') if message.topic == topic else message for message in drive.messages]
    with pytest.raises(DatasetError, match=text):
        open_dataset(str(write(messages)))


def test_a_message_that_is_cut_off_behind_its_header_is_named_when_it_is_read(write, drive):
    victim = next(message for message in drive.messages if message.topic == '/points')
    messages = [message for message in drive.messages if message is not victim]
    dataset = open_dataset(f'{write(messages + [replace(victim, raw=bytes(victim.raw)[:60])])}')
    with pytest.raises(ValueError, match=r'message 0 on /points in .*bag cannot be read'):
        dataset[0]
    assert dataset[1].stamp == drive.scan_stamps[1]


def test_what_comes_after_a_jump_back_of_the_clock_is_not_mixed_with_what_was_before(write, drive):
    again = [replace(message, logged=message.logged + 10**10) for message in Drive(2).messages
             if message.topic != '/tf_static']
    later = Drive(20)
    with pytest.warns(UserWarning, match='2 messages cannot be used: /points: the clock jumped back'):
        dataset = open_dataset(str(write(later.messages + again)))
    assert [frame.stamp for frame in dataset] == later.scan_stamps
    view = dataset[1].view('rear')
    np.testing.assert_allclose(view.lidar_to_camera, drive.expected('rear_optical', view.stamp, dataset[1].stamp),
                               atol=1e-6)


def test_an_unfinished_raw_bag_is_read_and_the_report_says_so(write, drive, tmp_path):
    file = next(write(drive.messages, 'sqlite').glob('*.db3'))
    (tmp_path / 'killed').mkdir()
    file.rename(tmp_path / 'killed' / 'killed_0.db3')
    with pytest.warns(UserWarning, match='(?s)6 pairs of 6 scans.*killed has no metadata.yaml'):
        assert len(open_dataset(f'bag:{tmp_path}/killed')) == 6


@pytest.mark.parametrize('kept, text', [
    ((), r'no camera at all.*topics: none'), (('/front/image/compressed', '/front/camera_info'), 'no clouds on any'),
    (('/points',), 'no camera at all.*Cameras there are: none; topics: /points')])
def test_a_bag_that_lacks_sensors_says_what_it_has(write, drive, kept, text):
    with pytest.raises(DatasetError, match=text):
        open_dataset(f'bag:{write([message for message in drive.messages if message.topic in kept])}')


def test_labels_belong_to_the_image_of_the_same_stamp(write, drive):
    taxonomy, stamps = get_taxonomy('cityscapes'), [START + 3 * MS, START + 203 * MS]
    labels = [np.full((24, 40), number, np.uint8) for number in range(2)]
    messages = [Message('/front/labels', layout.IMAGE, stamp + 200 * MS, codec.image(RawPixels(image), stamp,
                                                                                     'front_optical'))
                for stamp, image in zip(stamps, labels)]
    messages.append(Message('/front/label_info', layout.STRING, START + 5, codec.string(taxonomy.to_json())))
    truth = get_taxonomy('street-12')
    scans = [Scan(stamp, np.zeros((3, 3), np.float32), label=np.array([1, 2, 3], np.uint16), taxonomy=truth,
                  frame_id='lidar') for stamp in drive.scan_stamps]
    messages += [Message('/points', layout.CLOUD, scan.stamp, codec.cloud(scan)) for scan in scans]
    messages.append(Message('/label_info', layout.STRING, START - 5, codec.string(truth.to_json())))
    dataset = open_dataset(str(write(drive.without('/points') + messages)))
    views = [frame.view('front') for frame in dataset]
    assert [None if view.labels() is None else int(view.labels()[0, 0]) for view in views] == [0, None, 1] + [None] * 3
    assert views[2].taxonomy == taxonomy and views[1].taxonomy is None
    assert dataset[1].scan.taxonomy == truth and list(dataset[1].scan.label) == [1, 2, 3]


@pytest.mark.parametrize('kind', KINDS)
def test_a_real_drive_comes_back_from_a_raw_bag_as_its_data_set_gives_it(real_data, write, kind):
    drive = open_dataset(f'kitti_raw:{real_data}/kitti_raw/2011_09_26/2011_09_26_drive_0013_sync?every=3')
    frames, poses, lidar = list(drive), drive.trajectory, 'velodyne'
    view = frames[0].views[0]
    T_camera_lidar = view.lidar_to_camera @ extrinsics.invert(frames[0].world_from_lidar) @ poses.at(view.stamp)
    first, last = frames[0].stamp - 200 * MS, frames[-1].stamp + 200 * MS
    messages = [tf('/tf_static', first, first, lidar, view.frame_id, extrinsics.invert(T_camera_lidar))]
    stamps = poses.stamps.tolist()
    messages += [tf('/tf', stamp, stamp, 'odom', lidar, poses.at(stamp))
                 for stamp in [stamps[0] - 100 * MS, *stamps, stamps[-1] + 100 * MS] if first < stamp < last]
    for frame in frames:
        view = frame.views[0]
        messages += [Message('/velodyne_points', layout.CLOUD, frame.stamp + 50 * MS, codec.cloud(frame.scan)),
                     Message('/camera_2/image/compressed', layout.COMPRESSED, frame.stamp + 90 * MS,
                             codec.image(view.pixels, view.stamp, view.frame_id)),
                     Message('/camera_2/camera_info', layout.CAMERA_INFO, frame.stamp + 91 * MS,
                             codec.camera_info(view.camera, view.stamp, view.frame_id))]
    read = open_dataset(str(write(messages, kind)))
    assert len(read) == len(frames) >= 5
    for frame, expected in zip(read, frames):
        view, original = frame.views[0], expected.views[0]
        assert (frame.stamp, view.stamp, view.name) == (expected.stamp, original.stamp, original.name)
        np.testing.assert_allclose(view.lidar_to_camera, original.lidar_to_camera, atol=1e-5)
        np.testing.assert_allclose(frame.world_from_lidar, expected.world_from_lidar, atol=1e-5)
        np.testing.assert_array_equal(frame.points, expected.points)
        np.testing.assert_array_equal(frame.scan.intensity, expected.scan.intensity)
        assert bytes(view.pixels.data) == original.pixels.encoded()
        np.testing.assert_array_equal(view.camera.K, original.camera.K)
