# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Cameras from sensor_msgs/CameraInfo: whole sensors, regions of interest, binning, rectified and stereo images."""

from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rosbags.typesys import Stores, get_typestore

from ros_kd import extrinsics
from ros_kd.cameras import Camera, rectification

K = np.array([[900, 0, 641], [0, 890, 355], [0, 0, 1.0]])
D = (-0.3, 0.1, 0.001, 0.002, 0.01)
TURN = cv2.Rodrigues(np.array([0.02, -0.03, 0.01]))[0]
P = np.array([[820, 0, 630, -820 * 0.12], [0, 820, 360, 0], [0, 0, 1, 0]])
FIELDS = {'width': 1280, 'height': 720, 'distortion_model': 'plumb_bob', 'd': D, 'k': K.ravel(), 'r': TURN.ravel(),
          'p': P.ravel(), 'binning_x': 0, 'binning_y': 0}


def info(roi=(0, 0, 0, 0), do_rectify=False, **changes):
    x, y, width, height = roi
    region = SimpleNamespace(x_offset=x, y_offset=y, width=width, height=height, do_rectify=do_rectify)
    return SimpleNamespace(**{**FIELDS, **changes}, roi=region)


def as_rclpy(plain):
    messages = pytest.importorskip('sensor_msgs.msg')
    region = messages.RegionOfInterest(**vars(plain.roi))
    lists = {name: [float(value) for value in getattr(plain, name)] for name in 'dkrp'}
    return messages.CameraInfo(**{**vars(plain), **lists, 'roi': region})


def as_rosbags(plain, store, upper):
    types = get_typestore(store).types
    region = types['sensor_msgs/msg/RegionOfInterest'](**vars(plain.roi))
    names = {name: name.upper() if upper else name for name in 'dkrp'}
    lists = {names[name]: np.array(getattr(plain, name)) for name in 'dkrp'}
    rest = {name: value for name, value in vars(plain).items() if name not in (*'dkrp', 'roi')}
    return types['sensor_msgs/msg/CameraInfo'](header=None, **rest, **lists, roi=region)


@pytest.mark.parametrize('written', [
    as_rclpy, lambda plain: as_rosbags(plain, Stores.ROS2_JAZZY, False),
    lambda plain: as_rosbags(plain, Stores.ROS1_NOETIC, True)], ids=['rclpy', 'rosbags', 'ROS 1'])
def test_messages_of_any_library_give_one_camera(written):
    plain = info(roi=(100, 60, 640, 480), binning_x=2, binning_y=2)
    camera, expected = Camera.from_info(written(plain)), Camera.from_info(plain)
    assert (camera.width, camera.height, camera.model, camera.distortion) == (320, 240, 'plumb_bob', D)
    np.testing.assert_array_equal(camera.K, expected.K)
    np.testing.assert_array_equal(rectification(written(plain)), rectification(plain))


@st.composite
def windows(draw):
    x, y = draw(st.integers(0, 1200)), draw(st.integers(0, 650))
    size = draw(st.integers(16, 1280 - x)), draw(st.integers(16, 720 - y))
    return (x, y, *size), draw(st.integers(0, 4)), draw(st.integers(0, 4)), draw(st.booleans())


@settings(deadline=None)
@given(windows(), st.booleans(), st.integers(0, 99))
def test_a_point_is_the_same_spot_of_the_scene_in_the_whole_the_cropped_and_the_binned_image(window, rectified, seed):
    """Pixels of a picture of its own coordinates, cropped and subsampled, tell where they came from."""
    roi, binning_x, binning_y, do_rectify = window
    cut = info(roi, do_rectify, binning_x=binning_x, binning_y=binning_y)
    whole, part = Camera.from_info(info(), rectified), Camera.from_info(cut, rectified)
    x, y, width, height = roi
    step = max(binning_x, 1), max(binning_y, 1)
    picture = np.stack(np.meshgrid(np.arange(1280.0), np.arange(720.0)), 2)[y:y + height, x:x + width]
    published = picture[:height // step[1] * step[1]:step[1], :width // step[0] * step[0]:step[0]]
    assert published.shape == (part.height, part.width, 2)
    points = np.random.default_rng(seed).uniform([-4, -3, 3], [4, 3, 9], (300, 3))
    (there, _), (here, seen) = whole.project(points), part.project(points)
    np.testing.assert_allclose(here * step + (x, y), there, atol=1e-9)
    column, row = np.rint(here[seen]).astype(int).T
    assert (np.abs(published[row, column] - there[seen]) <= np.array(step) / 2 + 1e-9).all()


def test_a_region_of_zeros_and_a_binning_of_zero_or_one_are_the_whole_sensor():
    for changes in ({}, {'binning_x': 1, 'binning_y': 1}, {'roi': (0, 0, 1280, 720)}):
        camera = Camera.from_info(info(**changes))
        assert (camera.width, camera.height) == (1280, 720)
        np.testing.assert_array_equal(camera.K, K)


def test_rectified_images_of_a_stereo_camera_agree_with_opencv():
    """Raw pixels, rectified by OpenCV, are where the rectified camera sees the points; its baseline shifts them."""
    points = np.random.default_rng(0).uniform([-4, -2, 4], [4, 2, 20], (500, 3))
    raw, seen = Camera.from_info(info()).project(points)
    expected = cv2.undistortPoints(raw[:, None], K, np.array(D), R=TURN, P=P[:, :3])[:, 0]
    camera = Camera.from_info(info(), rectified=True)
    assert camera.model == 'none'
    left, _ = camera.project(extrinsics.apply(rectification(info(), baseline=False), points))
    np.testing.assert_allclose(left[seen], expected[seen], atol=0.2)  # OpenCV iterates
    whole = points @ TURN.T @ P[:, :3].T + P[:, 3]
    right, _ = camera.project(extrinsics.apply(rectification(info()), points))
    np.testing.assert_allclose(right, whole[:, :2] / whole[:, 2:], atol=1e-9)
    assert rectification(info(binning_x=2, binning_y=2))[0, 3] == pytest.approx(-0.12)


def test_a_single_camera_without_rectification_is_not_turned():
    plain = np.hstack([K, np.zeros((3, 1))])
    np.testing.assert_array_equal(rectification(info(r=np.zeros(9), p=plain)), np.eye(4))


@pytest.mark.parametrize('changes, message', [
    ({'k': np.zeros(9)}, 'calibrate the camera first'), ({'k': np.ones(4)}, 'K of the CameraInfo has 4 numbers'),
    ({'d': (0.1,) * 7}, '7 distortion coefficients'), ({'distortion_model': 'mystery'}, '"mystery" is unknown; known'),
    ({'roi': (1000, 0, 640, 480)}, r'640x480 at \(1000, 0\) is not within the 1280x720'),
    ({'roi': (8, 8, 0, 0)}, '0x0 at'), ({'binning_x': 2000}, 'size 0x720')])
def test_impossible_messages_are_refused_saying_what_is_wrong(changes, message):
    with pytest.raises(ValueError, match=message):
        Camera.from_info(info(**changes))


@pytest.mark.parametrize('changes, message', [
    ({'p': np.zeros(12)}, 'P of the CameraInfo is .* raw image'),
    ({'r': np.ones(9)}, 'R of the CameraInfo is .* no rotation'), ({'r': -np.eye(3).ravel()}, 'no rotation')])
def test_a_rectification_that_is_none_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        rectification(info(**changes))
    if 'p' in changes:
        with pytest.raises(ValueError, match=message):
            Camera.from_info(info(**changes), rectified=True)
