# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Encodings (REP 118, sensor_msgs/image_encodings.hpp) and conversions between them, by cv2. Errors: RuntimeError."""
from dataclasses import dataclass
import re

import cv2
import numpy as np

DEPTHS = {'8U': np.dtype(np.uint8), '8S': np.dtype(np.int8), '16U': np.dtype(np.uint16), '16S': np.dtype(np.int16),
          '32S': np.dtype(np.int32), '32F': np.dtype(np.float32), '64F': np.dtype(np.float64)}


@dataclass(frozen=True)
class Encoding:
    """family: cv2's name of the colour layout, empty if the encoding says nothing of colours."""

    family: str
    depth: str
    channels: int


# OpenCV names a Bayer pattern by its second row, ROS by its first.
_FAMILIES = {'mono': ('GRAY', 1), 'rgb': ('RGB', 3), 'bgr': ('BGR', 3), 'rgba': ('RGBA', 4), 'bgra': ('BGRA', 4),
             'bayer_rggb': ('BayerBG', 1), 'bayer_bggr': ('BayerRG', 1), 'bayer_gbrg': ('BayerGR', 1),
             'bayer_grbg': ('BayerGB', 1)}
_PACKED_YUV = {'uyvy': 'UYVY', 'yuv422': 'UYVY', 'yuyv': 'YUY2', 'yuv422_yuy2': 'YUY2'}
_GENERIC = re.compile('(8U|8S|16U|16S|32S|32F|64F)(?:C([0-9]+))?')


def encoding(name: str) -> Encoding:
    """What an encoding's name says; RuntimeError for an unknown one."""
    if name in _PACKED_YUV:
        return Encoding(_PACKED_YUV[name], '8U', 2)
    match = re.fullmatch('(.*?)(8|16)', name)
    if match and match[1] in _FAMILIES:
        return Encoding(_FAMILIES[match[1]][0], f'{match[2]}U', _FAMILIES[match[1]][1])
    match = _GENERIC.fullmatch(name)
    if match is None:
        raise RuntimeError(f'Unrecognized image encoding [{name}]')
    return Encoding('', match[1], int(match[2] or 1))


def _convert_depth(image: np.ndarray, before: str, after: str) -> np.ndarray:
    """Between 8 and 16 bit unsigned the full range is kept; other depths saturate, as cv::Mat::convertTo does."""
    dtype = DEPTHS[after]
    if (before, after) == ('16U', '8U'):
        return cv2.convertScaleAbs(image, alpha=255.0 / 65535.0)
    if (before, after) == ('8U', '16U'):
        return image.astype(dtype) * dtype.type(257)
    if dtype.kind == 'f':
        return image.astype(dtype)
    limits = np.iinfo(dtype)
    return np.clip(np.rint(image), limits.min, limits.max).astype(dtype)


def _conversion_code(before: Encoding, after: Encoding) -> int:
    name = f'{before.family}2{after.family}'
    if before.family in _PACKED_YUV.values():
        name = f'YUV2{after.family}_{before.family}'
    elif after.family in _PACKED_YUV.values():
        name = f'{before.family}2YUV_{after.family}'
    elif before.family.startswith('Bayer') and after.family.endswith('A'):
        name = ''  # cv2 could, upstream does not
    return getattr(cv2, f'COLOR_{name}', -1)


def convert(image: np.ndarray, encoding_in: str, encoding_out: str) -> np.ndarray:
    """A copy of an image in another encoding; RuntimeError where the conversion makes no sense."""
    before, after = encoding(encoding_in), encoding(encoding_out)
    if encoding_in == encoding_out:
        return image.copy()
    if after.family and not before.family:
        raise RuntimeError(f'[{encoding_in}] is not a color format. but [{encoding_out}] is. '
                           'The conversion does not make sense')
    if not after.family and before.channels != after.channels:
        raise RuntimeError(f'[{encoding_in}] and [{encoding_out}] do not have the same number of channel')
    if after.family and (before.family != after.family or before.family.startswith('Bayer')):
        code = _conversion_code(before, after)
        if code < 0:
            raise RuntimeError(f'Unsupported conversion from [{encoding_in}] to [{encoding_out}]')
        try:
            image = cv2.cvtColor(image, code)
        except cv2.error as error:
            raise RuntimeError(str(error)) from error
        if before.depth == after.depth:
            return image
    return _convert_depth(image, before.depth, after.depth)
