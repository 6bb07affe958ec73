# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ros_kd import clouds
from ros_kd.frames import Scan
from ros_kd.label_sets import get_taxonomy

CODES = {'i1': 1, 'u1': 2, 'i2': 3, 'u2': 4, 'i4': 5, 'u4': 6, 'f4': 7, 'f8': 8}


@dataclass
class PointField:
    name: str
    offset: int
    datatype: int
    count: int = 1


@dataclass
class Cloud:
    fields: list
    point_step: int
    data: bytes
    width: int
    height: int = 1
    row_step: int = 0
    is_bigendian: bool = False


def cloud_of(points: np.ndarray, height: int = 1, row_padding: int = 0) -> Cloud:
    fields = [PointField(*f) for f in clouds.point_fields(points.dtype)]
    width, step = len(points) // height, points.dtype.itemsize
    rows = points.view(np.uint8).reshape(height, width * step)
    data = np.pad(rows, ((0, 0), (0, row_padding))).tobytes()
    return Cloud(fields, step, data, width, height, width * step + row_padding, clouds.is_big_endian(points.dtype))


@given(st.lists(st.sampled_from(sorted(CODES)), min_size=1, max_size=6), st.sampled_from('<>'), st.integers(0, 3),
       st.integers(1, 4), st.integers(0, 7), st.integers(0, 5))
def test_any_layout_is_read_as_it_was_written(kinds, order, gap, height, row_padding, width):
    offsets, end = [], 0
    for kind in kinds:
        offsets.append(end + gap)
        end = offsets[-1] + int(kind[1])
    dtype = np.dtype({'names': [f'f{i}' for i in range(len(kinds))], 'formats': [order + k for k in kinds],
                      'offsets': offsets, 'itemsize': end + gap})
    points = np.zeros(height * width, dtype)
    for i, name in enumerate(dtype.names):
        points[name] = np.arange(len(points)) + i
    read = clouds.records(cloud_of(points, height, row_padding))
    assert len(read) == len(points)
    for name in dtype.names:
        np.testing.assert_array_equal(read[name], points[name])


def test_packed_clouds_are_views():
    cloud = cloud_of(clouds.records_from_scan(Scan(0, np.ones((7, 3), np.float32))))
    assert np.shares_memory(clouds.records(cloud), np.frombuffer(cloud.data, np.uint8))


@pytest.mark.parametrize('change,message', [
    ({'data': b'123'}, 'needs 84 bytes, but has 3'),
    ({'fields': [PointField('x', 10, 7)]}, '"x" at offset 10.*does not fit into a point of 12 bytes'),
    ({'fields': [PointField('x', 0, 9)]}, '"x" has datatype 9'),
    ({'fields': []}, '0 fields'),
])
def test_broken_layouts_are_refused_by_name(change, message):
    cloud = cloud_of(clouds.records_from_scan(Scan(0, np.ones((7, 3), np.float32))))
    for name, value in change.items():
        setattr(cloud, name, value)
    with pytest.raises(ValueError, match=message):
        clouds.records(cloud)


def test_fields_that_fill_space_are_left_out_and_the_first_of_a_name_counts():
    fields = [PointField('x', 0, 7), PointField('_', 4, 2, 4), PointField('', 8, 2), PointField('_', 9, 99),
              PointField('x', 12, 8)]
    dtype = clouds.record_dtype(fields, 20, False)
    assert dtype.names == ('x',) and dtype.fields['x'] == (np.dtype('<f4'), 0) and dtype.itemsize == 20


def test_positions_are_one_finite_number_an_axis_or_infinite():
    points = np.zeros(3, [('x', '>f8'), ('y', 'i2'), ('z', 'f4')])
    points['x'], points['y'] = [1e300, -1e300, 0.25], 7
    np.testing.assert_array_equal(clouds.positions(points), [[np.inf, 7, 0], [-np.inf, 7, 0], [0.25, 7, 0]])
    with pytest.raises(ValueError, match=r"fields \['y'\] of several values"):
        clouds.positions(np.zeros(3, [('x', 'f4'), ('y', 'f4', (2,)), ('z', 'f4')]))


