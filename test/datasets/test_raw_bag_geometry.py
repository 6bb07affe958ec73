# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Raw bags: rectified images are seen from the rectified camera, and points are moved to the scan's stamp if asked."""

from dataclasses import replace

import numpy as np
import pytest
from raw_drive import FRONT, MOUNTS, MS, START, Message, odometry

from ros_kd import extrinsics
from ros_kd.bags import codec, layout
from ros_kd.datasets import DatasetError, open_dataset
from ros_kd.frames import Scan


@pytest.mark.parametrize('shared', [False, True])
def test_rectified_images_are_seen_from_the_rectified_camera(write, drive, shared):
    turn = MOUNTS['front_optical'][:3, :3]
    info = replace(codec.read(codec.camera_info(FRONT, START, 'front_optical'), layout.CAMERA_INFO),
                   r=turn.reshape(-1), p=np.array([[20, 0, 18, -8], [0, 21, 11, 0], [0, 0, 1, 0]], float).reshape(-1))
    infos = [replace(message, topic='/right/camera_info', raw=codec.typestore().serialize_cdr(info, layout.CAMERA_INFO))
             for message in drive.messages if message.topic == '/front/camera_info'][:1]
    images = [replace(message, topic='/right/image_rect/compressed') for message in drive.messages
              if message.topic == '/front/image/compressed']
    others = drive.messages if shared else drive.without('/front/image/compressed', '/front/camera_info')
    frame = open_dataset(str(write(others + infos + images)))[1]
    view = frame.view('right')
    expected = drive.expected('front_optical', view.stamp, frame.stamp)
    expected = extrinsics.from_rotation(turn, [-8 / 20 if shared else 0, 0, 0]) @ expected
    np.testing.assert_allclose(view.lidar_to_camera, expected, atol=1e-6)
    assert view.camera.model == 'none' and view.camera.K[0, 0] == 20 and view.camera.K[1, 2] == 11


def test_deskewed_points_of_a_turning_vehicle_stand_still(write, drive):
    target = np.array([12.0, 7.0, 1.0])  # in odom
    times = np.linspace(-0.05, 0.05, 101).astype(np.float32)
    scans = []
    for stamp in drive.scan_stamps:
        poses = np.stack([odometry(stamp + round(float(time) * 1e9)) @ MOUNTS['lidar'] for time in times])
        seen = (extrinsics.invert(poses) @ np.append(target, 1))[:, :3].astype(np.float32)
        scans.append(Scan(stamp, seen, time=times, frame_id='lidar'))
    bag = write(drive.without('/points')
                + [Message('/points', layout.CLOUD, scan.stamp + 60 * MS, codec.cloud(scan)) for scan in scans])
    for frame in open_dataset(f'{bag}?deskew=yes'):
        world = extrinsics.apply(frame.world_from_lidar, frame.points.astype(np.float64))
        assert np.abs(world - target).max() < 0.005 and frame.scan.time is None
    for frame in open_dataset(f'{bag}?deskew=no'):
        world = extrinsics.apply(frame.world_from_lidar, frame.points.astype(np.float64))
        assert np.abs(world - target).max() > 0.1


def test_deskewing_needs_times_and_motion(write, drive):
    plain = [Message('/points', layout.CLOUD, stamp, codec.cloud(Scan(stamp, np.zeros((3, 3), np.float32),
                                                                      frame_id='lidar')))
             for stamp in drive.scan_stamps]
    with pytest.raises(DatasetError, match='no field with the time of each point'):
        open_dataset(f'{write(drive.without("/points") + plain)}?deskew=yes')


def test_times_of_points_in_another_unit_are_refused_before_they_are_used(write, drive):
    scans = [Scan(stamp, np.zeros((3, 3), np.float32), time=np.array([0, 5e4, 1e5], np.float32), frame_id='lidar')
             for stamp in drive.scan_stamps]
    bag = write(drive.without('/points') + [Message('/points', layout.CLOUD, scan.stamp, codec.cloud(scan))
                                            for scan in scans])
    with pytest.raises(ValueError, match=f'scan at {START} ns are 0 to 100000 s from its stamp.*another unit'):
        open_dataset(f'{bag}?deskew=yes')[0]


@pytest.mark.filterwarnings('ignore::UserWarning')
def test_deskewing_without_odometry_is_refused(write, drive):
    with pytest.raises(DatasetError, match='no transform from "lidar" to odom or map'):
        open_dataset(f'{write(drive.without("/tf"))}?deskew=yes')
