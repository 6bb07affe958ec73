# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Images between messages and OpenCV: every encoding, byte order, padding, compression."""
import array

import cv2
from cv_bridge import CvBridge, CvBridgeError
import numpy as np
import pytest
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

BRIDGE = CvBridge()
DEPTHS = {'8U': np.uint8, '8S': np.int8, '16U': np.uint16, '16S': np.int16, '32S': np.int32, '32F': np.float32,
          '64F': np.float64}
COLORS = {'mono': 'GRAY', 'rgb': 'RGB', 'bgr': 'BGR', 'rgba': 'RGBA', 'bgra': 'BGRA'}
CHANNELS = {'mono': 1, 'rgb': 3, 'bgr': 3, 'rgba': 4, 'bgra': 4}
BAYER = {'bayer_rggb': 'BayerBG', 'bayer_bggr': 'BayerRG', 'bayer_gbrg': 'BayerGR', 'bayer_grbg': 'BayerGB'}


def picture(dtype=np.uint8, channels=3, height=30, width=40):
    random = np.random.default_rng(7)
    shape = (height, width) if channels == 1 else (height, width, channels)
    if np.dtype(dtype).kind == 'f':
        return random.normal(size=shape).astype(dtype)
    limits = np.iinfo(dtype)
    return random.integers(limits.min, limits.max, shape, dtype, endpoint=True)


@pytest.mark.parametrize('channels', [1, 2, 3, 4, 5])
@pytest.mark.parametrize('depth', DEPTHS)
def test_arrays_survive_the_way_through_a_message(depth, channels):
    image = picture(DEPTHS[depth], channels)
    message = BRIDGE.cv2_to_imgmsg(image)
    assert message.encoding == f'{depth}C{channels}'
    assert isinstance(message.data, array.array)
    assert message.step * message.height == len(message.data)
    back = BRIDGE.imgmsg_to_cv2(message)
    assert back.dtype == image.dtype
    np.testing.assert_array_equal(back, image)


def test_one_channel_in_a_third_dimension_comes_back_flat():
    assert BRIDGE.imgmsg_to_cv2(BRIDGE.cv2_to_imgmsg(picture(channels=1)[..., None])).shape == (30, 40)


def test_passthrough_is_a_view_and_a_named_encoding_a_copy():
    message = BRIDGE.cv2_to_imgmsg(np.zeros((2, 2, 3), np.uint8), 'bgr8')
    BRIDGE.imgmsg_to_cv2(message)[0, 0, 0] = 1
    BRIDGE.imgmsg_to_cv2(message, 'bgr8')[0, 0, 1] = 2
    assert message.data[:3].tolist() == [1, 0, 0]


@pytest.mark.parametrize('encoding', ['mono16', '32SC1', '32FC3', '64FC2', 'rgb16'])
def test_big_endian_messages_give_native_arrays(encoding):
    name, channels = BRIDGE.encoding_to_dtype_with_channels(encoding)
    image = picture(name, channels)
    message = BRIDGE.cv2_to_imgmsg(image.astype(image.dtype.newbyteorder('>')), encoding)
    assert message.is_bigendian
    back = BRIDGE.imgmsg_to_cv2(message)
    assert back.dtype.isnative
    np.testing.assert_array_equal(back, image)


@pytest.mark.parametrize('padding', [1, 7])
def test_padding_of_rows_is_skipped(padding):
    image = picture()
    rows = np.pad(image.reshape(30, -1), ((0, 0), (0, padding)), constant_values=77)
    message = Image(height=30, width=40, encoding='bgr8', step=rows.shape[1], data=rows.tobytes())
    back = BRIDGE.imgmsg_to_cv2(message)
    np.testing.assert_array_equal(back, image)
    assert back.flags.c_contiguous
    message.data = message.data[:-padding]  # some drivers leave the last row unpadded
    np.testing.assert_array_equal(BRIDGE.imgmsg_to_cv2(message), image)


def test_malformed_messages_are_refused_with_their_numbers():
    message = BRIDGE.cv2_to_imgmsg(picture(), 'bgr8')
    message.step = 60
    with pytest.raises(CvBridgeError, match='30 rows of 40 pixels of 3 bytes do not fit into step 60'):
        BRIDGE.imgmsg_to_cv2(message)
    message.step, message.height = 120, 31
    with pytest.raises(CvBridgeError, match='3600 bytes of data'):
        BRIDGE.imgmsg_to_cv2(message)


