# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""The transform tree: composition, interpolation, times and errors."""
from geometry_msgs.msg import TransformStamped
from hypothesis import given, settings, strategies as st
import numpy as np
import pytest
from rclpy.duration import Duration
from rclpy.time import Time
from scipy.spatial.transform import Rotation, Slerp
from tf2_py import (
    BufferCore, ConnectivityException, ExtrapolationException, InvalidArgumentException, LookupException,
    TransformException)


def transform(parent, child, seconds=0.0, translation=(42.0, -3.14, 0.0), rotation=(0.0, 0.0, 0.0, 1.0)):
    message = TransformStamped(child_frame_id=child)
    message.header.frame_id = parent
    message.header.stamp = Time(nanoseconds=round(seconds * 1e9)).to_msg()
    t, q = message.transform.translation, message.transform.rotation
    t.x, t.y, t.z = map(float, translation)
    q.x, q.y, q.z, q.w = map(float, rotation)
    return message


def buffer(*dynamic, static=(), cache_time=None):
    core = BufferCore() if cache_time is None else BufferCore(cache_time)
    for message in dynamic:
        core.set_transform(message, 'test')
    for message in static:
        core.set_transform_static(message, 'test')
    return core


def matrix(message):
    t, q = message.transform.translation, message.transform.rotation
    result = np.eye(4)
    result[:3, :3] = Rotation.from_quat([q.x, q.y, q.z, q.w]).as_matrix()
    result[:3, 3] = t.x, t.y, t.z
    return result


poses = st.tuples(st.tuples(*[st.floats(-100, 100)] * 3), st.integers(0, 2**32 - 1)).map(
    lambda drawn: (drawn[0], Rotation.random(random_state=np.random.RandomState(drawn[1])).as_quat()))


@settings(max_examples=60, deadline=None)
@given(st.lists(poses, min_size=2, max_size=6), st.data())
def test_any_pair_of_frames_in_a_tree_composes_as_matrices_do(drawn, data):
    parents = [data.draw(st.integers(0, child)) for child in range(len(drawn))]
    core, to_root = BufferCore(), [np.eye(4)]
    for child, (parent, (translation, rotation)) in enumerate(zip(parents, drawn), start=1):
        message = transform(f'f{parent}', f'f{child}', 1.0, translation, rotation)
        core.set_transform(message, 'test')
        to_root.append(to_root[parent] @ matrix(message))
    target, source = (data.draw(st.integers(0, len(drawn))) for _ in range(2))
    found = core.lookup_transform_core(f'f{target}', f'f{source}', Time(seconds=1))
    np.testing.assert_allclose(matrix(found), np.linalg.inv(to_root[target]) @ to_root[source], atol=1e-9)


@settings(max_examples=60, deadline=None)
@given(poses, poses, st.integers(1, 10**9 - 1))
def test_translation_is_linear_and_rotation_spherical_between_samples(first, last, offset):
    core = buffer(transform('world', 'car', 5.0, *first), transform('world', 'car', 6.0, *last))
    found = matrix(core.lookup_transform_core('world', 'car', Time(nanoseconds=5 * 10**9 + offset)))
    ratio = offset / 1e9
    np.testing.assert_allclose(found[:3, 3], (1 - ratio) * np.array(first[0]) + ratio * np.array(last[0]), atol=1e-9)
    expected = Slerp([0, 1], Rotation.from_quat([first[1], last[1]]))(ratio)
    assert (Rotation.from_matrix(found[:3, :3]) * expected.inv()).magnitude() < 1e-6


def test_a_single_sample_comes_back_as_it_was_sent():
    sent = transform('foo', 'bar', 1.0)
    core = buffer(sent)
    assert core.lookup_transform_core('foo', 'bar', Time(seconds=1)) == sent
    assert core.lookup_transform_core(target_frame='foo', source_frame='bar', time=Time(seconds=1).to_msg()) == sent


