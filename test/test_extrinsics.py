# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Rigid transforms, trajectories and the motion of a LiDAR within its sweep."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation, Slerp

from ros_kd import extrinsics
from ros_kd.datasets import open_dataset
from ros_kd.extrinsics import Trajectory

SECOND = 1_000_000_000
START = 1_700_000_000 * SECOND
KITTI = 'kitti_raw/2011_09_26/2011_09_26_drive_0013_sync'

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


@given(st.lists(st.tuples(poses, poses, st.floats(-1, 2)), min_size=1, max_size=5))
def test_stacks_are_treated_one_by_one(several):
    first, second, ratio = (np.array(values) for values in zip(*several))
    translations, quaternions = extrinsics.to_quaternion(first)
    np.testing.assert_allclose(extrinsics.from_quaternion(translations, quaternions), first, atol=1e-9)
    between = extrinsics.interpolate(first, second, ratio)
    for number, values in enumerate(several):
        np.testing.assert_allclose(between[number], extrinsics.interpolate(*values), atol=1e-9)


def test_trajectory_interpolates_and_knows_its_ends():
    trajectory = Trajectory(np.array([0, SECOND]), np.stack([pose(0, 0, 0, 0, 0, 0), pose(1.0, 0, 0, 10, 0, 0)]))
    np.testing.assert_allclose(trajectory.at(500_000_000), pose(0.5, 0, 0, 5, 0, 0), atol=1e-9)
    assert trajectory.at(5 * SECOND) is None
    assert trajectory.at(1_100_000_000)[0, 3] == pytest.approx(11)
    assert trajectory.covers(-100_000_000) and not trajectory.covers(-100_000_000, slack=0.05)
    assert Trajectory(np.empty(0, np.int64), np.empty((0, 4, 4))).at(0) is None
    np.testing.assert_array_equal(Trajectory(np.array([0]), np.eye(4)[None]).at(SECOND // 10), np.eye(4))


def test_sampled_poses_are_those_at_each_stamp():
    drive = driving(speed=20.0, turning=1.0)
    stamps = START + np.arange(-300, 1300, 37) * SECOND // 1000
    sampled = drive.sample(stamps, slack=0.5)
    for stamp, sample in zip(stamps, sampled):
        np.testing.assert_allclose(drive.at(stamp, slack=0.5), sample, atol=1e-12)


def test_poses_whose_stamps_do_not_rise_are_left_out():
    stamps, places = np.array([0, 2, 2, 1, 3]), np.arange(5.0)
    trajectory = Trajectory(stamps, np.stack([pose(0, 0, 0, place, 0, 0) for place in places]))
    assert trajectory.stamps.tolist() == [0, 2, 3] and trajectory.poses[:, 0, 3].tolist() == [0, 1, 4]


def driving(speed: float, turning: float, period: float = 0.05, count: int = 21) -> Trajectory:
    """A LiDAR driving circles at `speed` m/s and `turning` rad/s, its poses known every `period` s."""
    after = np.arange(count) * period
    radius = speed / turning
    return Trajectory(START + np.rint(after * SECOND).astype(np.int64), np.stack([
        pose(turning * t, 0.02 * np.sin(9 * t), 0, radius * np.sin(turning * t), radius * (1 - np.cos(turning * t)), 2)
        for t in after]))


def exactly(points, time, trajectory, stamp):
    """Every point moved by the pose at its own time, by scipy."""
    stamps = (trajectory.stamps - stamp) * 1e-9
    turns = Slerp(stamps, Rotation.from_matrix(trajectory.poses[:, :3, :3]))(time.astype(np.float64)).as_matrix()
    places = np.stack([np.interp(time.astype(np.float64), stamps, axis) for axis in trajectory.poses[:, :3, 3].T], 1)
    fixed = np.einsum('nij,nj->ni', turns, points.astype(np.float64)) + places
    return extrinsics.apply(extrinsics.invert(trajectory.at(stamp)), fixed)


def sweep(count=5000, begin=0.0, end=0.1):
    rng = np.random.default_rng(0)
    directions = rng.normal(size=(count, 3))
    points = 50 * directions / np.linalg.norm(directions, axis=1, keepdims=True)
    return points.astype(np.float32), rng.uniform(begin, end, count).astype(np.float32)


@pytest.mark.parametrize('begin, end', [(0.0, 0.1), (-0.05, 0.05), (-0.1, 0.0), (0.013, 0.4)])
def test_points_of_a_fast_turn_are_moved_to_one_moment_within_a_millimetre(begin, end):
    """1 rad/s at 20 m/s and 50 m: undone motion is metres, and the poses come from a few look-ups."""
    points, time = sweep(begin=begin, end=end)
    drive, stamp = driving(20.0, 1.0), START + 300_000_000
    moved = extrinsics.deskew(points, time, drive, stamp)
    assert moved.dtype == np.float32
    expected = exactly(points, time, drive, stamp)
    assert np.linalg.norm(points - expected, axis=1).max() > 2
    assert np.linalg.norm(moved - expected, axis=1).max() < 1e-3


def test_points_without_a_time_stay_and_points_without_a_place_have_none():
    points, time = sweep(200)
    points[3], time[5], time[6], time[7] = np.nan, np.nan, np.inf, -np.inf
    moved = extrinsics.deskew(points, time, driving(20.0, 1.0), START)
    assert np.isnan(moved[3]).all()
    np.testing.assert_array_equal(moved[5:8], points[5:8])
    assert np.isfinite(np.delete(moved, 3, 0)).all() and not (np.delete(moved, [3, 5, 6, 7], 0) ==
                                                              np.delete(points, [3, 5, 6, 7], 0)).all(1).any()


@pytest.mark.parametrize('time', [np.zeros(9), np.full(9, np.nan), np.empty(0)])
def test_a_scan_of_one_moment_is_left_alone_without_any_pose(time):
    points = np.ones((len(time), 3), np.float32)
    nowhere = Trajectory(np.empty(0, np.int64), np.empty((0, 4, 4)))
    np.testing.assert_array_equal(extrinsics.deskew(points, time.astype(np.float32), nowhere, START), points)


def test_one_time_for_all_points_moves_them_all_alike():
    points, drive = sweep(100)[0], driving(20.0, 1.0)
    late = np.full(100, 0.08, np.float32)
    expected = exactly(points, late, drive, START)
    np.testing.assert_allclose(extrinsics.deskew(points, late, drive, START), expected, atol=1e-4)


def test_times_outside_the_trajectory_are_refused_naming_both_ranges():
    points, time = sweep(100, 0.0, 60.0)
    with pytest.raises(ValueError, match=r'from 1700000000\.\d+ to 17000000(59|60)\.\d+ s.*covers 1700000000\.0+ to '
                                         r'1700000001\.0+ s'):
        extrinsics.deskew(points, time, driving(20.0, 1.0), START)
    with pytest.raises(ValueError, match='1 poses says nothing'):
        extrinsics.deskew(points, time, Trajectory(np.array([START]), np.eye(4)[None]), START)


def test_the_simulated_scan_as_measured_becomes_the_compensated_one():
    """The same rays, hits and noise: on the move, also points on moving cars are where they were met."""
    query = 'simulated:?seed=3&start=40&frames=1&deskew='
    raw, still = (open_dataset(query + answer) for answer in ('no', 'yes'))
    measured, expected = raw[0].scan, still[0].scan
    knots = measured.stamp + np.arange(0, 101, 10) * 1_000_000
    moved = extrinsics.deskew(measured.points, measured.time, raw.simulation.trajectory(knots), measured.stamp)
    assert np.linalg.norm(measured.points - expected.points, axis=1).max() > 0.3
    assert np.linalg.norm(moved - expected.points, axis=1).max() < 2e-3


def test_a_real_drive_is_compensated_like_every_point_by_itself(real_data):
    dataset = open_dataset(f'kitti_raw:{real_data / KITTI}?deskew=no&frames=3')
    for frame in list(dataset)[1:]:
        moved = extrinsics.deskew(frame.points, frame.scan.time, dataset.trajectory, frame.stamp)
        expected = exactly(frame.points, frame.scan.time, dataset.trajectory, frame.stamp)
        assert np.linalg.norm(frame.points - expected, axis=1).max() > 0.5
        assert np.linalg.norm(moved - expected, axis=1).max() < 1e-3


@pytest.mark.parametrize('quaternion', [[0, 0, 0, 0], [np.nan, 0, 0, 1]])
def test_impossible_quaternions_are_refused(quaternion):
    with pytest.raises(ValueError, match='expected 1'):
        extrinsics.from_quaternion(np.zeros(3), np.array(quaternion))
