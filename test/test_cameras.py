# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
import cv2
import numpy as np
import pytest

from ros_kd.cameras import Camera

K = np.array([[500, 0, 480], [0, 510, 270], [0, 0, 1.0]])
MODELS = [('none', ()), ('plumb_bob', (-0.3, 0.1, 0.001, 0.002, 0.01)), ('plumb_bob', (-0.3, 0.1, 0.001, 0.002)),
          ('rational_polynomial', (0.3, -0.1, 0.001, 0.002, 0.01, 0.2, 0.1, 0.01)),
          ('equidistant', (0.1, -0.01, 0.002, 0.001))]


def opencv(points, model, distortion):
    if model == 'equidistant':
        return cv2.fisheye.projectPoints(points[:, None], np.zeros(3), np.zeros(3), K, np.array(distortion))[0][:, 0]
    return cv2.projectPoints(points[:, None], np.zeros(3), np.zeros(3), K, np.array(distortion))[0][:, 0]


@pytest.mark.parametrize('model,distortion', MODELS)
def test_projects_like_opencv(model, distortion):
    points = np.random.default_rng(0).uniform([-8, -4, 0.5], [8, 4, 30], (5000, 3))
    uv, valid = Camera(960, 540, K, model, distortion).project(points)
    assert valid.sum() > 500
    np.testing.assert_allclose(uv[valid], opencv(points, model, distortion)[valid], atol=1e-9)
    single, _ = Camera(960, 540, K, model, distortion).project(points.astype(np.float32))
    assert single.dtype == np.float32
    np.testing.assert_allclose(single[valid], uv[valid], atol=2e-3)


def test_rejects_rays_that_the_model_folds_back_into_the_image():
    camera = Camera(960, 540, K, 'plumb_bob', (-0.3, 0.0, 0.0, 0.0))
    folded = np.array([[1.75, 0.0, 1.0]])  # r - 0.3 r^3 falls beyond r = 1.05
    assert 0 < opencv(folded, 'plumb_bob', camera.distortion)[0, 0] < 960
    assert not camera.project(folded)[1][0]
    assert camera.project(np.array([[0.5, 0.0, 1.0]]))[1][0]


def test_points_behind_outside_or_not_a_number_are_invalid():
    points = np.array([[0, 0, -5], [100, 0, 1], [np.nan, 0, 5], [np.inf, 1, 5], [0, 0, 0]], np.float32)
    assert not Camera(960, 540, K).project(points)[1].any()


def test_image_border_is_half_a_pixel_outside_the_outer_centres():
    camera = Camera(100, 50, np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1.0]]))
    points = np.array([[-0.4, 0, 1], [-0.6, 0, 1], [99.4, 49.4, 1], [99.6, 0, 1]])
    assert camera.project(points)[1].tolist() == [True, False, True, False]


@pytest.mark.parametrize('arguments,message', [
    ((960, 540, K, 'thin_prism', (0.1,)), 'thin_prism.*known'),
    ((960, 540, K, 'plumb_bob', (0.1, 0.2, 0.3)), '3 distortion coefficients.*expected 4 or 5'),
    ((960, 540, np.zeros((3, 3))), 'calibrate'),
])
def test_impossible_calibration_is_refused_by_name(arguments, message):
    with pytest.raises(ValueError, match=message):
        Camera(*arguments)
