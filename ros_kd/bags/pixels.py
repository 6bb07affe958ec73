# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Image messages as pixels, decoded on demand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from ros_kd.images import EncodedPixels, Pixels, RawPixels

# encoding → dtype, channels, OpenCV's conversion to RGB (None: keep; a name: cv2.COLOR_<name>)
ENCODINGS: dict[str, tuple[str, int, str | None]] = {
    'mono8': ('u1', 1, None), '8UC1': ('u1', 1, None), 'mono16': ('u2', 1, None), '16UC1': ('u2', 1, None),
    'rgb8': ('u1', 3, None), '8UC3': ('u1', 3, 'BGR2RGB'), 'bgr8': ('u1', 3, 'BGR2RGB'),
    'rgba8': ('u1', 4, 'RGBA2RGB'), 'bgra8': ('u1', 4, 'BGRA2RGB'),
    # OpenCV names a Bayer pattern by its second row and column, ROS by its first pixels.
    'bayer_rggb8': ('u1', 1, 'BayerBG2RGB'), 'bayer_bggr8': ('u1', 1, 'BayerRG2RGB'),
    'bayer_gbrg8': ('u1', 1, 'BayerGR2RGB'), 'bayer_grbg8': ('u1', 1, 'BayerGB2RGB'),
    'yuv422': ('u1', 2, 'YUV2RGB_UYVY'), 'uyvy': ('u1', 2, 'YUV2RGB_UYVY'),
    'yuv422_yuy2': ('u1', 2, 'YUV2RGB_YUY2'), 'yuyv': ('u1', 2, 'YUV2RGB_YUY2'),
}


class ImageMessage(Protocol):
    """sensor_msgs/Image."""

    height: int
    width: int
    encoding: str
    is_bigendian: bool
    step: int
    data: bytes


@dataclass(frozen=True, eq=False)
class ConvertedPixels:
    """A raw image in memory, converted to RGB when it is read. conversion: the name after cv2.COLOR_."""

    array: np.ndarray
    conversion: str

    def read(self) -> np.ndarray:
        """Return uint8 [H, W, 3], RGB."""
        import cv2  # only readers of pixels need it

        return cv2.cvtColor(np.ascontiguousarray(self.array), getattr(cv2, 'COLOR_' + self.conversion))


def image_pixels(message: ImageMessage) -> Pixels:
    """Return the pixels of a sensor_msgs/Image, a view of its bytes. Raises ValueError for an unknown encoding."""
    if message.encoding not in ENCODINGS:
        raise ValueError(f'image encoding "{message.encoding}" is unknown; known: {sorted(ENCODINGS)}')
    kind, channels, conversion = ENCODINGS[message.encoding]
    dtype = np.dtype(('>' if message.is_bigendian else '<') + kind)
    packed = message.width * channels * dtype.itemsize
    buffer = np.frombuffer(message.data, np.uint8)
    if message.step < packed or len(buffer) < message.step * message.height:
        raise ValueError(f'image of {message.width}x{message.height} {message.encoding} with step {message.step} has '
                         f'{len(buffer)} bytes, expected at least {max(packed, message.step) * message.height}')
    rows = buffer[:message.step * message.height].reshape(message.height, message.step)[:, :packed]
    array = rows.view(dtype).reshape(message.height, message.width, *(() if channels == 1 else (channels,)))
    return RawPixels(array) if conversion is None else ConvertedPixels(array, conversion)


def compressed_pixels(data: np.ndarray, image_format: str, origin: str) -> EncodedPixels:
    """Return the pixels of a sensor_msgs/CompressedImage; its format may be like 'bgr8; jpeg compressed bgr8'."""
    return EncodedPixels(data, 'png' if 'png' in image_format.lower() else 'jpeg', origin)


def pixels_of(message: Any, compressed: bool, origin: str) -> Pixels:
    """Return the pixels of a sensor_msgs/CompressedImage or Image; `origin` names it in errors. Raises ValueError."""
    return compressed_pixels(message.data, message.format, origin) if compressed else image_pixels(message)