def test_columns_that_nobody_asks_for_are_not_read():
    points = np.zeros(2, [('x', 'f4'), ('y', 'f4'), ('z', 'f4'), ('intensity', 'f4'), ('ring', 'u2'), ('t', 'u4')])
    scan = clouds.scan_from_records(points, 0, '', 1.0, columns=('ring',))
    assert scan.intensity is None and scan.time is None and scan.ring.dtype == np.uint16


def test_scan_survives_the_way_through_a_cloud():
    random = np.random.default_rng(0)
    scan = Scan(5, random.normal(size=(50, 3)).astype(np.float32), random.random(50).astype(np.float32),
                random.random(50).astype(np.float32), random.integers(0, 64, 50).astype(np.uint16),
                random.integers(0, 12, 50).astype(np.uint16), get_taxonomy('sim-12'))
    again = clouds.scan_from_records(clouds.records(cloud_of(clouds.records_from_scan(scan))), 5, 'lidar',
                                     taxonomy=scan.taxonomy)
    for name in ('points', 'intensity', 'time', 'ring', 'label'):
        np.testing.assert_array_equal(getattr(again, name), getattr(scan, name))


@pytest.mark.parametrize('largest,scale', [(0.9, 1), (1.0, 1), (37.0, 255), (255.0, 255), (4000.0, 65535)])
def test_intensity_is_scaled_by_what_the_sensor_calls_full(largest, scale):
    points = np.zeros(3, [('x', 'f4'), ('y', 'f4'), ('z', 'f4'), ('intensity', 'f4')])
    points['intensity'] = [0, largest, np.nan]
    assert clouds.scan_from_records(points, 0, '').intensity[1] == pytest.approx(largest / scale)


def test_driver_times_become_seconds_after_the_stamp():
    stamp = 1_700_000_000_000_000_000
    points = np.zeros(2, [('x', 'f4'), ('y', 'f4'), ('z', 'f4'), ('t', 'u4')])
    points['t'] = [0, 50_000_000]
    np.testing.assert_allclose(clouds.scan_from_records(points, stamp, '').time, [0, 0.05])
    epoch = np.zeros(2, [('x', 'f4'), ('y', 'f4'), ('z', 'f4'), ('timestamp', 'f8')])
    epoch['timestamp'] = stamp * 1e-9 + np.array([0, 0.05])
    np.testing.assert_allclose(clouds.scan_from_records(epoch, stamp, '').time, [0, 0.05], atol=1e-6)
    epoch['timestamp'] = stamp + np.array([0, 5e7])  # nanoseconds as float64
    np.testing.assert_allclose(clouds.scan_from_records(epoch, stamp, '').time, [0, 0.05], atol=1e-6)


def test_missing_coordinates_are_named():
    with pytest.raises(ValueError, match=r"no field \['z'\].*\['x', 'y'\]"):
        clouds.scan_from_records(np.zeros(2, [('x', 'f4'), ('y', 'f4')]), 0, '')


@pytest.mark.parametrize('order', '<>')
def test_appended_columns_leave_every_byte_of_the_input_in_place(order):
    points = np.zeros(4, {'names': ['x', 'label'], 'formats': [order + 'f4', 'u1'], 'offsets': [2, 9], 'itemsize': 11})
    points['x'], points['label'] = [1, 2, 3, 4], 9
    wider = clouds.append_columns(points, {'label': np.arange(4, dtype=np.uint8),
                                           'confidence': np.linspace(0, 1, 4).astype(np.float32)})
    size = points.dtype.itemsize
    np.testing.assert_array_equal(wider.view(np.uint8).reshape(4, -1)[:, :size], points.view(np.uint8).reshape(4, -1))
    np.testing.assert_array_equal(wider['label'], np.arange(4))
    np.testing.assert_array_equal(wider['x'], points['x'])
    np.testing.assert_allclose(wider['confidence'], np.linspace(0, 1, 4), rtol=1e-6)
    assert clouds.is_big_endian(wider.dtype) == (order == '>')


def test_rgb_is_packed_as_rviz_reads_it():
    packed = clouds.pack_rgb(np.array([[0x12, 0x34, 0x56]], np.uint8))
    assert packed.dtype == np.float32 and packed.view(np.uint32)[0] == 0x123456