def test_time_zero_is_the_newest_time_common_to_the_path():
    core = buffer(transform('map', 'odom', 1.0), transform('map', 'odom', 3.0), transform('odom', 'car', 2.0),
                  transform('odom', 'car', 2.5), static=[transform('car', 'lidar')])
    assert core.lookup_transform_core('map', 'lidar', Time()).header.stamp == Time(seconds=2.5).to_msg()
    assert core.get_latest_common_time('lidar', 'map') == Time(seconds=2.5)
    assert core.get_latest_common_time('lidar', 'car') == Time()


@pytest.mark.parametrize('seconds, message', [
    (0.5, 'Lookup would require extrapolation into the past.  Requested time 0.500000 '
          'but the earliest data is at time 1.000000, when looking up transform from frame [bar] to frame [foo]'),
    (2.5, 'Lookup would require extrapolation into the future.  Requested time 2.500000 '
          'but the latest data is at time 2.000000, when looking up transform from frame [bar] to frame [foo]')])
def test_times_outside_the_history_are_refused_with_both_times(seconds, message):
    core = buffer(transform('foo', 'bar', 2.0), transform('foo', 'bar', 1.0))
    with pytest.raises(ExtrapolationException) as error:
        core.lookup_transform_core('foo', 'bar', Time(seconds=seconds))
    assert str(error.value) == message
    assert core.can_transform_core('foo', 'bar', Time(seconds=seconds)) == (False, message)


def test_one_sample_is_not_extrapolated():
    with pytest.raises(ExtrapolationException, match='but only time 2.000000 is in the buffer'):
        buffer(transform('foo', 'bar', 2.0)).lookup_transform_core('bar', 'foo', Time(seconds=4))


def test_moving_frames_above_a_static_pair_do_not_limit_its_times():
    core = buffer(transform('map', 'car', 1.0), transform('map', 'car', 2.0),
                  static=[transform('car', 'lidar', 0, (0, 0, 2)), transform('car', 'camera', 0, (0, 0, 1))])
    found = core.lookup_transform_core('camera', 'lidar', Time(seconds=9))
    assert found.transform.translation.z == pytest.approx(1.0)
    assert found.header.stamp == Time(seconds=9).to_msg()


def test_full_look_up_uses_each_frame_at_its_own_time():
    core = buffer(transform('map', 'car', 1.0, (1, 0, 0)), transform('map', 'car', 2.0, (5, 0, 0)),
                  static=[transform('car', 'lidar', 0, (0, 0, 2)), transform('car', 'camera', 0, (0, 0, 1))])
    path = ('camera', Time(seconds=1), 'lidar', Time(seconds=2), 'map')
    found = core.lookup_transform_full_core(*path)
    assert (found.transform.translation.x, found.transform.translation.z) == pytest.approx((4.0, 1.0))
    assert found.header.stamp == Time(seconds=1).to_msg()
    assert core.can_transform_full_core(*path) == (True, '')


def test_unknown_unnamed_and_absolute_frames_are_told_apart():
    core = buffer(transform('foo', 'bar', 1.0))
    for frame, error, text in (('baz', LookupException, '"baz" passed to lookupTransform argument source_frame does'),
                               ('', InvalidArgumentException, 'frame_ids cannot be empty'),
                               ('/bar', InvalidArgumentException, "frame_ids cannot start with a '/'")):
        with pytest.raises(error, match=text):
            core.lookup_transform_core('foo', frame, Time())
        can, why = core.can_transform_core('foo', frame, Time())
        assert not can and f'Invalid frame ID "{frame}" passed to canTransform argument source_frame' in why
        assert issubclass(error, TransformException)


def test_unconnected_trees_are_named():
    core = buffer(transform('a', 'b', 1.0), transform('c', 'd', 1.0))
    for time in (Time(), Time(seconds=1)):
        with pytest.raises(ConnectivityException, match="connection between 'b' and 'd'"):
            core.lookup_transform_core('b', 'd', time)


