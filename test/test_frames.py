# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
import cv2
import numpy as np
import pytest

from ros_kd.cameras import Camera
from ros_kd.frames import CameraView, PairedFrame, Scan
from ros_kd.images import EncodedPixels, ImageFile, RawPixels
from ros_kd.projection import OcclusionFilter, project

CAMERA = Camera(64, 48, np.array([[50, 0, 32], [0, 50, 24], [0, 0, 1.0]]))
OPTICAL = np.array([[0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1.0]])


def view(pixels=RawPixels(np.zeros((48, 64, 3), np.uint8)), **more):
    return CameraView('front', 0, CAMERA, OPTICAL, pixels, **more)


def test_columns_of_the_wrong_length_are_refused_by_name():
    with pytest.raises(ValueError, match=r'"intensity" has shape \(3,\), expected \(5,\)'):
        Scan(0, np.zeros((5, 3), np.float32), intensity=np.zeros(3, np.float32))
    with pytest.raises(ValueError, match='float64'):
        Scan(0, np.zeros((5, 3)))
    with pytest.raises(ValueError, match='taxonomy'):
        Scan(0, np.zeros((5, 3), np.float32), label=np.zeros(5, np.uint16))


def test_image_of_another_size_than_its_calibration_is_refused():
    with pytest.raises(ValueError, match='"front" is 10x20, but its calibration is for 64x48'):
        view(RawPixels(np.zeros((20, 10, 3), np.uint8))).image()
    with pytest.raises(ValueError, match='label image'):
        view(label_pixels=RawPixels(np.zeros((20, 10), np.uint8))).labels()


def test_unknown_camera_names_those_that_exist():
    frame = PairedFrame(Scan(0, np.zeros((1, 3), np.float32)), (view(),), 'k')
    with pytest.raises(KeyError, match='front'):
        frame.view('rear')


def test_images_are_decoded_to_rgb_on_demand(tmp_path):
    red = np.zeros((48, 64, 3), np.uint8)
    red[..., 2] = 255
    data = cv2.imencode('.png', red)[1]
    (tmp_path / 'a.png').write_bytes(data.tobytes())
    for pixels in (EncodedPixels(data.tobytes(), 'png'), ImageFile(tmp_path / 'a.png')):
        assert view(pixels).image()[0, 0].tolist() == [255, 0, 0]
    with pytest.raises(FileNotFoundError, match='b.png'):
        ImageFile(tmp_path / 'b.png').read()
    with pytest.raises(ValueError, match='no image'):
        EncodedPixels(b'garbage').read()


def test_projection_finds_the_pixel_of_a_point_ahead():
    points = np.array([[10, 0, 0], [10, 2, 1], [-10, 0, 0], [np.nan, 0, 0]], np.float32)
    seen = project(points, view())
    assert seen.index.tolist() == [0, 1]
    np.testing.assert_allclose(seen.uv, [[32, 24], [22, 19]], atol=1e-4)
    np.testing.assert_allclose(seen.depth, [10, 10])


def test_points_behind_nearer_ones_are_hidden():
    near = np.array([[5, y, z] for y in np.linspace(-1, 1, 40) for z in np.linspace(-1, 1, 40)], np.float32)
    far = near * 4
    points = np.concatenate([near, far])
    seen = project(points, view())
    assert set(seen.index) == set(range(len(near)))
    assert len(project(points, view(), occlusion=None).index) == 2 * len(near)


def test_ground_at_a_grazing_angle_stays_visible():
    rings = 1.7 / np.tan(np.radians(np.arange(2, 20, 0.4)))
    angles = np.radians(np.arange(-30, 30, 0.2))
    ground = np.array([[r * np.cos(a), r * np.sin(a), -1.7] for r in rings for a in angles], np.float32)
    camera = Camera(960, 540, np.array([[700, 0, 480], [0, 700, 270], [0, 0, 1.0]]))
    ahead = CameraView('front', 0, camera, OPTICAL, RawPixels(np.zeros((540, 960, 3), np.uint8)))
    kept, all_of_it = project(ground, ahead, OcclusionFilter()), project(ground, ahead, None)
    assert len(kept.index) > 0.95 * len(all_of_it.index)