@pytest.mark.parametrize('bits', [8, 16])
@pytest.mark.parametrize('before', COLORS)
@pytest.mark.parametrize('after', COLORS)
def test_colors_convert_as_opencv_does(before, after, bits):
    image = picture(f'uint{bits}', CHANNELS[before])
    found = BRIDGE.imgmsg_to_cv2(BRIDGE.cv2_to_imgmsg(image, f'{before}{bits}'), f'{after}{bits}')
    expected = image if before == after else \
        cv2.cvtColor(image, getattr(cv2, f'COLOR_{COLORS[before]}2{COLORS[after]}'))
    np.testing.assert_array_equal(found, expected)
    assert found.dtype == image.dtype


@pytest.mark.parametrize('bits', [8, 16])
@pytest.mark.parametrize('after', ['mono', 'rgb', 'bgr'])
@pytest.mark.parametrize('pattern', BAYER)
def test_bayer_patterns_are_demosaiced(pattern, after, bits):
    image = picture(f'uint{bits}', 1)
    found = BRIDGE.imgmsg_to_cv2(BRIDGE.cv2_to_imgmsg(image, f'{pattern}{bits}'), f'{after}{bits}')
    np.testing.assert_array_equal(
        found, cv2.cvtColor(image, getattr(cv2, f'COLOR_{BAYER[pattern]}2{COLORS[after]}')))


@pytest.mark.parametrize('pattern, red', [('rggb', (0, 0)), ('bggr', (1, 1)), ('gbrg', (1, 0)), ('grbg', (0, 1))])
def test_a_red_scene_behind_each_bayer_pattern_is_red(pattern, red):
    mosaic = np.zeros((8, 8), np.uint8)
    mosaic[red[0]::2, red[1]::2] = 200
    middle = BRIDGE.imgmsg_to_cv2(BRIDGE.cv2_to_imgmsg(mosaic, f'bayer_{pattern}8'), 'rgb8')[2:6, 2:6]
    assert (middle == [200, 0, 0]).all()


@pytest.mark.parametrize('encoding, code', [('yuv422', 'UYVY'), ('uyvy', 'UYVY'), ('yuv422_yuy2', 'YUY2'),
                                            ('yuyv', 'YUY2')])
@pytest.mark.parametrize('after', COLORS)
def test_packed_yuv_converts_to_every_color(encoding, code, after):
    image = picture(channels=2)
    found = BRIDGE.imgmsg_to_cv2(BRIDGE.cv2_to_imgmsg(image, encoding), f'{after}8')
    np.testing.assert_array_equal(found, cv2.cvtColor(image, getattr(cv2, f'COLOR_YUV2{COLORS[after]}_{code}')))


def test_depths_of_8_and_16_bit_keep_the_full_range():
    gray = np.arange(256, dtype=np.uint8).reshape(16, 16)
    wide = BRIDGE.imgmsg_to_cv2(BRIDGE.cv2_to_imgmsg(gray, 'mono8'), 'mono16')
    np.testing.assert_array_equal(wide, gray.astype(np.uint16) * 257)
    every = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    narrow = BRIDGE.imgmsg_to_cv2(BRIDGE.cv2_to_imgmsg(every, 'mono16'), 'mono8')
    np.testing.assert_array_equal(narrow, np.rint(every / 257.0))
    color = BRIDGE.imgmsg_to_cv2(BRIDGE.cv2_to_imgmsg(picture(np.uint16), 'rgb16'), 'bgr8')
    np.testing.assert_array_equal(color, np.rint(picture(np.uint16)[..., ::-1] / 257.0))


