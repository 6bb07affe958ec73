# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""PointCloud2 layouts ↔ columns, without copies where a view will do.

Anything with the attributes of sensor_msgs/PointCloud2 is a cloud here: a message of rclpy or of a bag reader.
"""

from __future__ import annotations

from typing import Protocol, Sequence

import numpy as np

from ros_kd.frames import Scan
from ros_kd.taxonomy import Taxonomy

FLOAT32, UINT8 = 7, 2
_TYPES = {1: 'i1', 2: 'u1', 3: 'i2', 4: 'u2', 5: 'i4', 6: 'u4', 7: 'f4', 8: 'f8'}
_INTENSITY = ('intensity', 'reflectivity', 'intensities', 'i', 'remission')
_TIME = ('time', 't', 'timestamp', 'time_stamp', 'offset_time', 'time_offset')
_RING = ('ring', 'channel', 'line', 'laser_id')
_PADDING = ('', '_')
_COLUMNS = ('intensity', 'time', 'ring')
TRUTH = 'gt_label'


class Field(Protocol):
    """sensor_msgs/PointField."""

    name: str
    offset: int
    datatype: int
    count: int


class Cloud(Protocol):
    """sensor_msgs/PointCloud2."""

    height: int
    width: int
    fields: Sequence[Field]
    is_bigendian: bool
    point_step: int
    row_step: int
    data: bytes


def record_dtype(fields: Sequence[Field], point_step: int, big_endian: bool) -> np.dtype:
    """Return the structured dtype of one point. Raises ValueError naming a field that does not fit.

    Fields that only fill space (no name, or PCL's "_") are left out; of fields with one name the first counts, as in
    PCL and RViz.
    """
    names, formats, offsets = [], [], []
    for field in fields:
        if field.name in _PADDING or field.name in names:
            continue
        if field.datatype not in _TYPES:
            raise ValueError(f'field "{field.name}" has datatype {field.datatype}, expected 1 to 8 (PointField)')
        kind = np.dtype(('>' if big_endian else '<') + _TYPES[field.datatype])
        count = max(int(field.count), 1)
        if field.offset < 0 or field.offset + kind.itemsize * count > point_step:
            raise ValueError(f'field "{field.name}" at offset {field.offset} ({count} x {kind}) does not fit into a '
                             f'point of {point_step} bytes: the driver publishes a broken layout')
        names.append(field.name)
        formats.append((kind, (count,)) if count > 1 else kind)
        offsets.append(field.offset)
    return np.dtype({'names': names, 'formats': formats, 'offsets': offsets, 'itemsize': point_step})


def records(cloud: Cloud) -> np.ndarray:
    """Return a structured array [height * width] over the cloud's bytes: a view unless rows are padded.

    Raises ValueError if the layout and the number of bytes do not agree.
    """
    if len(cloud.fields) == 0 or cloud.point_step <= 0:
        raise ValueError(f'cloud with {len(cloud.fields)} fields and point_step {cloud.point_step}: nothing to read')
    dtype = record_dtype(cloud.fields, cloud.point_step, cloud.is_bigendian)
    width, height = int(cloud.width), int(cloud.height)
    packed = width * cloud.point_step
    row_step = cloud.row_step if height > 1 and cloud.row_step else packed
    buffer = np.frombuffer(cloud.data, np.uint8)
    needed = (height - 1) * row_step + packed if width and height else 0
    if len(buffer) < needed or row_step < packed:
        raise ValueError(f'cloud of {height} x {width} points with point_step {cloud.point_step} and row_step '
                         f'{cloud.row_step} needs {needed} bytes, but has {len(buffer)}')
    if needed == 0:
        return np.empty(0, dtype)
    if row_step == packed:
        return buffer[:needed].view(dtype)
    rows = np.lib.stride_tricks.as_strided(buffer, (height, packed), (row_step, 1), writeable=False)
    return np.ascontiguousarray(rows).reshape(-1).view(dtype)


def guess_intensity_scale(intensity: np.ndarray) -> float:
    """Return the value that a sensor's full intensity has: 1, 255 or 65535, judged by the largest finite one seen."""
    largest = float(np.max(intensity, where=np.isfinite(intensity), initial=0)) if len(intensity) else 0.0
    return 1.0 if largest <= 1.0 else 255.0 if largest <= 255.0 else 65535.0


def _pick(points: np.ndarray, names: Sequence[str]) -> np.ndarray | None:
    return next((points[name] for name in names if name in points.dtype.names), None)


def _float(column: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(column, np.float32)


def _seconds(column: np.ndarray, stamp: int) -> np.ndarray:
    """Drivers write seconds (float) or nanoseconds (integer, or a float too large for seconds), from the start or the
    epoch."""
    if column.dtype.kind in 'ui' or len(column) and np.nanmax(np.abs(column)) > 1e12:
        column = column.astype(np.float64) * 1e-9
    if len(column) and np.nanmax(np.abs(column)) > 1e6:
        column = column - stamp * 1e-9
    return _float(column)


def positions(points: np.ndarray) -> np.ndarray:
    """Return x, y and z of a structured array [N] as float32 [N, 3]; what float32 cannot hold is infinite.

    Raises ValueError naming the fields if one is missing or is not one number.
    """
    missing = [name for name in 'xyz' if name not in points.dtype.names]
    if missing:
        raise ValueError(f'cloud has no field {missing}; its fields are {list(points.dtype.names)}')
    vectors = [name for name in 'xyz' if points[name].ndim > 1]
    if vectors:
        raise ValueError(f'cloud with fields {vectors} of several values a point, expected one number each')
    xyz = np.empty((len(points), 3), np.float32)
    with np.errstate(over='ignore', invalid='ignore'):
        for axis, name in enumerate('xyz'):
            xyz[:, axis] = points[name]
    return xyz


def scan_from_records(points: np.ndarray, stamp: int, frame_id: str, intensity_scale: float | None = None,
                      taxonomy: Taxonomy | None = None, columns: Sequence[str] = _COLUMNS) -> Scan:
    """Turn a structured array [N] into a Scan.

    intensity_scale: the value of full intensity (None: guessed). columns: which of intensity, time and ring to read.
    Labels are read from the field "gt_label" if `taxonomy` is given. Raises ValueError naming the fields if x, y or z
    is missing.
    """
    xyz = positions(points)
    intensity, time, ring = (_pick(points, names) if column in columns else None
                             for column, names in zip(_COLUMNS, (_INTENSITY, _TIME, _RING)))
    if intensity is not None:
        intensity = _float(intensity) / np.float32(intensity_scale or guess_intensity_scale(intensity))
    label = points[TRUTH].astype(np.uint16) if taxonomy is not None and TRUTH in points.dtype.names else None
    return Scan(stamp, xyz, intensity, None if time is None else _seconds(time, stamp),
                None if ring is None else ring.astype(np.uint16), label,
                taxonomy if label is not None else None, frame_id)


def records_from_scan(scan: Scan) -> np.ndarray:
    """Return the scan as a packed structured array [N] with the columns that it has, for publishing or recording."""
    columns = {'intensity': scan.intensity, 'time': scan.time, 'ring': scan.ring, TRUTH: scan.label}
    kinds = {'intensity': '<f4', 'time': '<f4', 'ring': '<u2', TRUTH: '<u2'}
    present = [name for name, column in columns.items() if column is not None]
    points = np.empty(len(scan), [(name, '<f4') for name in 'xyz'] + [(name, kinds[name]) for name in present])
    for axis, name in enumerate('xyz'):
        points[name] = scan.points[:, axis]
    for name in present:
        points[name] = columns[name]
    return points


def append_columns(points: np.ndarray, columns: dict[str, np.ndarray]) -> np.ndarray:
    """Return a structured array [N] with the bytes of each point kept and `columns` [N] behind them, 4-byte aligned.

    A column that already exists replaces the old field (its bytes stay, unnamed).
    """
    layout = wider_dtype(points.dtype, {name: column.dtype for name, column in columns.items()},
                         is_big_endian(points.dtype))
    wider = np.zeros(len(points), layout)
    copy_bytes(points, wider)
    for name, column in columns.items():
        wider[name] = column
    return wider


def wider_dtype(old: np.dtype, columns: dict[str, np.dtype], big_endian: bool) -> np.dtype:
    """Return the dtype of one point with `columns` behind it, each at a multiple of its size, in 4-byte steps."""
    kept = [name for name in old.names if name not in columns]
    names, formats = list(kept), [old.fields[name][0] for name in kept]
    offsets, end = [old.fields[name][1] for name in kept], old.itemsize
    for name, kind in columns.items():
        end = -(-end // kind.itemsize) * kind.itemsize
        names.append(name)
        formats.append(kind.newbyteorder('>') if big_endian else kind)
        offsets.append(end)
        end += kind.itemsize
    return np.dtype({'names': names, 'formats': formats, 'offsets': offsets, 'itemsize': -(-end // 4) * 4})


def copy_bytes(points: np.ndarray, wider: np.ndarray) -> None:
    """Copy all bytes of each point, named or not, to the beginning of the same point in `wider`; both [N].

    As opaque items, which is several times faster than rows of bytes.
    """
    as_bytes(wider, points.dtype.itemsize)[...] = as_bytes(points)


def as_bytes(points: np.ndarray, size: int | None = None) -> np.ndarray:
    """Return a view of a contiguous array [N] as opaque items: the first `size` bytes of each point, all by default."""
    step = points.dtype.itemsize
    return np.ndarray(len(points), f'V{size or step}', points, 0, (step,))


def is_big_endian(dtype: np.dtype) -> bool:
    """Tell whether the fields of a point are stored big endian."""
    return any(dtype.fields[name][0].base.byteorder == '>' for name in dtype.names)


def point_fields(dtype: np.dtype) -> list[tuple[str, int, int, int]]:
    """Return (name, offset, datatype, count) of each sensor_msgs/PointField that describes a structured dtype."""
    numbers = {code: number for number, code in _TYPES.items()}
    fields = []
    for name in dtype.names:
        kind, offset = dtype.fields[name][:2]
        count = int(np.prod(kind.shape)) if kind.shape else 1
        fields.append((name, offset, numbers[kind.base.str[1:]], count))
    return fields


def pack_rgb(colors: np.ndarray) -> np.ndarray:
    """Return colours uint8 [N, 3] as RViz' and PCL's packed field "rgb", float32 [N]."""
    wide = colors.astype(np.uint32)
    return (wide[:, 0] << 16 | wide[:, 1] << 8 | wide[:, 2]).view(np.float32)
