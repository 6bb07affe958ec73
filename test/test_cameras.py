# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Lenses against OpenCV, the range in which they hold, and calibrations as drivers write them."""

import warnings

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ros_kd import distortion
from ros_kd.cameras import Camera

K = np.array([[500, 0, 480], [0, 510, 270], [0, 0, 1.0]])
PLUMB_BOB = (-0.3, 0.1, 0.001, 0.002, 0.01)
RATIONAL = (0.3, -0.1, 0.001, 0.002, 0.01, 0.2, 0.1, 0.01)
FISHEYE = (0.1, -0.01, 0.002, 0.001)


def opencv(points, model, coefficients, matrix=K):
    project = cv2.fisheye.projectPoints if model == 'equidistant' else cv2.projectPoints
    return project(points[:, None], np.zeros(3), np.zeros(3), matrix, np.array(coefficients or (0.0,) * 4))[0][:, 0]


def numbers(*sizes):
    return st.tuples(*(st.floats(-size, size) for size in sizes))


brown = (0.4, 0.2, 0.01, 0.01)
lenses = st.one_of(
    st.tuples(st.just('none'), st.just(())),
    st.tuples(st.just('plumb_bob'), st.one_of(numbers(*brown), numbers(*brown, 0.1))),
    st.tuples(st.just('rational_polynomial'), st.one_of(
        numbers(*brown, 0.1, 0.4, 0.2, 0.1), numbers(*brown, 0.1, 0.4, 0.2, 0.1, *(0.02,) * 4))),
    st.tuples(st.just('equidistant'), numbers(0.2, 0.1, 0.05, 0.02)))
sizes = st.tuples(st.integers(64, 4000), st.integers(64, 3000))


@st.composite
def cameras(draw):
    (width, height), lens = draw(sizes), draw(lenses)
    fx = draw(st.floats(0.2, 3)) * width
    matrix = np.array([[fx, 0, draw(st.floats(0.2, 0.8)) * width],
                       [0, fx * draw(st.floats(0.8, 1.25)), draw(st.floats(0.2, 0.8)) * height], [0, 0, 1]])
    return Camera(width, height, matrix, *lens)


def rays(seed, count=400):
    return np.vstack([[0, 0, 5], np.random.default_rng(seed).uniform([-30, -30, -5], [30, 30, 40], (count, 3))])


@settings(max_examples=150, deadline=None)
@given(cameras(), st.integers(0, 99))
def test_projects_like_opencv(camera, seed):
    points = rays(seed)
    uv, valid = camera.project(points)
    ahead = valid & (points[:, 2] > 1e-3)
    expected = opencv(points[ahead], camera.model, camera.distortion, camera.K)
    np.testing.assert_allclose(uv[ahead], expected, rtol=1e-9, atol=1e-6)
    single, _ = camera.project(points[ahead].astype(np.float32))
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, expected, rtol=1e-4, atol=1e-5 * (camera.width + camera.K[0, 0]))


@given(sizes, st.integers(0, 99))
def test_a_lens_without_distortion_sees_all_that_opencv_puts_into_the_image(size, seed):
    points = rays(seed)
    points = points[points[:, 2] > 0.01]
    uv = opencv(points, 'none', ())
    inside = ((uv > -0.5) & (uv < np.array(size) - 0.5)).all(1)
    assert (Camera(*size, K).project(points)[1] == inside).all()


@settings(max_examples=150, deadline=None)
@given(lenses, st.integers(0, 99))
def test_no_two_rays_within_the_limit_meet_one_pixel(lens, seed):
    """Along the straight way from one ray to another, the pixel never turns back."""
    rng, camera = np.random.default_rng(seed), Camera(960, 540, K, *lens)
    if camera.model == 'equidistant':
        theta = np.sort(rng.uniform(0, camera.limit, 1000))
        assert (np.diff(distortion.bent_angle(camera.distortion, theta)) > -1e-12).all()
    elif camera.model != 'none':
        radius, around = min(camera.limit, 50) * np.sqrt(rng.random((2, 1000))), rng.uniform(0, 2 * np.pi, (2, 1000))
        x, y = radius * np.cos(around), radius * np.sin(around)
        u, v = distortion.distort(camera.distortion, x, y)
        assert (np.diff(x, axis=0) * np.diff(u, axis=0) + np.diff(y, axis=0) * np.diff(v, axis=0) > -1e-9).all()


def test_rejects_rays_that_the_model_folds_back_into_the_image():
    camera = Camera(960, 540, K, 'plumb_bob', (-0.3, 0.0, 0.0, 0.0))
    assert camera.limit == pytest.approx(1 / np.sqrt(0.9))
    folded = np.array([[1.75, 0.0, 1.0]])
    assert 0 < opencv(folded, 'plumb_bob', camera.distortion)[0, 0] < 960
    assert not camera.project(folded)[1][0]
    assert camera.project(np.array([[0.5, 0.0, 1.0]]))[1][0]


@pytest.mark.parametrize('model, coefficients, limit', [
    ('plumb_bob', (-1e-4, 0, 0, 0), 1 / np.sqrt(3e-4)), ('plumb_bob', (0.1, 0.01, 0, 0), np.inf),
    ('rational_polynomial', (0, 0, 0, 0, 0, -0.25, 0, 0), 2.0),  # a pole
    ('equidistant', (0, 0, 0, 0), np.pi), ('equidistant', (-0.1, 0, 0, 0), 1 / np.sqrt(0.3))])
