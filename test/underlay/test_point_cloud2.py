# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""PointCloud2 to and from arrays: layouts, selections, byte orders."""
import sys

from hypothesis import given, settings, strategies as st
import numpy as np
from numpy.lib.recfunctions import structured_to_unstructured
import pytest
from sensor_msgs.msg import PointCloud2, PointField
from sensor_msgs_py import point_cloud2
from std_msgs.msg import Header

HEADER = Header(frame_id='lidar')
POINTS = np.array([[0, 0.1, 0.2], [1, 1.1, 1.2], [2, np.nan, 2.2], [3, 3.1, 3.2], [4, 4.1, 4.2], [5, 5.1, np.nan]],
                  np.float32)
KINDS = {PointField.INT8: 'i1', PointField.UINT8: 'u1', PointField.INT16: 'i2', PointField.UINT16: 'u2',
         PointField.INT32: 'i4', PointField.UINT32: 'u4', PointField.FLOAT32: 'f4', PointField.FLOAT64: 'f8'}


def field(name, offset, datatype=PointField.FLOAT32, count=1):
    return PointField(name=name, offset=offset, datatype=datatype, count=count)


XYZ = [field('x', 0), field('y', 4), field('z', 8)]


def cloud_of(array, fields=XYZ, **changes):
    step = array.dtype.itemsize if array.dtype.names else array.itemsize * array.shape[-1]
    width = changes.pop('width', len(array))
    return PointCloud2(**{**dict(
        header=HEADER, height=1, width=width, fields=fields, point_step=step, row_step=step * width,
        is_bigendian=sys.byteorder == 'big', is_dense=False, data=array.tobytes()), **changes})


def test_points_are_a_view_of_the_message():
    cloud = cloud_of(POINTS)
    points = point_cloud2.read_points(cloud)
    assert points.dtype.names == ('x', 'y', 'z')
    np.testing.assert_array_equal(structured_to_unstructured(points), POINTS)
    points['x'][0] = 7
    assert np.frombuffer(cloud.data, np.float32)[0] == 7


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(sorted(KINDS)), st.integers(1, 3), st.integers(0, 5)), min_size=1,
                max_size=5), st.integers(0, 7), st.integers(0, 4), st.booleans(), st.randoms(use_true_random=False))
def test_every_layout_survives_the_way_through_a_message(drawn, tail, count, big, rng):
    fields, offset = [], 0
    for index, (datatype, repeat, padding) in enumerate(drawn):
        fields.append(field(f'f{index}' if index else '', offset + padding, datatype, repeat))
        offset += padding + repeat * np.dtype(KINDS[datatype]).itemsize
    dtype = point_cloud2.dtype_from_fields(fields, offset + tail)
    points = np.frombuffer(rng.randbytes(count * dtype.itemsize), dtype)
    cloud = point_cloud2.create_cloud(HEADER, fields, points, dtype.itemsize)
    if big:
        cloud.is_bigendian = True
        points = points.byteswap()
    before = bytes(cloud.data)
    read = point_cloud2.read_points(cloud)
    for name in dtype.names:
        assert read[name].tobytes() == points[name].tobytes()
        assert read.dtype[name].isnative
    assert bytes(cloud.data) == before
    assert (cloud.point_step, cloud.width, cloud.row_step) == (dtype.itemsize, count, count * dtype.itemsize)


def test_fields_of_many_values_and_without_name_are_named():
    dtype = point_cloud2.dtype_from_fields([field('', 0), field('normal', 4, count=3), field('', 16, PointField.UINT8)])
    dummy = point_cloud2.DUMMY_FIELD_PREFIX
    assert dtype.names == (f'{dummy}_0', 'normal_0', 'normal_1', 'normal_2', f'{dummy}_2')
    assert [dtype.fields[name][1] for name in dtype.names] == [0, 4, 8, 12, 16] and dtype.itemsize == 17


@pytest.mark.parametrize('fields, text', [
    ([field('x', 0), field('x', 4)], 'Duplicate field names'), ([field('x', 0, count=0)], 'count = 0')])
def test_impossible_fields_are_refused(fields, text):
    with pytest.raises(AssertionError, match=text):
        point_cloud2.dtype_from_fields(fields)


