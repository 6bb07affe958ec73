# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""The values of the core as ROS messages, and back."""

from __future__ import annotations

from array import array

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Transform, TransformStamped
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2, PointField
from std_msgs.msg import Header, String

from ros_kd import clouds, extrinsics
from ros_kd.cameras import Camera
from ros_kd.taxonomy import Taxonomy


def to_time(stamp: int) -> Time:
    """Return nanoseconds as builtin_interfaces/Time."""
    return Time(sec=int(stamp // 1_000_000_000), nanosec=int(stamp % 1_000_000_000))


def from_time(time: Time) -> int:
    """Return builtin_interfaces/Time as nanoseconds."""
    return time.sec * 1_000_000_000 + time.nanosec


def header(stamp: int, frame_id: str) -> Header:
    """Return a header for `stamp` in nanoseconds."""
    return Header(stamp=to_time(stamp), frame_id=frame_id)


def byte_array(data: np.ndarray | bytes | memoryview) -> array:
    """Return bytes as the array that a message field takes without a check of every element."""
    values = array('B')
    if isinstance(data, np.ndarray):
        data = np.ascontiguousarray(data).view(np.uint8).reshape(-1).data
    values.frombytes(data)
    return values


def cloud_message(points: np.ndarray, head: Header, height: int = 1) -> PointCloud2:
    """Return a structured array [N] as a cloud of `height` rows."""
    width = len(points) // max(height, 1)
    message = PointCloud2(header=head, height=height, width=width, point_step=points.dtype.itemsize,
                          row_step=points.dtype.itemsize * width, is_bigendian=clouds.is_big_endian(points.dtype))
    message.fields = [PointField(name=name, offset=offset, datatype=datatype, count=count)
                      for name, offset, datatype, count in clouds.point_fields(points.dtype)]
    message.data = byte_array(np.ascontiguousarray(points).view(np.uint8))
    xyz = [points[name] for name in 'xyz' if name in points.dtype.names]
    message.is_dense = all(bool(np.isfinite(axis).all()) for axis in xyz)
    return message


def image_message(pixels: np.ndarray, head: Header) -> Image:
    """Return uint8 [H, W, 3] as rgb8, or uint8 [H, W] as mono8."""
    encoding = 'mono8' if pixels.ndim == 2 else 'rgb8'
    message = Image(header=head, height=pixels.shape[0], width=pixels.shape[1], encoding=encoding)
    message.step = pixels.shape[1] * (1 if pixels.ndim == 2 else 3)
    message.data = byte_array(pixels)
    return message


def compressed_message(data: bytes | np.ndarray, image_format: str, head: Header) -> CompressedImage:
    """Return an encoded image ('jpeg' or 'png')."""
    return CompressedImage(header=head, format=image_format, data=byte_array(data))


def camera_info_message(camera: Camera, head: Header) -> CameraInfo:
    """Return the calibration with an identity rectification."""
    model = 'plumb_bob' if camera.model == 'none' else camera.model
    message = CameraInfo(header=head, width=camera.width, height=camera.height, distortion_model=model)
    message.d = list(camera.distortion) or [0.0] * 5
    message.k = camera.K.ravel().tolist()
    message.r = np.eye(3).ravel().tolist()
    message.p = np.hstack([camera.K, np.zeros((3, 1))]).ravel().tolist()
    return message


def camera_from_info(info: CameraInfo) -> Camera:
    """Return the raw image's camera. Raises ValueError for an uncalibrated or unknown CameraInfo."""
    return Camera.from_info(info)


def transform_message(transform: np.ndarray, head: Header, child_frame_id: str) -> TransformStamped:
    """Return float64 [4, 4], child frame to header frame."""
    translation, quaternion = extrinsics.to_quaternion(transform)
    message = TransformStamped(header=head, child_frame_id=child_frame_id)
    vector, rotation = message.transform.translation, message.transform.rotation
    vector.x, vector.y, vector.z = map(float, translation)
    rotation.x, rotation.y, rotation.z, rotation.w = map(float, quaternion)
    return message


def transform_from_message(transform: Transform) -> np.ndarray:
    """Return geometry_msgs/Transform as float64 [4, 4]. Raises ValueError for a zero quaternion."""
    vector, rotation = transform.translation, transform.rotation
    return extrinsics.from_quaternion(np.array([vector.x, vector.y, vector.z]),
                                      np.array([rotation.x, rotation.y, rotation.z, rotation.w]))


def label_info_message(taxonomy: Taxonomy) -> String:
    """Return the class names and colours as the JSON of a latched label_info topic."""
    return String(data=taxonomy.to_json())
