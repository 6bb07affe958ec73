# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Pictures: what is drawn where, in which colour, and what covers what."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from ros_kd import pictures
from ros_kd.label_sets import get_taxonomy
from ros_kd.pictures.points import BACKGROUND

RED, GREEN = np.array([255, 0, 0], np.uint8), np.array([0, 255, 0], np.uint8)


def test_a_nearer_point_covers_a_farther_one_whatever_the_order() -> None:
    image = np.zeros((20, 20, 3), np.uint8)
    uv, depth = np.array([[10, 8], [11, 8]], np.float32), np.array([5, 30], np.float32)
    for order in ([0, 1], [1, 0]):
        picture = pictures.over_image(image, uv[order], np.stack([RED, GREEN])[order], 2, depth[order])
        assert picture[8, 10].tolist() == picture[8, 11].tolist() == RED.tolist()
        assert picture[8, 13].tolist() == GREEN.tolist()
    assert not image.any()


def test_discs_are_round_and_cut_at_the_border() -> None:
    picture = pictures.over_image(np.zeros((9, 9), np.uint8), np.array([[0.2, 4.4]]), RED[None], 3)
    painted = picture[..., 0] == 255
    assert painted[4, :4].all() and not painted[4, 4:].any() and painted[1, 0] and not painted[1, 3]


def test_no_points_leave_the_image_as_it_is() -> None:
    image = np.full((5, 6, 3), 90, np.uint8)
    empty = np.empty((0, 2), np.float32)
    picture = pictures.over_image(image, empty, pictures.depth_colors(np.empty(0)), 2, np.empty(0))
    np.testing.assert_array_equal(picture, image)


def test_depth_runs_from_red_to_blue_and_never_wraps() -> None:
    colors = pictures.depth_colors(np.array([0.5, 2, 60, 500])).astype(int)
    np.testing.assert_array_equal(colors[0], colors[1])
    np.testing.assert_array_equal(colors[2], colors[3])
    assert colors[1, 0] > colors[1, 2] and colors[2, 2] > colors[2, 0]


def test_intensity_gets_brighter() -> None:
    colors = pictures.intensity_colors(np.array([np.nan, 0, 0.25, 1], np.float32)).astype(int).sum(1)
    assert colors[0] == colors[1] < colors[2] < colors[3]


def test_classes_take_the_colours_of_their_taxonomy_and_unknown_ids_are_black() -> None:
    taxonomy = get_taxonomy('semantickitti')
    colors = pictures.class_colors(np.array([40, 252, 60000], np.uint16), taxonomy)
    assert colors.tolist() == [list(taxonomy.colors[40]), list(taxonomy.colors[252]), [0, 0, 0]]


def test_sampling_takes_the_nearest_pixel() -> None:
    image = np.arange(12, dtype=np.uint8).reshape(3, 4)
    assert pictures.sample(image, np.array([[2.4, 0.6], [-0.4, -0.4], [3.4, 2.4]])).tolist() == [6, 0, 11]
    assert pictures.sample(np.dstack([image] * 3), np.array([[1, 1]])).tolist() == [[5, 5, 5]]


def test_from_above_x_points_up_and_y_left_and_tops_cover_what_is_below() -> None:
    points = np.array([[15, 0, 0], [0, 15, 0], [-15, -15, 3], [-15, -15, 1], [100, 0, 0], [5, np.nan, 0]], np.float32)
    colors = np.stack([RED, GREEN, RED, GREEN, GREEN, GREEN])
    picture = pictures.from_above(points, colors, extent=20, pixels_per_metre=2, rings=0)
    assert picture.shape == (80, 80, 3)
    assert picture[10, 40].tolist() == RED.tolist() and picture[40, 10].tolist() == GREEN.tolist()
    assert picture[70, 70].tolist() == RED.tolist()


def test_rings_are_at_their_distance() -> None:
    none = np.empty((0, 3), np.float32)
    picture = pictures.from_above(none, none.astype(np.uint8), extent=25, pixels_per_metre=4, rings=10)
    row = picture[100, :, 0] > BACKGROUND + 30
    assert row[100 + 40] and row[100 - 80] and not row[100 + 60]


def test_a_legend_lists_used_classes_only() -> None:
    taxonomy = get_taxonomy('street-12')
    counts = np.zeros(12, int)
    counts[[0, 8]] = 30, 10
    short, long = pictures.legend(taxonomy, counts), pictures.legend(taxonomy)
    assert long.shape[0] - short.shape[0] == 10 * 20
    for color in (taxonomy.colors[0], taxonomy.colors[8]):
        assert (short == color).all(2).any()
    assert not (short == taxonomy.colors[7]).all(2).any()


def test_a_stack_keeps_every_picture_and_adds_captions() -> None:
    parts = [np.full((10, 30, 3), 10, np.uint8), np.full((20, 40, 3), 20, np.uint8), np.full((5, 5, 3), 30, np.uint8)]
    sheet = pictures.stack(parts, columns=2, gap=4)
    assert sheet.shape == (20 + 4 + 5, 30 + 4 + 40, 3)
    for value, picture in zip((10, 20, 30), parts):
        assert (sheet == value).all(2).sum() == picture.shape[0] * picture.shape[1]
    captioned = pictures.stack(parts, ['a', 'b', 'c'], columns=3)
    assert captioned.shape[0] == 20 + 24
    with pytest.raises(ValueError, match='3 pictures with 1 captions'):
        pictures.stack(parts, ['a'])
    with pytest.raises(ValueError, match='0 pictures'):
        pictures.stack([])


def test_fit_keeps_the_shape_of_the_picture() -> None:
    assert pictures.fit(np.zeros((90, 160, 3), np.uint8), 80).shape == (45, 80, 3)


@pytest.mark.parametrize('name, tolerance', [('deep/picture.png', 0), ('picture.jpg', 12)])
def test_written_pictures_read_back_as_rgb(tmp_path: Path, name: str, tolerance: int) -> None:
    picture = np.zeros((32, 32, 3), np.uint8)
    picture[:] = (200, 100, 30)
    read = cv2.imread(str(pictures.write(tmp_path / name, picture)))[..., ::-1]
    assert np.abs(read.astype(int) - picture).max() <= tolerance


def test_an_unknown_file_ending_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match='.png or .jpg'):
        pictures.write(tmp_path / 'picture.webm', np.zeros((2, 2, 3), np.uint8))
