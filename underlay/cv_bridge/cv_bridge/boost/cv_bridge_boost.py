# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Encodings (REP 118, sensor_msgs/image_encodings.hpp) and conversions between them, by cv2. Errors: RuntimeError."""
from dataclasses import dataclass
import re
from typing import Dict

import cv2
import numpy as np

DEPTHS = {'8U': np.dtype(np.uint8), '8S': np.dtype(np.int8), '16U': np.dtype(np.uint16), '16S': np.dtype(np.int16),
          '32S': np.dtype(np.int32), '32F': np.dtype(np.float32), '64F': np.dtype(np.float64)}
_CHANNEL_SHIFT = cv2.CV_8UC2.bit_length() - 1  # 3 in OpenCV 4, 5 in OpenCV 5


@dataclass(frozen=True)
class Encoding:
    """family: cv2's name of the colour layout, empty if the encoding says nothing of colours."""

    family: str
    depth: str
    channels: int


def _color_encodings() -> Dict[str, Encoding]:
    # OpenCV names a Bayer pattern by its second row, ROS by its first.
    families = {'mono': ('GRAY', 1), 'rgb': ('RGB', 3), 'bgr': ('BGR', 3), 'rgba': ('RGBA', 4), 'bgra': ('BGRA', 4),
                'bayer_rggb': ('BayerBG', 1), 'bayer_bggr': ('BayerRG', 1), 'bayer_gbrg': ('BayerGR', 1),
                'bayer_grbg': ('BayerGB', 1)}
    encodings = {f'{name}{bits}': Encoding(family, f'{bits}U', channels)
                 for name, (family, channels) in families.items() for bits in (8, 16)}
    for name, family in (('uyvy', 'UYVY'), ('yuv422', 'UYVY'), ('yuyv', 'YUY2'), ('yuv422_yuy2', 'YUY2'),
                         ('nv21', 'NV21'), ('nv24', 'NV24')):
        encodings[name] = Encoding(family, '8U', 2)
    return encodings


_COLORS = _color_encodings()
_PACKED_YUV = ('UYVY', 'YUY2')
_GENERIC = re.compile('(8U|8S|16U|16S|32S|32F|64F)(?:C([0-9]+))?')


def _encoding(name: str) -> Encoding:
    if name in _COLORS:
        return _COLORS[name]
    match = _GENERIC.fullmatch(name)
    if match is None:
        raise RuntimeError(f'Unrecognized image encoding [{name}]')
    return Encoding('', match[1], int(match[2] or 1))


def getCvType(encoding: str) -> int:
    """OpenCV's number of an encoding, such as cv2.CV_8UC3 of bgr8."""
    found = _encoding(encoding)
    return getattr(cv2, f'CV_{found.depth}') + ((found.channels - 1) << _CHANNEL_SHIFT)


def CV_MAT_CNWrap(i: int) -> int:
    """The number of channels of an OpenCV type."""
    return (i >> _CHANNEL_SHIFT) + 1


def CV_MAT_DEPTHWrap(i: int) -> int:
    """The depth of an OpenCV type, such as cv2.CV_8U."""
    return i & ((1 << _CHANNEL_SHIFT) - 1)


def _convert_depth(image: np.ndarray, before: str, after: str) -> np.ndarray:
    """Between 8 and 16 bit the full range is kept; other depths saturate, as cv::Mat::convertTo does."""
    dtype = DEPTHS[after]
    if before[:-1] == '8' and after[:-1] == '16':
        scale = 65535.0 / 255.0
    elif before[:-1] == '16' and after[:-1] == '8':
        scale = 255.0 / 65535.0
    else:
        scale = 1.0
    if (before, after) == ('16U', '8U'):
        return cv2.convertScaleAbs(image, alpha=scale)
    if (before, after) == ('8U', '16U'):
        return image.astype(dtype) * dtype.type(257)
    if dtype.kind == 'f':
        return image.astype(dtype)
    limits = np.iinfo(dtype)
    return np.clip(np.rint(image * np.float64(scale)), limits.min, limits.max).astype(dtype)