def test_depths_of_generic_encodings_saturate_without_scaling():
    depth = np.array([[-5.0, 0.5, 1.5, 254.6, 1e6]], np.float32)
    found = BRIDGE.imgmsg_to_cv2(BRIDGE.cv2_to_imgmsg(depth, '32FC1'), '8UC1')
    assert found.tolist() == [[0, 0, 2, 255, 255]]
    millimetres = np.array([[0, 1500, 65535]], np.uint16)
    metres = BRIDGE.imgmsg_to_cv2(BRIDGE.cv2_to_imgmsg(millimetres, '16UC1'), '32FC1')
    assert metres.dtype == np.float32 and metres.tolist() == [[0.0, 1500.0, 65535.0]]
    assert BRIDGE.imgmsg_to_cv2(BRIDGE.cv2_to_imgmsg(millimetres, '16UC1'), '16SC1').tolist() == [[0, 1500, 32767]]


@pytest.mark.parametrize('encoding, channels, desired, text', [
    ('8UC3', 3, 'mono16', 'not a color format'), ('8UC3', 3, '8UC1', 'same number of channel'),
    ('mono8', 1, 'bayer_rggb8', 'Unsupported conversion'), ('bayer_rggb8', 1, 'rgba8', 'Unsupported conversion'),
    ('bgr8', 3, 'beige8', r'Unrecognized image encoding \[beige8\]')])
def test_senseless_conversions_are_refused(encoding, channels, desired, text):
    with pytest.raises(CvBridgeError, match=text):
        BRIDGE.imgmsg_to_cv2(BRIDGE.cv2_to_imgmsg(picture(channels=channels), encoding), desired)


def test_arrays_must_fit_the_encoding_they_are_said_to_have():
    for encoding in ('rgba8', 'mono8', 'rgb16', '8SC3'):
        with pytest.raises(CvBridgeError, match=f'encoding specified as {encoding}, but image has incompatible type'):
            BRIDGE.cv2_to_imgmsg(picture(), encoding)
    for convert in (BRIDGE.cv2_to_imgmsg, BRIDGE.cv2_to_compressed_imgmsg):
        with pytest.raises(TypeError, match='not a numpy array'):
            convert([[1, 2]])


def test_a_given_header_is_used():
    header = Header(frame_id='camera')
    assert BRIDGE.cv2_to_imgmsg(picture(), 'bgr8', header).header == header
    assert BRIDGE.cv2_to_imgmsg(picture(), header=header).header.frame_id == 'camera'


def test_a_part_of_an_image_is_sent_whole():
    part = picture()[3:20:2, 5:31]
    message = BRIDGE.cv2_to_imgmsg(part, 'bgr8')
    assert (message.height, message.width, message.step) == (9, 26, 78)
    np.testing.assert_array_equal(BRIDGE.imgmsg_to_cv2(message), part)


@pytest.mark.parametrize('name', ['png', 'bmp', 'tiff'])
@pytest.mark.parametrize('channels', [1, 3])
def test_lossless_compression_loses_nothing(name, channels):
    image = picture(channels=channels)
    message = BRIDGE.cv2_to_compressed_imgmsg(image, name)
    assert message.format == name
    np.testing.assert_array_equal(BRIDGE.compressed_imgmsg_to_cv2(message), image)


def test_compressed_images_decode_to_the_desired_encoding():
    image = cv2.GaussianBlur(picture(), (0, 0), 5)
    message = BRIDGE.cv2_to_compressed_imgmsg(image)
    assert message.format == 'jpg'
    decoded = BRIDGE.compressed_imgmsg_to_cv2(message, 'rgb8')
    np.testing.assert_array_equal(decoded[..., ::-1], cv2.imdecode(np.frombuffer(message.data, np.uint8), 1))
    gray = BRIDGE.cv2_to_compressed_imgmsg(picture(np.uint16, 1), 'png')
    assert BRIDGE.compressed_imgmsg_to_cv2(gray).dtype == np.uint16
    assert BRIDGE.compressed_imgmsg_to_cv2(gray, 'bgr8').shape == (30, 40, 3)


def test_what_opencv_cannot_code_is_reported():
    for data in (b'', b'no image'):
        with pytest.raises(CvBridgeError):
            BRIDGE.compressed_imgmsg_to_cv2(CompressedImage(format='jpg', data=data))
    for name in ('nonsense', 'pgm'):  # a grey format for a colour picture
        with pytest.raises(CvBridgeError):
            BRIDGE.cv2_to_compressed_imgmsg(picture(), name)
