# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""The values of the core as serialised ROS messages (CDR), and back, without a ROS installation."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from rosbags.typesys import Stores, get_typestore

from ros_kd import clouds, extrinsics
from ros_kd.bags import layout
from ros_kd.cameras import Camera
from ros_kd.frames import Scan
from ros_kd.images import EncodedPixels, ImageFile, Pixels


@lru_cache(maxsize=1)
def typestore() -> Any:
    """Return the message types (those of the layout are the same from Humble on)."""
    return get_typestore(Stores.ROS2_JAZZY)


def read(raw: bytes | memoryview, msgtype: str) -> Any:
    """Deserialise a message; arrays are views of `raw`."""
    return typestore().deserialize_cdr(raw, msgtype)


def _write(msgtype: str, *values: Any) -> memoryview:
    return typestore().serialize_cdr(typestore().types[msgtype](*values), msgtype)


def _make(msgtype: str, *values: Any) -> Any:
    return typestore().types[msgtype](*values)


def _header(stamp: int, frame_id: str) -> Any:
    time = _make('builtin_interfaces/msg/Time', int(stamp // 1_000_000_000), int(stamp % 1_000_000_000))
    return _make('std_msgs/msg/Header', time, frame_id)


def stamp_of(header: Any) -> int:
    """Return a header's stamp in nanoseconds."""
    return header.stamp.sec * 1_000_000_000 + header.stamp.nanosec


def string(text: str) -> memoryview:
    """Serialise std_msgs/String."""
    return _write(layout.STRING, text)


def float64(value: float) -> memoryview:
    """Serialise std_msgs/Float64."""
    return _write(layout.FLOAT, value)


def cloud(scan: Scan) -> memoryview:
    """Serialise a scan as sensor_msgs/PointCloud2 with the columns that it has."""
    points = clouds.records_from_scan(scan)
    fields = [_make('sensor_msgs/msg/PointField', *field) for field in clouds.point_fields(points.dtype)]
    step = points.dtype.itemsize
    return _write(layout.CLOUD, _header(scan.stamp, scan.frame_id), 1, len(points), fields, False, step,
                  step * len(points), points.view(np.uint8).reshape(-1), bool(np.isfinite(scan.points).all()))


def image(pixels: Pixels, stamp: int, frame_id: str) -> memoryview:
    """Serialise an encoded image untouched as CompressedImage, and any other as Image (rgb8 or mono8)."""
    if isinstance(pixels, (EncodedPixels, ImageFile)):
        data = pixels.data if isinstance(pixels, EncodedPixels) else pixels.encoded()
        return _write(layout.COMPRESSED, _header(stamp, frame_id), pixels.format, np.frombuffer(data, np.uint8))
    return raw_image(pixels.read(), stamp, frame_id)


def is_compressed(pixels: Pixels) -> bool:
    """Tell whether `image` makes a CompressedImage of it."""
    return isinstance(pixels, (EncodedPixels, ImageFile))


def raw_image(array: np.ndarray, stamp: int, frame_id: str) -> memoryview:
    """Serialise uint8 [H, W, 3] as rgb8 or uint8 [H, W] as mono8. Raises ValueError for another array."""
    if array.dtype != np.uint8 or array.shape[2:] not in ((), (3,)):
        raise ValueError(f'an image of {array.dtype} {array.shape}, expected uint8 [H, W, 3] or [H, W]')
    height, width = array.shape[:2]
    encoding, step = ('mono8', width) if array.ndim == 2 else ('rgb8', 3 * width)
    return _write(layout.IMAGE, _header(stamp, frame_id), height, width, encoding, False, step,
                  np.ascontiguousarray(array).reshape(-1))


def camera_info(camera: Camera, stamp: int, frame_id: str) -> memoryview:
    """Serialise a calibration with an identity rectification."""
    model = 'plumb_bob' if camera.model == 'none' else camera.model
    roi = _make('sensor_msgs/msg/RegionOfInterest', 0, 0, 0, 0, False)
    return _write(layout.CAMERA_INFO, _header(stamp, frame_id), camera.height, camera.width, model,
                  np.array(camera.distortion or [0.0] * 5), camera.K.reshape(-1), np.eye(3).reshape(-1),
                  np.hstack([camera.K, np.zeros((3, 1))]).reshape(-1), 0, 0, roi)


def transform(matrix: np.ndarray, stamp: int, frame_id: str, child_frame_id: str) -> memoryview:
    """Serialise float64 [4, 4], child frame to `frame_id`, as TransformStamped."""
    position, rotation = extrinsics.to_quaternion(matrix)
    value = _make('geometry_msgs/msg/Transform', _make('geometry_msgs/msg/Vector3', *position.tolist()),
                  _make('geometry_msgs/msg/Quaternion', *rotation.tolist()))
    return _write(layout.TRANSFORM, _header(stamp, frame_id), child_frame_id, value)


def pose(matrix: np.ndarray, stamp: int, frame_id: str) -> memoryview:
    """Serialise float64 [4, 4] as PoseStamped."""
    position, rotation = extrinsics.to_quaternion(matrix)
    value = _make('geometry_msgs/msg/Pose', _make('geometry_msgs/msg/Point', *position.tolist()),
                  _make('geometry_msgs/msg/Quaternion', *rotation.tolist()))
    return _write(layout.POSE, _header(stamp, frame_id), value)


def matrix_of(position: Any, rotation: Any) -> np.ndarray:
    """Return float64 [4, 4] from a vector or point and a quaternion. Raises ValueError for a zero quaternion."""
    return extrinsics.from_quaternion(np.array([position.x, position.y, position.z]),
                                      np.array([rotation.x, rotation.y, rotation.z, rotation.w]))
