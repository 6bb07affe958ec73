# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Drivers come late, die, come back and publish strange things: what can be recorded is, and the rest is said."""

import time

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='ROS 2 is not installed')
from drive import recorder  # noqa: E402
from std_msgs.msg import Bool  # noqa: E402
from vehicle import CAMERA, LATCHED, LOSSY, RELIABLE, Vehicle, wait_until  # noqa: E402

from ros_kd.bags.reader import PairedBag  # noqa: E402
from ros_kd.cameras import Camera  # noqa: E402
from ros_kd.nodes import messages  # noqa: E402

S = 1_000_000_000
STEP = S // 10


def test_a_recorder_that_comes_first_says_what_it_waits_for_and_records_it(tmp_path):
    with recorder(76, tmp_path / 'pairs', input_timeout=0.5) as record:
        record.until('no camera below /, expected images and a camera_info beside them; published now: images none')
        with Vehicle(76) as vehicle:
            vehicle.connect().drive(100 * S, 5)
            status, text = record.interrupt()
    assert status == 0 and len(PairedBag(tmp_path / 'pairs')) == 5, text


def test_a_calibration_that_is_published_only_once_is_heard(tmp_path):
    with Vehicle(77) as vehicle:
        vehicle.replace('info', LATCHED)
        vehicle.info.publish(messages.camera_info_message(CAMERA, messages.header(S, 'optical')))
        with recorder(77, tmp_path / 'pairs') as record:
            wait_until(lambda: vehicle.points.get_subscription_count() and vehicle.image.get_subscription_count(),
                       'recorder')
            time.sleep(0.5)
            for number in range(5):
                stamp = 100 * S + number * STEP
                vehicle.send_scan(stamp)
                vehicle.image.publish(messages.image_message(np.zeros((32, 48, 3), np.uint8),
                                                             messages.header(stamp, 'optical')))
                time.sleep(0.1)
            status, text = record.interrupt()
    assert status == 0 and len(PairedBag(tmp_path / 'pairs')) == 5, text


def test_drivers_that_come_back_best_effort_are_heard_again(tmp_path):
    names = ('points', 'image', 'info')
    with Vehicle(78) as vehicle:
        for name in names:
            vehicle.replace(name, RELIABLE)
        with recorder(78, tmp_path / 'pairs') as record:
            now = vehicle.connect().drive(100 * S, 5)
            for name in names:
                vehicle.replace(name, LOSSY)
            record.until(*(f'publishers of {topic} have another profile now' for topic in (
                '/velodyne_points', '/cam0/image_color', '/cam0/camera_info')))
            vehicle.connect().drive(now, 5)
            status, text = record.interrupt()
    assert status == 0 and len(PairedBag(tmp_path / 'pairs')) == 10, text


def test_odometry_that_begins_late_and_dies_costs_no_pair(tmp_path):
    with Vehicle(79) as vehicle, recorder(79, tmp_path / 'pairs', fixed_frame='odom', base_frame='optical',
                                          tf_timeout=2.5) as record:
        vehicle.send_moving('elsewhere', 'thing', S, 0.0)  # somebody publishes on /tf, so there is hope
        vehicle.connect()

        def drive(begin, odometry):
            for stamp in range(begin, begin + 6 * STEP, STEP):
                vehicle.send(stamp)
                if odometry:
                    for late in (0, STEP // 2):
                        vehicle.send_moving('odom', 'optical', stamp + late, 10 * (stamp + late) / S)
                time.sleep(0.1)
            return begin + 6 * STEP

        now = drive(100 * S, False)
        now = drive(now, True)
        now = drive(now, False)
        record.until('no news of the fixed frame "odom"')
        drive(now, True)
        record.until('frame "odom" is there now')
        status, text = record.interrupt()
    assert status == 0 and 'lost: none' in text and 'pairs without the motion of the vehicle' in text
    frames = list(PairedBag(tmp_path / 'pairs'))
    posed = [frame.world_from_lidar is not None for frame in frames]
    assert len(frames) == 24 and not any(posed[:6]) and all(posed[6:12]) and not any(posed[12:18]) and posed[-1]
    for frame in frames:
        along = frame.views[0].lidar_to_camera[2, 3]
        if frame.world_from_lidar is None:
            assert along == 2.0
        else:
            assert frame.world_from_lidar[2, 3] == pytest.approx(10 * frame.stamp / S + 2)
            assert along == pytest.approx(2 - 10 * (frame.views[0].stamp - frame.stamp) / S)


def test_a_mount_that_is_calibrated_anew_or_moves_counts_at_once(tmp_path):
    with Vehicle(80) as vehicle, recorder(80, tmp_path / 'pairs') as record:
        now = vehicle.connect().drive(100 * S, 5)
        vehicle.send_static('optical', 'velodyne', 3.0)
        time.sleep(0.5)
        now = vehicle.drive(now, 5)
        vehicle.send_static('optical', 'tilt', 0.0)
        vehicle.send_moving('tilt', 'velodyne', now, 4.0)
        vehicle.send_moving('tilt', 'velodyne', now + S, 5.0)
        time.sleep(0.5)
        vehicle.drive(now, 5)
        status, text = record.interrupt()
    assert status == 0 and 'the new transform holds from now on' in text and 'at the stamp of each message' in text
    along = [frame.views[0].lidar_to_camera[2, 3] for frame in PairedBag(tmp_path / 'pairs')]
    moving = [4.0 + (number * STEP + 1_000_000) / S for number in range(5)]
    np.testing.assert_allclose(along, [2.0] * 5 + [3.0] * 5 + moving, atol=1e-6)


def test_what_is_wrong_with_a_driver_is_said_and_counted(tmp_path):
    with Vehicle(81) as vehicle, recorder(81, tmp_path / 'pairs') as record:
        vehicle.connect()
        with Vehicle(81, 'cam1') as late:
            record.until('camera "cam1" (/cam1/image_color) began after the others and is left out')
            assert late.image.get_subscription_count() == 0
        vehicle.send_scan(100 * S - STEP, frame='')
        vehicle.send_image(100 * S - STEP)
        time.sleep(0.1)
        wide = Camera(96, 64, [[80, 0, 48], [0, 80, 32], [0, 0, 1]])
        for number in range(5):
            vehicle.send(100 * S + number * STEP, wide)
            time.sleep(0.1)
        time.sleep(0.8)
        status, text = record.interrupt()
    assert status == 0 and 'the header has no frame_id' in text and '1 pairs with a bad calibration or header' in text
    assert 'image of camera "cam0" is 48x32, but its calibration is for 96x64' in text
    assert 'faults: 1 images of cam0 that its calibration does not fit' in text
    assert len(PairedBag(tmp_path / 'pairs').stamps) == 5


def test_a_latched_trigger_from_before_the_start_counts(tmp_path):
    with Vehicle(82) as vehicle:
        vehicle.node.create_publisher(Bool, 'go', LATCHED).publish(Bool(data=True))
        with recorder(82, tmp_path / 'pairs', trigger_topic='go') as record:
            vehicle.connect()
            for number in range(200):
                if (tmp_path / 'pairs').exists():
                    break
                vehicle.send(100 * S + number * STEP)
                time.sleep(0.1)
            status, text = record.interrupt()
    assert status == 0 and len(PairedBag(tmp_path / 'pairs')) >= 1, text
