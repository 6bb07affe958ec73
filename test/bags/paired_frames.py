# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Random paired frames, bags of them, and whether they came back."""

import cv2
import numpy as np

from ros_kd import extrinsics
from ros_kd.bags.writer import PairedBagWriter, Storage, rig_of
from ros_kd.cameras import Camera
from ros_kd.frames import CameraView, PairedFrame, Scan
from ros_kd.images import EncodedPixels, RawPixels
from ros_kd.label_sets import get_taxonomy

FRONT = Camera(40, 24, [[30, 0, 20], [0, 31, 12], [0, 0, 1]], 'plumb_bob', (-0.3, 0.1, 1e-3, -2e-3, 0.02))
REAR = Camera(16, 8, [[9, 0, 8], [0, 9, 4], [0, 0, 1]], 'equidistant', (0.01, 0.002, 0.0, 0.0))


def make_pose(random, scale=5.0):
    return extrinsics.from_quaternion(random.normal(0, scale, 3), random.normal(size=4))


def make_frame(number, points=500):
    """A frame as a dataset gives it: an encoded and a raw camera, label image, all columns, odometry."""
    random = np.random.default_rng(number)
    stamp = 1_700_000_000_000_000_000 + number * 100_000_000
    xyz = random.normal(0, 20, (points, 3)).astype(np.float32)
    xyz[3] = np.nan
    scan = Scan(stamp, xyz, random.random(points, np.float32), random.random(points, np.float32) / 10,
                random.integers(0, 64, points).astype(np.uint16), random.integers(0, 12, points).astype(np.uint16),
                get_taxonomy('street-12'), 'os_sensor')
    jpeg = cv2.imencode('.jpg', random.integers(0, 255, (24, 40, 3), np.uint8))[1]
    views = (CameraView('front', stamp - 20_000_001, FRONT, make_pose(random), EncodedPixels(jpeg, 'jpeg'),
                        'front_optical', RawPixels(random.integers(0, 19, (24, 40), np.uint8)),
                        get_taxonomy('cityscapes')),
             CameraView('rear', stamp + 13, REAR, make_pose(random),
                        RawPixels(random.integers(0, 255, (8, 16, 3), np.uint8)), 'rear_optical'))
    return PairedFrame(scan, views, f'{number}', make_pose(random))


def write_bag(path, frames, storage=Storage()):
    with PairedBagWriter(path, rig_of(frames[0], 'odom'), storage) as writer:
        for frame in frames:
            writer.write_frame(frame)
    return path


def assert_same(read, written):
    assert read.stamp == written.stamp and read.scan.frame_id == written.scan.frame_id
    for column in ('points', 'intensity', 'time', 'ring', 'label'):
        a, b = getattr(read.scan, column), getattr(written.scan, column)
        assert a.dtype == b.dtype and np.array_equal(a.view(np.uint8), b.view(np.uint8)), column
    assert read.scan.taxonomy == written.scan.taxonomy
    np.testing.assert_allclose(read.world_from_lidar, written.world_from_lidar, atol=1e-12)
    assert [view.name for view in read.views] == [view.name for view in written.views]
    for a, b in zip(read.views, written.views):
        assert (a.stamp, a.frame_id, a.taxonomy) == (b.stamp, b.frame_id, b.taxonomy)
        np.testing.assert_array_equal(a.image(), b.image())
        np.testing.assert_allclose(a.lidar_to_camera, b.lidar_to_camera, atol=1e-12)
        assert (a.camera.model, a.camera.distortion, a.camera.width, a.camera.height) == \
            (b.camera.model, b.camera.distortion, b.camera.width, b.camera.height)
        np.testing.assert_array_equal(a.camera.K, b.camera.K)
        assert (a.label_pixels is None) == (b.label_pixels is None)
        if a.label_pixels is not None:
            np.testing.assert_array_equal(a.labels(), b.labels())