def test_fields_and_points_can_be_chosen():
    cloud = cloud_of(POINTS)
    some = point_cloud2.read_points(cloud, field_names=('z', 'x'), uvs=[1, 3])
    assert some.dtype.names == ('z', 'x') and some['x'].tolist() == [1.0, 3.0]
    assert point_cloud2.read_points(cloud, uvs=np.array([4]))['x'].tolist() == [4.0]
    with pytest.raises(AssertionError, match="no field .'q'."):
        point_cloud2.read_points(cloud, field_names=['x', 'q'])
    with pytest.raises(AssertionError):
        point_cloud2.read_points(HEADER)


def test_points_with_nan_are_skipped_unless_the_cloud_is_dense():
    keep = ~np.isnan(POINTS).any(axis=1)
    np.testing.assert_array_equal(point_cloud2.read_points_numpy(cloud_of(POINTS), skip_nans=True), POINTS[keep])
    assert len(point_cloud2.read_points(cloud_of(POINTS), ['x', 'z'], skip_nans=True)) == 5
    assert len(point_cloud2.read_points(cloud_of(POINTS, is_dense=True), skip_nans=True)) == 6


def test_mixed_datatypes_make_no_plain_array():
    mixed = [field('x', 0), field('y', 4), field('c', 8, PointField.UINT32)]
    with pytest.raises(AssertionError, match='same datatype'):
        point_cloud2.read_points_numpy(cloud_of(POINTS, mixed))
    assert point_cloud2.read_points_numpy(cloud_of(POINTS, mixed), field_names=('x', 'y')).shape == (6, 2)


def test_points_come_as_named_tuples_too():
    points = point_cloud2.read_points_list(cloud_of(POINTS), ['y', 'x'], skip_nans=True)
    assert points[1].x == 1.0 and points[1].y == pytest.approx(1.1)
    counted = point_cloud2.read_points_list(cloud_of(POINTS, [field('p', 0, count=3)]), uvs=[3])
    assert counted[0]._fields == ('p_0', 'p_1', 'p_2')


def test_tuples_plain_and_structured_arrays_make_the_same_cloud():
    expected = cloud_of(POINTS)
    structured = POINTS.view([('x', 'f4'), ('y', 'f4'), ('z', 'f4')])[:, 0]
    for points in (POINTS.tolist(), POINTS, np.asfortranarray(POINTS), structured, structured[::1]):
        assert point_cloud2.create_cloud(HEADER, XYZ, points) == expected
        assert point_cloud2.create_cloud_xyz32(HEADER, points) == expected
    doubled = np.repeat(structured, 2)[::2]  # not contiguous
    assert point_cloud2.create_cloud(HEADER, XYZ, doubled) == expected
    assert point_cloud2.create_cloud(HEADER, [field('p', 0, count=3)], POINTS).data == expected.data


def test_a_point_may_be_larger_than_its_fields():
    padded = np.zeros(6, point_cloud2.dtype_from_fields(XYZ, 20))
    for column, name in enumerate('xyz'):
        padded[name] = POINTS[:, column]
    assert point_cloud2.create_cloud(HEADER, XYZ, padded).point_step == 20
    assert point_cloud2.create_cloud(HEADER, XYZ, POINTS, 20) == point_cloud2.create_cloud(HEADER, XYZ, padded, 20)
    np.testing.assert_array_equal(point_cloud2.read_points_numpy(cloud_of(padded)), POINTS)
    with pytest.raises(AssertionError, match='the fields say'):
        point_cloud2.create_cloud(HEADER, XYZ, padded, 12)


def test_organized_clouds_are_width_by_height_as_upstream_has_them():
    organized = POINTS.reshape(2, 3, 3)
    cloud = point_cloud2.create_cloud_xyz32(HEADER, organized)
    assert (cloud.width, cloud.height, cloud.row_step) == (2, 3, 24)
    assert point_cloud2.read_points(cloud).shape == (6,)
    read = point_cloud2.read_points_numpy(cloud, reshape_organized_cloud=True)
    np.testing.assert_array_equal(read, organized)
    with pytest.raises(AssertionError, match='two dimensions'):
        point_cloud2.create_cloud_xyz32(HEADER, POINTS.reshape(1, 2, 3, 3))


def test_an_empty_cloud_has_no_points():
    cloud = point_cloud2.create_cloud_xyz32(HEADER, np.zeros((0, 3), np.float32))
    assert (cloud.width, cloud.point_step, len(cloud.data)) == (0, 12, 0)
    assert point_cloud2.read_points_numpy(cloud, ['x', 'y', 'z']).shape == (0, 3)
