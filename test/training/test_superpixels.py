# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Superpixels keep to what an image shows, and points find theirs."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from training.frames.superpixels import PIXELS, at_pixels, superpixels


def _tiles(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """An image of four quarters in strong colours with a little noise, and which quarter each pixel is in."""
    rows, columns = np.mgrid[:height, :width]
    quarter = 2 * (rows >= height // 2) + (columns >= width // 2)
    colours = np.array([[200, 30, 30], [30, 200, 30], [30, 30, 200], [200, 200, 30]], np.uint8)
    noise = np.random.default_rng(0).integers(-8, 8, (height, width, 3))
    return np.clip(colours[quarter].astype(int) + noise, 0, 255).astype(np.uint8), quarter


def test_superpixels_do_not_cross_edges_and_are_connected():
    image, quarter = _tiles(60, 90)
    labels = superpixels(image, 24)
    assert labels.shape == (60, 90) and labels.dtype == np.int32
    assert sorted(np.unique(labels)) == list(range(labels.max() + 1)) and 12 <= labels.max() + 1 <= 36
    pure = sum(np.bincount(quarter[labels == one]).max() for one in range(labels.max() + 1))
    assert pure / quarter.size > 0.97
    for one in range(labels.max() + 1):
        assert cv2.connectedComponents((labels == one).astype(np.uint8), connectivity=4)[0] == 2


def test_superpixels_are_repeatable_and_as_many_as_asked():
    image, _ = _tiles(60, 90)
    assert np.array_equal(superpixels(image, 24), superpixels(image, 24))
    assert superpixels(image, 80, 30).max() > superpixels(image, 12, 30).max() + 40


def test_large_images_are_cut_up_small():
    height, width = 800, 1210
    assert height * width > PIXELS
    image, quarter = _tiles(height, width)
    labels = superpixels(image, 20)
    assert labels.shape == (height, width)
    away = np.ones((height, width), bool)  # of the edges by two pixels of the small image
    away[height // 2 - 4:height // 2 + 4] = away[:, width // 2 - 4:width // 2 + 4] = False
    for one in range(labels.max() + 1):
        found = quarter[(labels == one) & away]
        assert np.bincount(found).max() >= 0.99 * len(found)


def test_points_find_the_superpixel_of_the_nearest_pixel():
    labels = np.arange(12, dtype=np.int32).reshape(3, 4)
    uv = np.array([[0, 0], [3, 2], [1.4, 0.6], [-0.5, 0.2], [3.49, 2.49], [9, 9]], np.float32)
    assert at_pixels(labels, uv).tolist() == [0, 11, 5, 0, 11, 11]
    assert at_pixels(labels, np.empty((0, 2), np.float32)).shape == (0,)


@pytest.mark.parametrize('image', [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.float32)], ids=['grey', 'float'])
def test_other_images_are_refused(image):
    with pytest.raises(ValueError, match=r'expected uint8 \[H, W, 3\]'):
        superpixels(image)


def test_counts_that_are_none_are_refused():
    with pytest.raises(ValueError, match='0 superpixels of compactness 6.0: both must be positive'):
        superpixels(np.zeros((4, 4, 3), np.uint8), 0)
