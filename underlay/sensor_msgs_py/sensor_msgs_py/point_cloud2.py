# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""PointCloud2 from and to numpy arrays, without a Python loop over points and with as few copies as numpy allows."""
import array
from collections import namedtuple
import sys
from typing import Iterable, List, NamedTuple, Optional

import numpy as np
from numpy.lib.recfunctions import repack_fields, structured_to_unstructured, unstructured_to_structured
from sensor_msgs.msg import PointCloud2, PointField
from std_msgs.msg import Header

DUMMY_FIELD_PREFIX = 'unnamed_field'

_DATATYPES = {
    PointField.INT8: np.dtype(np.int8), PointField.UINT8: np.dtype(np.uint8),
    PointField.INT16: np.dtype(np.int16), PointField.UINT16: np.dtype(np.uint16),
    PointField.INT32: np.dtype(np.int32), PointField.UINT32: np.dtype(np.uint32),
    PointField.FLOAT32: np.dtype(np.float32), PointField.FLOAT64: np.dtype(np.float64)}


def read_points(cloud: PointCloud2, field_names: Optional[Iterable[str]] = None, skip_nans: bool = False,
                uvs: Optional[Iterable[int]] = None, reshape_organized_cloud: bool = False) -> np.ndarray:
    """The points as a structured array [N]; a view of the message unless bytes must be swapped or points selected.

    field_names keeps those fields, skip_nans drops points with a NaN in one of them (unless the cloud says it is
    dense), uvs are indices of points to keep. reshape_organized_cloud gives [width, height], as upstream does.
    """
    assert isinstance(cloud, PointCloud2), 'Cloud is not a sensor_msgs.msg.PointCloud2'
    points = np.ndarray(shape=(cloud.width * cloud.height,), buffer=cloud.data,
                        dtype=dtype_from_fields(cloud.fields, point_step=cloud.point_step))
    if field_names is not None:
        field_names = list(field_names)
        missing = [name for name in field_names if name not in points.dtype.names]
        assert not missing, f'The cloud has no field {missing}; it has {list(points.dtype.names)}'
        points = points[field_names]
    if bool(cloud.is_bigendian) != (sys.byteorder == 'big'):
        points = points.byteswap()
    if skip_nans and not cloud.is_dense:
        whole = np.ones(len(points), dtype=bool)
        for name in points.dtype.names:
            if points.dtype[name].kind == 'f':
                whole &= ~np.isnan(points[name])
        points = points[whole]
    if uvs is not None:
        points = points[uvs if isinstance(uvs, np.ndarray) else np.fromiter(uvs, int)]
    if reshape_organized_cloud and cloud.height > 1:
        points = points.reshape(cloud.width, cloud.height)
    return points


def read_points_numpy(cloud: PointCloud2, field_names: Optional[Iterable[str]] = None, skip_nans: bool = False,
                      uvs: Optional[Iterable[int]] = None, reshape_organized_cloud: bool = False) -> np.ndarray:
    """Fields of one datatype as a plain array [N, fields]; AssertionError if the datatypes differ."""
    names = None if field_names is None else list(field_names)
    datatypes = {field.datatype for field in cloud.fields if names is None or field.name in names}
    assert len(datatypes) <= 1, 'All fields need to have the same datatype. Use read_points() otherwise.'
    return structured_to_unstructured(read_points(cloud, names, skip_nans, uvs, reshape_organized_cloud))


def read_points_list(cloud: PointCloud2, field_names: Optional[Iterable[str]] = None, skip_nans: bool = False,
                     uvs: Optional[Iterable[int]] = None) -> List[NamedTuple]:
    """The points as named tuples, one by one: for a few points, or for printing."""
    points = read_points(cloud, field_names, skip_nans, uvs)
    return list(map(namedtuple('Point', points.dtype.names)._make, points.tolist()))


def dtype_from_fields(fields: Iterable[PointField], point_step: Optional[int] = None) -> np.dtype:
    """The structured dtype of a point: a field of count n becomes name_0 ... name_{n-1}, an unnamed one a dummy."""
    names: List[str] = []
    formats, offsets = [], []
    for index, field in enumerate(fields):
        assert field.count > 0, f"Can't process fields with count = 0 ({field.name!r})."
        datatype = _DATATYPES[field.datatype]
        name = field.name or f'{DUMMY_FIELD_PREFIX}_{index}'
        names += [name] if field.count == 1 else [f'{name}_{part}' for part in range(field.count)]
        formats += [datatype] * field.count
        offsets += [field.offset + part * datatype.itemsize for part in range(field.count)]
    assert len(set(names)) == len(names), f'Duplicate field names are not allowed! {names}'
    layout = {'names': names, 'formats': formats, 'offsets': offsets}
    if point_step is not None:
        layout['itemsize'] = point_step
    return np.dtype(layout)


def create_cloud(header: Header, fields: Iterable[PointField], points: Iterable,
                 point_step: Optional[int] = None) -> PointCloud2:
    """A cloud of points: a structured array whose dtype matches the fields, a plain array [N, fields], or tuples.

    A two-dimensional structured array, or a plain one of three dimensions, makes an organized cloud
    [width, height], as upstream does. point_step is the size of a point in bytes, packed unless given.
    """
    fields = list(fields)
    if not isinstance(points, np.ndarray):
        rows = [tuple(point) for point in points]
        points = np.zeros(len(rows), dtype_from_fields(fields, point_step))
        points[:] = rows
    elif points.dtype.names is None:
        assert all(field.datatype == fields[0].datatype for field in fields), \
            'A plain array has one datatype, the fields have several: pass a structured array.'
        dtype = dtype_from_fields(fields, point_step)
        points = unstructured_to_structured(points, dtype=repack_fields(dtype))
        if points.dtype != dtype:  # through zeros, lest what was in memory before leaves in the padding
            packed, points = points, np.zeros(points.shape, dtype)
            points[...] = packed
    else:
        expected = dtype_from_fields(fields, points.dtype.itemsize if point_step is None else point_step)
        assert points.dtype == expected, f'The points are {points.dtype}, but the fields say {expected}.'
    assert points.ndim <= 2, f'An organized cloud has two dimensions, not {points.ndim}.'
    width, height = points.shape if points.ndim == 2 else (len(points), 1)
    data = array.array('B')
    data.frombytes(np.ascontiguousarray(points).reshape(-1).view(np.uint8))
    cloud = PointCloud2(header=header, height=height, width=width, is_dense=False,
                        is_bigendian=sys.byteorder == 'big', fields=fields, point_step=points.dtype.itemsize,
                        row_step=points.dtype.itemsize * width)
    cloud.data = data  # by the property: the constructor would copy an array byte by byte
    return cloud


def create_cloud_xyz32(header: Header, points: Iterable) -> PointCloud2:
    """A cloud of x, y, z as float32."""
    return create_cloud(header, [PointField(name=name, offset=4 * index, datatype=PointField.FLOAT32, count=1)
                                 for index, name in enumerate('xyz')], points)
