# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Messages become pixels and stamps as they are, whatever the driver writes."""

import numpy as np
import pytest

from ros_kd.bags import BagError, codec, layout
from ros_kd.bags.pixels import compressed_pixels, image_pixels


def test_headers_are_read_without_deserialising():
    raw = codec.raw_image(np.zeros((2, 2), np.uint8), 5_000_000_006, 'optical')
    assert layout.header_stamp(raw) == 5_000_000_006 and layout.header_frame(raw) == 'optical'
    for bad in (b'', bytes(20), bytes(raw[:18])):
        with pytest.raises(BagError):
            layout.header_frame(bad)


class ImageLike:
    def __init__(self, encoding, array, step=0, big=False):
        self.encoding, self.is_bigendian = encoding, big
        self.height, self.width = array.shape[:2]
        rows = np.ascontiguousarray(array).view(np.uint8).reshape(self.height, -1)
        self.step = step or rows.shape[1]
        self.data = np.pad(rows, ((0, 0), (0, self.step - rows.shape[1]))).tobytes()


def test_raw_encodings_become_rgb():
    random = np.random.default_rng(0)
    rgb = random.integers(0, 255, (6, 8, 3), np.uint8)
    padded = np.concatenate([rgb, np.full((6, 8, 1), 9, np.uint8)], 2)
    for encoding, array in (('rgb8', rgb), ('bgr8', rgb[..., ::-1]), ('rgba8', padded),
                            ('bgra8', padded[..., [2, 1, 0, 3]])):
        for step in (0, 40):
            np.testing.assert_array_equal(image_pixels(ImageLike(encoding, array, step)).read(), rgb, encoding)
    depth = random.integers(0, 60000, (4, 4)).astype('>u2')
    np.testing.assert_array_equal(image_pixels(ImageLike('mono16', depth, big=True)).read(), depth)
    with pytest.raises(ValueError, match='"32FC7" is unknown'):
        image_pixels(ImageLike('32FC7', rgb))
    short = ImageLike('rgb8', rgb)
    short.data = short.data[:-1]
    with pytest.raises(ValueError, match='143 bytes'):
        image_pixels(short)


@pytest.mark.parametrize('encoding, red', [('bayer_rggb8', (0, 0)), ('bayer_bggr8', (1, 1)), ('bayer_gbrg8', (1, 0)),
                                           ('bayer_grbg8', (0, 1))])
def test_bayer_patterns_put_red_where_the_sensor_has_it(encoding, red):
    mosaic = np.zeros((16, 16), np.uint8)
    mosaic[red[0]::2, red[1]::2] = 200
    inner = image_pixels(ImageLike(encoding, mosaic)).read()[4:-4, 4:-4].reshape(-1, 3)
    assert (inner[:, 0] == 200).all() and not inner[:, 1:].any()


def test_the_format_of_compressed_images_is_read_as_drivers_write_it():
    assert compressed_pixels(b'', 'bgr8; png compressed bgr8', '').format == 'png'
    assert compressed_pixels(b'', 'rgb8; jpeg compressed bgr8', '').format == 'jpeg'
