# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""CvBridge: images between ROS messages and OpenCV."""
from typing import Optional, Tuple

import cv2
import numpy as np
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from cv_bridge.encodings import convert, DEPTHS, encoding as parse

_DEPTH_OF = {dtype.name: depth for depth, dtype in DEPTHS.items()}


class CvBridgeError(TypeError):
    """An image cannot be converted."""


class CvBridge:
    """Converts images [height, width] or [height, width, channels] from and to messages."""

    def encoding_to_dtype_with_channels(self, encoding: str) -> Tuple[str, int]:
        """Such as ('uint8', 3) of bgr8; CvBridgeError if there is no such encoding."""
        try:
            found = parse(encoding)
        except RuntimeError as error:
            raise CvBridgeError(error) from error
        return DEPTHS[found.depth].name, found.channels

    @staticmethod
    def _convert(image: np.ndarray, encoding: str, desired_encoding: str) -> np.ndarray:
        try:
            return image if desired_encoding == 'passthrough' else convert(image, encoding, desired_encoding)
        except RuntimeError as error:
            raise CvBridgeError(error) from error

    def compressed_imgmsg_to_cv2(self, cmprs_img_msg: CompressedImage,
                                 desired_encoding: str = 'passthrough') -> np.ndarray:
        """Decode an image: as stored (colours as BGR), or in a desired encoding."""
        try:
            image = cv2.imdecode(np.frombuffer(cmprs_img_msg.data, np.uint8), cv2.IMREAD_UNCHANGED)
        except cv2.error as error:
            raise CvBridgeError(error) from error
        if image is None:
            raise CvBridgeError(f'OpenCV cannot decode the {len(cmprs_img_msg.data)} bytes of an image said to be '
                                f'"{cmprs_img_msg.format}"')
        layout = {1: 'mono', 3: 'bgr', 4: 'bgra'}[1 if image.ndim == 2 else image.shape[2]]
        return self._convert(image, f'{layout}{8 * image.itemsize}', desired_encoding)

    def imgmsg_to_cv2(self, img_msg: Image, desired_encoding: str = 'passthrough') -> np.ndarray:
        """The image of a message; with passthrough a view of its data if rows are not padded and bytes not swapped."""
        name, channels = self.encoding_to_dtype_with_channels(img_msg.encoding)
        dtype = np.dtype(name).newbyteorder('>' if img_msg.is_bigendian else '<')
        data = bytes(img_msg.data) if isinstance(img_msg.data, list) else img_msg.data
        pixel = channels * dtype.itemsize
        needed = max(img_msg.height - 1, 0) * img_msg.step + img_msg.width * pixel
        if img_msg.step < img_msg.width * pixel or len(data) < needed:
            raise CvBridgeError(
                f'Image is wrongly formed: {img_msg.height} rows of {img_msg.width} pixels of {pixel} bytes do not '
                f'fit into step {img_msg.step} and {len(data)} bytes of data')
        shape, strides = (img_msg.height, img_msg.width), (img_msg.step, pixel)
        if channels > 1:
            shape, strides = (*shape, channels), (*strides, dtype.itemsize)
        image = np.ndarray(shape, dtype, data, strides=strides)
        image = np.ascontiguousarray(image, dtype.newbyteorder('='))
        return self._convert(image, img_msg.encoding, desired_encoding)

    def cv2_to_compressed_imgmsg(self, cvim: np.ndarray, dst_format: str = 'jpg') -> CompressedImage:
        """Encode an image (colours as BGR) in a format that OpenCV writes, such as jpg or png."""
        _require_array(cvim)
        message = CompressedImage(format=dst_format)
        try:
            done, encoded = cv2.imencode(f'.{dst_format}', cvim)
        except cv2.error as error:
            raise CvBridgeError(error) from error
        if not done:
            raise CvBridgeError(f'OpenCV cannot encode {cvim.dtype} {cvim.shape} as {dst_format}')
        message.data.frombytes(encoded.reshape(-1))
        return message

    def cv2_to_imgmsg(self, cvim: np.ndarray, encoding: str = 'passthrough', header: Optional[Header] = None) -> Image:
        """A message of an image; passthrough names the encoding by the array's type, such as 8UC3."""
        _require_array(cvim)
        channels = 1 if cvim.ndim < 3 else cvim.shape[2]
        cv_type = f'{_DEPTH_OF[cvim.dtype.name]}C{channels}'
        if encoding == 'passthrough':
            encoding = cv_type
        elif self.encoding_to_dtype_with_channels(encoding) != (cvim.dtype.name, channels):
            raise CvBridgeError(f'encoding specified as {encoding}, but image has incompatible type {cv_type}')
        message = Image(height=cvim.shape[0], width=cvim.shape[1], encoding=encoding,
                        is_bigendian=cvim.dtype.byteorder == '>')
        if header is not None:
            message.header = header
        message.data.frombytes(np.ascontiguousarray(cvim).reshape(-1).view(np.uint8))
        message.step = cvim[:1].nbytes
        return message


def _require_array(image: np.ndarray) -> None:
    if not isinstance(image, (np.ndarray, np.generic)):
        raise TypeError(f'Your input type is not a numpy array but {type(image).__name__}')