def _conversion_code(before: Encoding, after: Encoding) -> int:
    name = f'{before.family}2{after.family}'
    if before.family in _PACKED_YUV:
        name = f'YUV2{after.family}_{before.family}'
    elif after.family in _PACKED_YUV:
        name = f'{before.family}2YUV_{after.family}'
    elif before.family.startswith('Bayer') and after.family.endswith('A'):
        name = ''  # cv2 could, upstream does not
    return getattr(cv2, f'COLOR_{name}', -1)


def cvtColor2(m: np.ndarray, encoding_in: str, encoding_out: str) -> np.ndarray:
    """A copy of an image in another encoding; RuntimeError where the conversion makes no sense."""
    before, after = _encoding(encoding_in), _encoding(encoding_out)
    if encoding_in == encoding_out:
        return m.copy()
    if not (before.family and after.family):
        if after.family:
            raise RuntimeError(f'[{encoding_in}] is not a color format. but [{encoding_out}] is. '
                               'The conversion does not make sense')
        if before.channels != after.channels:
            raise RuntimeError(f'[{encoding_in}] and [{encoding_out}] do not have the same number of channel')
        return _convert_depth(m, before.depth, after.depth)
    if before.family == after.family and not before.family.startswith('Bayer'):
        return _convert_depth(m, before.depth, after.depth)
    code = _conversion_code(before, after)
    if code < 0:
        raise RuntimeError(f'Unsupported conversion from [{encoding_in}] to [{encoding_out}]')
    try:
        converted = cv2.cvtColor(m, code)
    except cv2.error as error:
        raise RuntimeError(str(error)) from error
    return converted if before.depth == after.depth else _convert_depth(converted, before.depth, after.depth)


def _label_colors(labels: np.ndarray) -> np.ndarray:
    """A saturated colour per label, BGR; the background, -1, is black."""
    hsv = np.full((*labels.shape, 3), 255, np.uint8)
    hsv[..., 0] = labels.astype(np.int64) * 111 % 180  # near the golden angle: neighbours differ most
    colors = cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR)
    colors[labels == -1] = 0
    return colors


def cvtColorForDisplay(source: np.ndarray, encoding_in: str, encoding_out: str, do_dynamic_scaling: bool = False,
                       min_image_value: float = 0.0, max_image_value: float = 0.0) -> np.ndarray:
    """An image fit for the screen: labels (32SC1) in colours, one channel scaled to [0, 255], or just converted."""
    before = _encoding(encoding_in)
    encoding_out = encoding_out or ('mono8' if before.channels == 1 and encoding_in != '32SC1' else 'bgr8')
    after = _encoding(encoding_out)
    if not after.family or after.family.startswith('Bayer') or after.depth != '8U':
        raise RuntimeError('cv_bridge.cvtColorForDisplay() does not have an output encoding that is color or mono, '
                           f'and is 8 bit in depth: {encoding_out}')
    if encoding_out == 'bgr8' and encoding_in == '32SC1':
        return _label_colors(source)
    if do_dynamic_scaling:
        min_image_value, max_image_value = float(source.min()), float(source.max())
        if min_image_value == max_image_value:
            return np.full((*source.shape[:2], 3), 128, np.uint8)
    if min_image_value != max_image_value:
        if before.channels != 1:
            raise RuntimeError('cv_bridge.cvtColorForDisplay() scaling for images with more than one channel is '
                               'unsupported')
        scaled = (source - np.float64(min_image_value)) * (255.0 / (max_image_value - min_image_value))
        return cvtColor2(np.clip(np.rint(scaled), 0, 255).astype(np.uint8), 'mono8', encoding_out)
    return cvtColor2(source, {'8UC1': 'mono8', '16UC1': 'mono16', '8UC3': 'bgr8', '8UC4': 'bgra8',
                              '16UC3': 'bgr16', '16UC4': 'bgra16'}.get(encoding_in, encoding_in), encoding_out)
