# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""A cloud message in, the same cloud with label, confidence and colour out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Callable

import numpy as np
from sensor_msgs.msg import PointCloud2

from ros_kd import clouds
from ros_kd.nodes import messages

if TYPE_CHECKING:
    from ros_kd.frames import Scan
    from ros_kd.students.predictor import Predictor

UNSURE_COLOR = (90, 90, 90)


class Dropped(Exception):
    """A cloud that cannot be labelled. reason: its kind in a few words, for counting."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


@dataclass(frozen=True)
class Labelled:
    """cloud: what to publish. points, without_position: how many there are in all, and how many are not finite."""

    cloud: PointCloud2
    points: int
    without_position: int


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


def label_cloud(message: PointCloud2, predictor: Predictor, scale: IntensityScale, min_confidence: float) -> Labelled:
    """Return the cloud with the fields label (uint8), confidence (float32) and rgb behind its own.

    Header, the bytes of each point and the rows of an organised cloud stay. Points below `min_confidence` keep their
    label but are grey. Raises Dropped for a cloud that has no points, lacks a field, or whose layout is broken.
    """
    from ros_kd.students.inputs import InputError
    points, scan = _read(message)
    try:
        prediction = predictor.predict(scale.normalise(scan))
    except InputError as error:
        raise Dropped('missing field', str(error)) from None
    colors = predictor.info.taxonomy.palette[prediction.label]
    if min_confidence > 0:
        colors[prediction.confidence < min_confidence] = UNSURE_COLOR
    columns = {'label': prediction.label, 'confidence': prediction.confidence, 'rgb': clouds.pack_rgb(colors)}
    labelled = clouds.append_columns(points, columns)
    return Labelled(messages.cloud_message(labelled, message.header, max(message.height, 1)), len(points),
                    int(np.count_nonzero(prediction.confidence == 0)))


def _read(message: PointCloud2) -> tuple[np.ndarray, Scan]:
    """Return the points' records [N] and the scan with intensities as the sensor gives them."""
    try:
        points = clouds.records(message)
        if len(points) == 0:
            raise Dropped('empty cloud', 'the cloud has no points')
        missing = [name for name in 'xyz' if name not in points.dtype.names]
        if missing:
            raise Dropped('missing field',
                          f'the cloud has no field {missing}; its fields are {list(points.dtype.names)}')
        stamp = messages.from_time(message.header.stamp)
        return points, clouds.scan_from_records(points, stamp, message.header.frame_id, intensity_scale=1.0)
    except ValueError as error:
        raise Dropped('broken layout', str(error)) from None
