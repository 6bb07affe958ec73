# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation, Slerp

from ros_kd import extrinsics

angles = st.floats(-3.1, 3.1)
lengths = st.floats(-100, 100)


def pose(yaw, pitch, roll, x, y, z):
    return extrinsics.from_rotation(Rotation.from_euler('zyx', [yaw, pitch, roll]).as_matrix(), np.array([x, y, z]))


poses = st.builds(pose, angles, angles, angles, lengths, lengths, lengths)


@given(poses)
def test_quaternions_and_inverses_agree_with_scipy(transform):
    translation, quaternion = extrinsics.to_quaternion(transform)
    np.testing.assert_allclose(Rotation.from_quat(quaternion).as_matrix(), transform[:3, :3], atol=1e-9)
    np.testing.assert_allclose(extrinsics.from_quaternion(translation, quaternion), transform, atol=1e-9)
    np.testing.assert_allclose(extrinsics.invert(transform) @ transform, np.eye(4), atol=1e-9)


@given(poses, poses, st.floats(0, 1))
def test_interpolation_is_slerp(first, second, ratio):
    between = extrinsics.interpolate(first, second, ratio)
    slerp = Slerp([0, 1], Rotation.from_matrix([first[:3, :3], second[:3, :3]]))(ratio)
    relative = (Rotation.from_matrix(first[:3, :3]).inv() * Rotation.from_matrix(second[:3, :3])).magnitude()
    if relative < 3.0:  # the shorter way round is not unique at 180 degrees
        np.testing.assert_allclose(between[:3, :3], slerp.as_matrix(), atol=1e-6)
    np.testing.assert_allclose(between[:3, 3], (1 - ratio) * first[:3, 3] + ratio * second[:3, 3], atol=1e-9)


def test_chain_accounts_for_the_way_driven_between_scan_and_image():
    ego_at_scan, ego_at_image = pose(0, 0, 0, 0, 0, 0), pose(0, 0, 0, 1.0, 0, 0)
    camera_on_ego = np.linalg.inv(pose(0, 0, 0, 0, 0, 0.5))
    chain = extrinsics.lidar_to_camera(camera_on_ego, ego_at_image, ego_at_scan, np.eye(4))
    np.testing.assert_allclose(extrinsics.apply(chain, np.array([[10.0, 0, 0]])), [[9.0, 0, -0.5]])


def test_many_cameras_are_transformed_in_one_go():
    transforms = np.stack([pose(0.1, 0, 0, 1, 2, 3), pose(-1, 0.2, 0.3, 0, 0, 1)])
    points = np.random.default_rng(0).normal(size=(9, 3))
    for transform, moved in zip(transforms, extrinsics.apply(transforms, points)):
        np.testing.assert_allclose(moved, extrinsics.apply(transform, points))


def test_trajectory_interpolates_and_knows_its_ends():
    trajectory = extrinsics.Trajectory(np.array([0, 1_000_000_000]), np.stack([pose(0, 0, 0, 0, 0, 0),
                                                                              pose(1.0, 0, 0, 10, 0, 0)]))
    np.testing.assert_allclose(trajectory.at(500_000_000), pose(0.5, 0, 0, 5, 0, 0), atol=1e-9)
    assert trajectory.at(5_000_000_000) is None
    assert trajectory.at(1_100_000_000)[0, 3] == pytest.approx(11)


@pytest.mark.parametrize('quaternion', [[0, 0, 0, 0], [np.nan, 0, 0, 1]])
def test_impossible_quaternions_are_refused(quaternion):
    with pytest.raises(ValueError, match='expected 1'):
        extrinsics.from_quaternion(np.zeros(3), np.array(quaternion))
