# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""The tree of frames answers as tf2 does, and says what it does not know."""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from ros_kd import extrinsics
from ros_kd.transforms import Coverage, TransformError, TransformTree

MS = 1_000_000


def pose(x=0.0, y=0.0, yaw=0.0):
    return extrinsics.from_rotation(Rotation.from_euler('z', yaw).as_matrix(), np.array([x, y, 0.0]))


def vehicle():
    """odom ← base every 100 ms from 1 s to 2 s, driving 10 m/s; lidar and camera fixed on base."""
    tree = TransformTree()
    for number in range(11):
        tree.add('odom', 'base', 10**9 + number * 100 * MS, pose(number, 0, 0.1 * number))
    tree.add('base', 'lidar', 0, pose(1, 0, 0.5), static=True)
    tree.add('/base', '/camera', 0, pose(2, 1, -0.2), static=True)
    return tree


def test_a_moving_vehicle_is_interpolated_and_chained():
    tree = vehicle()
    half = extrinsics.interpolate(pose(3, 0, 0.3), pose(4, 0, 0.4), 0.5)
    np.testing.assert_allclose(tree.lookup('odom', 'lidar', 10**9 + 350 * MS), half @ pose(1, 0, 0.5), atol=1e-12)
    np.testing.assert_allclose(tree.lookup('camera', 'lidar', 5), np.linalg.inv(pose(2, 1, -0.2)) @ pose(1, 0, 0.5),
                               atol=1e-12)
    np.testing.assert_allclose(tree.lookup('odom', 'base'), pose(10, 0, 1.0), atol=1e-12)


def test_a_full_lookup_is_equation_2_through_the_fixed_frame():
    tree, scan, image = vehicle(), 10**9 + 310 * MS, 10**9 + 470 * MS
    expected = extrinsics.lidar_to_camera(extrinsics.invert(pose(2, 1, -0.2)), tree.lookup('odom', 'base', image),
                                          tree.lookup('odom', 'base', scan), pose(1, 0, 0.5))
    np.testing.assert_allclose(tree.lookup_full('camera', image, 'lidar', scan, 'odom'), expected, atol=1e-12)


def test_nothing_is_extrapolated_and_the_error_names_frame_time_and_range():
    tree = vehicle()
    with pytest.raises(TransformError, match=r'"base" in "odom" is known from 1.000 s to 2.000 s, but not at 2.250 s '
                                             r'\(0.25 s too late\)'):
        tree.lookup('odom', 'lidar', 2_250 * MS)
    with pytest.raises(TransformError, match='too early'):
        tree.lookup('lidar', 'odom', 999 * MS)


def test_unknown_frames_unconnected_trees_and_loops_are_named():
    tree = vehicle()
    tree.add('map', 'drone', 0, np.eye(4), static=True)
    with pytest.raises(TransformError, match='"radar" is unknown; known: .*camera'):
        tree.lookup('odom', 'radar', 10**9)
    with pytest.raises(TransformError, match='"drone" and "odom" are not connected'):
        tree.lookup('odom', 'drone', 10**9)
    with pytest.raises(TransformError, match='not connected'):
        tree.lookup('odom', 'drone')
    tree.add('lidar', 'odom', 0, np.eye(4), static=True)
    with pytest.raises(TransformError, match='loop'):
        tree.lookup('map', 'lidar', 10**9)


@pytest.mark.parametrize('parent, child, matrix', [
    ('a', 'a', np.eye(4)), ('', 'a', np.eye(4)), ('a', '/', np.eye(4)), ('a', 'b', np.full((4, 4), np.nan)),
    ('a', 'b', np.eye(3))])
def test_impossible_transforms_are_refused(parent, child, matrix):
    with pytest.raises(TransformError, match='expected'):
        TransformTree().add(parent, child, 0, matrix)


def test_a_frame_may_change_its_parent():
    tree = vehicle()
    for number in range(3):
        tree.add('map', 'box', 10**9 + number * 100 * MS, pose(number, 5))
        tree.add('base', 'box', 10**9 + (number + 3) * 100 * MS, pose(-1))
    tree.add('map', 'odom', 0, pose(100), static=True)
    np.testing.assert_allclose(tree.lookup('map', 'box', 1_150 * MS), pose(1.5, 5), atol=1e-12)
    np.testing.assert_allclose(tree.lookup('map', 'box', 1_250 * MS), pose(2, 5), atol=1e-12)  # nothing between parents
    np.testing.assert_allclose(tree.lookup('base', 'box', 1_350 * MS), pose(-1), atol=1e-12)
    stamps = np.arange(900, 1700, 50) * MS
    assert list(tree.covers('map', 'box', stamps)) == [1000 <= stamp <= 1500 for stamp in range(900, 1700, 50)]


