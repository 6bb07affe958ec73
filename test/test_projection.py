# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""One pass for all cameras: nothing is lost, and nothing differs from one camera alone."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from ros_kd import extrinsics
from ros_kd.cameras import Camera
from ros_kd.frames import CameraView
from ros_kd.projection import OcclusionFilter, project, project_all

LENSES = [('none', ()), ('plumb_bob', (-0.3, 0.1, 0.001, 0.002, 0.01)), ('plumb_bob', (0.2, 0, 0, 0)),
          ('rational_polynomial', (0.3, -0.1, 0.001, 0.002, 0.01, 0.2, 0.1, 0.01, 0.01, 0, -0.01, 0)),
          ('equidistant', (0.1, -0.01, 0.002, 0.001)), ('equidistant', (0, 0, 0, 0))]


@st.composite
def views(draw):
    model, coefficients = draw(st.sampled_from(LENSES))
    width, height = draw(st.sampled_from([(1600, 900), (640, 480), (33, 7)]))
    fx = width * draw(st.sampled_from([0.15, 0.5, 0.8, 4.0]))
    matrix = np.array([[fx, draw(st.sampled_from([0, 0.5])), draw(st.floats(-0.3, 1.3)) * width],
                       [0, fx, draw(st.floats(-0.3, 1.3)) * height], [0, 0, 1]])
    turn = Rotation.from_euler('zyx', [draw(st.floats(-3.1, 3.1)) for _ in range(3)]).as_matrix()
    shift = [draw(st.floats(-3, 3)) for _ in range(3)]
    return CameraView('camera', 0, Camera(width, height, matrix, model, coefficients),
                      extrinsics.from_rotation(turn, shift), None)


def cloud(seed, count=3000):
    """Points from millimetres to hundreds of metres away, some not a number."""
    rng = np.random.default_rng(seed)
    points = (rng.normal(size=(count, 3)) * 10 ** rng.uniform(-2, 2.5, (count, 1))).astype(np.float32)
    points[rng.integers(count, size=20), rng.integers(3, size=20)] = np.nan
    return points


@settings(deadline=None)
@given(st.lists(views(), max_size=7), st.integers(0, 99), st.sampled_from([None, OcclusionFilter(), OcclusionFilter(5)]))
def test_all_cameras_at_once_are_as_each_alone(several, seed, occlusion):
    points = cloud(seed)
    together = project_all(points, several, occlusion)
    assert len(together) == len(several)
    for one, view in zip(together, several):
        alone = project(points, view, occlusion)
        for name in ('index', 'uv', 'depth'):
            np.testing.assert_array_equal(getattr(one, name), getattr(alone, name))


@settings(deadline=None, max_examples=300)
@given(views(), st.integers(0, 99))
def test_no_point_that_the_camera_sees_is_left_out_early(view, seed):
    points = cloud(seed)
    seen = project(points, view, None)
    in_camera = extrinsics.apply(view.lidar_to_camera, points.astype(np.float64))
    uv, valid = view.camera.project(in_camera)
    missed = np.setxor1d(seen.index, np.nonzero(valid)[0])
    common = np.intersect1d(seen.index, np.nonzero(valid)[0])
    # Rounding to float32 alone may move a point over a border.
    assert len(missed) <= max(3, 0.01 * len(common))
    rows = np.searchsorted(seen.index, common)
    near = np.linalg.norm(in_camera[common], axis=1) > 0.1
    slack = 1e-4 * (view.camera.width + view.camera.K[0, 0])
    np.testing.assert_allclose(seen.uv[rows][near], uv[common][near], atol=slack)


@pytest.mark.parametrize('model, coefficients', LENSES)
def test_a_scan_of_any_points_neither_warns_nor_raises(model, coefficients):
    values = np.array([0, 1e-30, 1, -1, 3e38, np.inf, -np.inf, np.nan], np.float32)
    points = np.stack([axis.ravel() for axis in np.meshgrid(values, values, values)], 1)
    view = CameraView('camera', 0, Camera(64, 48, np.array([[30, 0, 32], [0, 30, 24], [0, 0, 1.0]]), model,
                                          coefficients), np.eye(4), None)
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        seen = project(points, view)
        assert np.isfinite(points[seen.index]).all() and np.isfinite(seen.depth).all()
        for nothing in (np.empty((0, 3), np.float32), np.full((9, 3), np.nan, np.float32)):
            assert len(project(nothing, view).index) == 0
        assert project_all(points, ()) == ()


def test_a_cell_keeps_what_is_not_much_farther_than_its_nearest_point():
    rng = np.random.default_rng(0)
    u, v = rng.uniform(-0.5, 99.5, 2000), rng.uniform(-0.5, 49.5, 2000)
    depth = rng.uniform(1, 30, 2000)
    hidden = OcclusionFilter(8, 0.2, 0.5).hidden(u, v, depth, 100)
    cells = list(zip((u + 0.5) // 8, (v + 0.5) // 8))
    nearest = {}
    for cell, far in zip(cells, depth):
        nearest[cell] = min(far, nearest.get(cell, np.inf))
    assert hidden.tolist() == [far > 1.2 * nearest[cell] + 0.5 for cell, far in zip(cells, depth)]


def test_what_is_behind_a_fisheye_is_hidden_by_what_is_nearer():
    """Depth along the axis is negative there: distances count."""
    camera = Camera(1000, 1000, np.array([[200, 0, 500], [0, 200, 500], [0, 0, 1.0]]), 'equidistant', (0,) * 4)
    direction = np.array([np.sin(2.0), 0, np.cos(2.0)])
    seen = project(np.outer([2, 20], direction).astype(np.float32), CameraView('f', 0, camera, np.eye(4), None))
    assert seen.index.tolist() == [0]
    np.testing.assert_allclose(seen.depth, [2], rtol=1e-6)
