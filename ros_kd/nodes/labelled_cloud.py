# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""A cloud message in, the same cloud with label, confidence and colour out."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Callable, Mapping, Sequence

import numpy as np
from sensor_msgs.msg import PointCloud2, PointField

from ros_kd import clouds
from ros_kd.nodes import messages

if TYPE_CHECKING:
    from ros_kd.frames import Scan
    from ros_kd.students.predictor import Prediction
    from ros_kd.taxonomy import Taxonomy

FIELDS = ('label', 'confidence', 'rgb')
UNSURE_COLOR = (90, 90, 90)
_UNSURE = clouds.pack_rgb(np.array([UNSURE_COLOR], np.uint8))[0]
_TINY = np.finfo(np.float32).tiny


class Dropped(Exception):
    """A cloud that cannot be labelled. reason: its kind in a few words, for counting."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


@dataclass(frozen=True, eq=False)
class SensorCloud:
    """A cloud as it came. points: a structured view [N] of the message. scan: with intensities not yet scaled."""

    message: PointCloud2
    points: np.ndarray
    scan: Scan


class IntensityScale:
    """What full intensity is on this sensor: given, or judged by the largest value in the first scans."""

    SCANS = 20

    def __init__(self, given: float, report: Callable[[str], None]) -> None:
        self._scale = given or 1.0
        self._left = 0 if given else self.SCANS
        self._report = report
        self._reported = False

    def normalise(self, scan: Scan) -> Scan:
        """Return a scan with the sensor's own intensities scaled to 0..1."""
        if scan.intensity is None:
            return scan
        if self._left and len(scan):
            self._left -= 1
            judged = max(self._scale, clouds.guess_intensity_scale(scan.intensity))
            if judged != self._scale or not self._reported:
                self._report(f'intensity is taken as 0..{judged:g}, judged by the data; set the parameter '
                             '"intensity_scale" to the value of full intensity if this is wrong')
                self._scale, self._reported = judged, True
        return replace(scan, intensity=scan.intensity / np.float32(self._scale))


def read_cloud(message: PointCloud2) -> SensorCloud:
    """Return a cloud's points and scan. Raises Dropped if it has no points, lacks a field, or its layout is broken."""
    try:
        points = clouds.records(message)
        if len(points) == 0:
            raise Dropped('empty cloud', 'the cloud has no points')
        missing = [name for name in 'xyz' if name not in points.dtype.names]
        if missing:
            raise Dropped('missing field',
                          f'the cloud has no field {missing}; its fields are {list(points.dtype.names)}')
        scan = clouds.scan_from_records(points, messages.from_time(message.header.stamp), message.header.frame_id,
                                        intensity_scale=1.0, columns=('intensity',))
        return SensorCloud(message, points, scan)
    except ValueError as error:
        raise Dropped('broken layout', str(error)) from None


def packed_palette(taxonomy: Taxonomy) -> np.ndarray:
    """Return the packed colour of each class id, float32 [256]."""
    return clouds.pack_rgb(taxonomy.palette[:256])


def label_columns(prediction: Prediction, palette: np.ndarray, fields: Sequence[str],
                  min_confidence: float) -> dict[str, np.ndarray]:
    """Return the columns [N] of `fields`, in the order of FIELDS: label uint8, confidence float32, rgb packed float32.

    palette: as packed_palette. Points below `min_confidence`, and those without a label (confidence 0), are grey.
    """
    columns = {'label': prediction.label, 'confidence': prediction.confidence}
    if 'rgb' in fields:
        columns['rgb'] = palette[prediction.label]
        np.copyto(columns['rgb'], _UNSURE, where=prediction.confidence < max(min_confidence, _TINY))
    return {name: columns[name] for name in FIELDS if name in fields}


def labelled_message(cloud: SensorCloud, columns: Mapping[str, np.ndarray]) -> PointCloud2:
    """Return the cloud with `columns` [N] behind its own fields; header, rows and the bytes of each point stay."""
    height = max(int(cloud.message.height), 1)
    return _message(cloud, clouds.as_bytes(cloud.points), columns, height,
                    dense=bool(np.isfinite(cloud.scan.points).all()))


def kept_points(prediction: Prediction, dropped: np.ndarray, min_confidence: float) -> np.ndarray:
    """Return the rows int64 [M] that have a label, not one of `dropped` (bool [256]), at least that confident."""
    keep = ~dropped[prediction.label]
    keep &= prediction.confidence >= max(min_confidence, _TINY)
    return np.flatnonzero(keep)


def filtered_message(cloud: SensorCloud, columns: Mapping[str, np.ndarray], rows: np.ndarray) -> PointCloud2:
    """Return the points `rows` as one row, with `columns` [N] behind their own fields; the header stays."""
    kept = {name: column[rows] for name, column in columns.items()}
    return _message(cloud, clouds.as_bytes(cloud.points)[rows], kept, 1, dense=True)


def _message(cloud: SensorCloud, points: np.ndarray, columns: Mapping[str, np.ndarray], height: int,
             dense: bool) -> PointCloud2:
    """Write points (opaque [M]) and columns [M] straight into a message's own buffer."""
    source, old = cloud.message, cloud.points.dtype
    layout = clouds.wider_dtype(old, {name: column.dtype for name, column in columns.items()}, source.is_bigendian)
    data = array('B', [0]) * (len(points) * layout.itemsize)
    wider = np.ndarray(len(points), layout, data)
    clouds.as_bytes(wider, old.itemsize)[...] = points
    for name, column in columns.items():
        wider[name] = column
    width = len(points) // height
    fields = [field for field in source.fields if field.name not in columns]
    fields += [PointField(name=name, offset=offset, datatype=datatype, count=count)
               for name, offset, datatype, count in clouds.point_fields(layout) if name in columns]
    message = PointCloud2(header=source.header, height=height, width=width, fields=fields, is_dense=dense,
                          is_bigendian=source.is_bigendian, point_step=layout.itemsize,
                          row_step=layout.itemsize * width)
    message.data = data  # the constructor would copy it
    return message