def test_a_loop_is_reported():
    core = buffer(transform('a', 'b', 1.0), transform('b', 'a', 1.0), transform('c', 'd', 1.0))
    with pytest.raises(LookupException, match='contains a loop'):
        core.lookup_transform_core('d', 'b', Time(seconds=1))


def test_same_frame_is_identity_even_if_unknown():
    core = buffer(transform('foo', 'bar', 3.0))
    assert core.lookup_transform_core('nowhere', 'nowhere', Time(seconds=7)).header.stamp.sec == 7
    assert core.lookup_transform_core('bar', 'bar', Time()).header.stamp.sec == 3
    assert core.can_transform_core('nowhere', 'nowhere', Time()) == (True, '')


@pytest.mark.parametrize('invalid', [
    transform('', 'bar'), transform('foo', ''), transform('foo', 'foo'),
    transform('foo', 'bar', translation=(float('nan'), 0, 0)),
    transform('foo', 'bar', rotation=(0, 0, 0, 0)), transform('foo', 'bar', rotation=(0, 0, 0, 1.01))])
def test_invalid_transforms_are_ignored(invalid):
    core = buffer(invalid)
    assert core._getFrameStrings() == []


def test_leading_slashes_are_dropped_when_set():
    assert buffer(transform('/foo', '/bar', 1.0)).can_transform_core('foo', 'bar', Time()) == (True, '')


def test_old_samples_expire_and_older_arrivals_are_refused():
    core = buffer(*(transform('foo', 'bar', float(second)) for second in range(1, 8)), cache_time=Duration(seconds=3))
    core.set_transform(transform('foo', 'bar', 2.0), 'late')
    assert core.can_transform_core('foo', 'bar', Time(seconds=5))[0]
    assert not core.can_transform_core('foo', 'bar', Time(seconds=2))[0]


def test_ten_seconds_are_kept_by_default():
    core = buffer(*(transform('foo', 'bar', float(second)) for second in range(1, 22)))
    assert core.can_transform_core('foo', 'bar', Time(seconds=11))[0]
    assert not core.can_transform_core('foo', 'bar', Time(seconds=9.5))[0]


def test_samples_may_arrive_out_of_order_and_twice():
    core = buffer(*(transform('foo', 'bar', second, (second, 0, 0)) for second in (1.0, 3.0, 2.0, 2.0)))
    assert core.lookup_transform_core('foo', 'bar', Time(seconds=1.5)).transform.translation.x == pytest.approx(1.5)
    assert core.lookup_transform_core('foo', 'bar', Time()).transform.translation.x == 3.0


def test_a_change_of_parent_is_not_interpolated_across():
    core = buffer(transform('left', 'bar', 1.0, (1, 0, 0)), transform('right', 'bar', 2.0, (2, 0, 0)))
    assert core.lookup_transform_core('left', 'bar', Time(seconds=1.5)).transform.translation.x == 1.0
    assert core.lookup_transform_core('right', 'bar', Time()).transform.translation.x == 2.0


def test_clear_keeps_static_transforms_only():
    core = buffer(transform('foo', 'bar', 1.0), static=[transform('foo', 'qux')])
    core.clear()
    assert not core.can_transform_core('foo', 'bar', Time())[0]
    assert core.can_transform_core('foo', 'qux', Time(seconds=5))[0]


def test_a_static_transform_replaces_a_moving_one():
    core = buffer(transform('foo', 'bar', 1.0), static=[transform('foo', 'bar', 1.0)])
    assert core.can_transform_core('foo', 'bar', Time(seconds=2)) == (True, '')


def test_times_of_other_types_are_refused():
    with pytest.raises(TypeError, match='time must have sec and nanosec, or nanoseconds'):
        buffer(transform('foo', 'bar')).lookup_transform_core('foo', 'bar', 3.0)