def test_the_limit_is_the_first_fold_however_far_out(model, coefficients, limit):
    assert Camera(960, 540, K, model, coefficients).limit == pytest.approx(limit)


def test_tangential_and_prism_terms_draw_the_fold_in():
    """x + 3 p2 x^2 turns back at x = -1 / (6 p2)."""
    assert Camera(960, 540, K, 'plumb_bob', (0, 0, 0, 0.05)).limit == pytest.approx(1 / 0.3, rel=1e-3)
    across, down = (Camera(960, 540, K, 'rational_polynomial', (0,) * 8 + prism).limit
                    for prism in ((0.1, 0, 0, 0), (0, 0, 0.1, 0)))
    assert across == pytest.approx(down) and 4 < across < 5
    usual = Camera(960, 540, K, 'plumb_bob', (-0.3, 0, 0, 0)).limit
    assert 0.97 * usual < Camera(960, 540, K, 'plumb_bob', (-0.3, 0, 0.001, 0.002)).limit < usual


def test_a_fisheye_sees_beside_and_behind_itself():
    camera = Camera(2000, 2000, np.array([[300, 0, 1000], [0, 300, 1000], [0, 0, 1.0]]), 'fisheye', (0, 0, 0, 0))
    theta = np.radians([0, 60, 90, 110, 150, 179])
    uv, valid = camera.project(5 * np.stack([np.sin(theta), 0 * theta, np.cos(theta)], 1))
    assert valid.all()
    np.testing.assert_allclose(uv[:, 0], 1000 + 300 * theta)
    assert not camera.project(np.zeros((1, 3)))[1][0]


def test_points_behind_outside_or_not_a_number_are_invalid():
    points = np.array([[0, 0, -5], [100, 0, 1], [np.nan, 0, 5], [np.inf, 1, 5], [0, 0, 0]], np.float32)
    assert not Camera(960, 540, K).project(points)[1].any()


@pytest.mark.parametrize('model, coefficients', [('none', ()), ('plumb_bob', PLUMB_BOB), ('rational', RATIONAL),
                                               ('equidistant', FISHEYE)])
@pytest.mark.parametrize('focal', [1e-300, 1.0, 1e300])
def test_strange_points_and_matrices_neither_warn_nor_raise(model, coefficients, focal):
    values = np.array([0, 1e-30, -1e-3, 1, 1e10, 3e38, np.inf, -np.inf, np.nan], np.float32)
    points = np.stack([axis.ravel() for axis in np.meshgrid(values, values, values)], 1)
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        camera = Camera(1, 1, np.array([[focal, 0, 0], [0, focal, 0], [0, 0, 1.0]]), model, coefficients)
        uv, valid = camera.project(points)
        assert camera.frustum is None or np.isfinite(camera.frustum).all()
    assert np.isfinite(points[valid]).all() and np.isfinite(uv[valid]).all()


def test_image_border_is_half_a_pixel_outside_the_outer_centres():
    camera = Camera(100, 50, np.eye(3))
    points = np.array([[-0.4, 0, 1], [-0.6, 0, 1], [99.4, 49.4, 1], [99.6, 0, 1]])
    assert camera.project(points)[1].tolist() == [True, False, True, False]


@pytest.mark.parametrize('written, coefficients, model, count', [
    ('', (0.0,) * 5, 'none', 0), ('plumb_bob', (), 'none', 0), ('radtan', PLUMB_BOB[:4], 'plumb_bob', 4),
    ('Brown Conrady', PLUMB_BOB, 'plumb_bob', 5), ('plumb_bob', RATIONAL, 'rational_polynomial', 8),
    ('rational_polynomial', PLUMB_BOB, 'plumb_bob', 5), ('rational_polynomial', RATIONAL + (0.0,) * 6,
                                                         'rational_polynomial', 12),
    ('Kannala-Brandt4', FISHEYE, 'equidistant', 4), ('fisheye', FISHEYE + (0.0,), 'equidistant', 4)])
def test_models_are_understood_as_drivers_write_them(written, coefficients, model, count):
    camera = Camera(960, 540, K, written, coefficients)
    assert (camera.model, len(camera.distortion)) == (model, count)


@pytest.mark.parametrize('arguments, message', [
    ((960, 540, K, 'thin_prism', (0.1,)), 'thin_prism.*known'),
    ((960, 540, K, 'double_sphere', ()), 'double_sphere.*known'),
    ((960, 540, K, 'plumb_bob', (0.1, 0.2, 0.3)), '3 distortion coefficients.*expected 4 or 5'),
    ((960, 540, K, 'equidistant', ()), '0 distortion coefficients.*expected 4'),
    ((960, 540, K, 'rational_polynomial', RATIONAL + (0.0,) * 4 + (0.01, 0.0)), 'tilt'),
    ((960, 540, K, '', PLUMB_BOB), 'name the model'),
    ((960, 540, K, 'plumb_bob', (np.nan,) * 5), 'not all finite'),
    ((960, 540, np.zeros((3, 3))), 'calibrate'),
    ((960, 540, K + [[0, 0, 0], [1, 0, 0], [0, 0, 0]]), 'expected finite fx s cx'),
    ((0, 540, K), 'must be positive')])
def test_impossible_calibration_is_refused_by_name(arguments, message):
    with pytest.raises(ValueError, match=message):
        Camera(*arguments)