def test_of_two_transforms_at_one_stamp_the_last_counts_whenever_it_comes():
    tree = vehicle()
    assert tree.lookup('odom', 'base', 10**9)[0, 3] == 0
    tree.add('odom', 'base', 10**9, pose(-7))
    assert tree.lookup('odom', 'base', 10**9)[0, 3] == -7


def test_stamps_are_those_of_a_moving_edge():
    tree = vehicle()
    np.testing.assert_array_equal(tree.stamps('/base'), 10**9 + 100 * MS * np.arange(11))
    assert len(tree.stamps('lidar')) == len(tree.stamps('odom')) == len(tree.stamps('nowhere')) == 0


def test_edges_and_text_say_what_is_known():
    tree = vehicle()
    tree.add('odom', 'base', 3 * 10**9, pose(20))
    assert Coverage('odom', 'base', False, 12, 10**9, 3 * 10**9, 10**9) in tree.edges()
    assert Coverage('base', 'lidar', True) in tree.edges() and len(tree.edges()) == 3
    assert tree.frames == ['base', 'camera', 'lidar', 'odom']
    assert tree.as_text().splitlines() == [
        'odom', '  base (12 transforms, 1.000 to 3.000 s, largest gap 1 s)', '    camera (static)',
        '    lidar (static)']
    assert TransformTree().as_text() == '' and TransformTree().edges() == []


def test_a_tree_may_cross_to_another_process():
    tree = pickle.loads(pickle.dumps(vehicle()))
    np.testing.assert_allclose(tree.lookup('odom', 'base', 10**9 + 100 * MS), pose(1, 0, 0.1), atol=1e-12)


def test_a_drive_of_many_transforms_is_found_exactly():
    tree, count = TransformTree(), 20_000
    for number in range(count):
        tree.add('odom', 'base', number * 10 * MS, pose(number))
    random = np.random.default_rng(0)
    for stamp in random.integers(0, (count - 1) * 10 * MS, 50).tolist():
        assert tree.lookup('odom', 'base', stamp)[0, 3] == pytest.approx(stamp / (10 * MS), abs=1e-6)
    assert tree.covers('odom', 'base', np.array([-1, 0, (count - 1) * 10 * MS, count * 10 * MS])).tolist() == \
        [False, True, True, False]


FRAMES = 'abcdef'
samples = st.tuples(st.integers(1, 5), st.integers(0, 4), st.integers(1, 12), st.integers(0, 2**16), st.booleans())


@settings(deadline=None, max_examples=150)
@given(st.lists(samples, min_size=1, max_size=25),
       st.lists(st.tuples(st.sampled_from(FRAMES), st.sampled_from(FRAMES), st.integers(0, 26)), min_size=8,
                max_size=8))
def test_random_trees_answer_as_tf2_does(added, asked):
    tf2_ros = pytest.importorskip('tf2_ros', reason='ROS is not installed')
    from rclpy.duration import Duration
    from rclpy.time import Time

    tree, buffer = TransformTree(), tf2_ros.Buffer(cache_time=Duration(seconds=1000))
    for child, parent, second, seed, static in added:
        parent, random = FRAMES[parent % child], np.random.default_rng(seed)  # parents come before: no loops
        static = static and child > 3
        matrix = extrinsics.from_quaternion(random.normal(0, 5, 3), random.normal(size=4))
        tree.add(parent, FRAMES[child], second * 10**9, matrix, static)
        (buffer.set_transform_static if static else buffer.set_transform)(
            _message(parent, FRAMES[child], second * 10**9, matrix), 'test')
    for target, source, half in asked:
        stamp = half * 5 * 10**8
        try:
            found = buffer.lookup_transform(target, source, Time(nanoseconds=stamp)).transform
        except tf2_ros.TransformException:
            with pytest.raises(TransformError):
                tree.lookup(target, source, stamp or None)
            assert not stamp or not tree.covers(target, source, np.array([stamp])).any()
            continue
        if target in tree.frames:  # tf2 gives the identity of a frame to itself even if it does not know it
            expected = extrinsics.from_quaternion(*(np.array([getattr(part, axis) for axis in axes]) for part, axes in (
                (found.translation, 'xyz'), (found.rotation, 'xyzw'))))
            np.testing.assert_allclose(tree.lookup(target, source, stamp or None), expected, atol=1e-6)
            assert not stamp or tree.covers(target, source, np.array([stamp])).all()


def _message(parent, child, stamp, matrix):
    from geometry_msgs.msg import TransformStamped

    message = TransformStamped(child_frame_id=child)
    message.header.frame_id = parent
    message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp, 10**9)
    position, rotation = extrinsics.to_quaternion(matrix)
    for part, values in ((message.transform.translation, position), (message.transform.rotation, rotation)):
        for axis, value in zip('xyzw', values.tolist()):
            setattr(part, axis, value)
    return message
