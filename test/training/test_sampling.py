# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Sampling between pixels, against torch and against planes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from training.frames.sampling import Grid, bilinear, bilinear_votes


def test_a_pixels_own_value_is_returned_at_its_centre():
    values = np.random.default_rng(0).random((2, 4, 5), np.float32)
    uv = np.array([[0, 0], [4, 3], [2, 1]], np.float32)
    assert np.allclose(bilinear(values, uv), values[:, [0, 3, 1], [0, 4, 2]].T)


@pytest.mark.parametrize('size', [(5, 4), (10, 8), (31, 17)])
def test_a_smaller_map_is_sampled_as_torch_enlarges_it(size):
    width, height = 20, 16
    values = np.random.default_rng(1).random((3, size[1], size[0]), np.float32)
    enlarged = torch.nn.functional.interpolate(torch.from_numpy(values)[None], (height, width), mode='bilinear')
    v, u = np.mgrid[:height, :width]
    uv = np.stack([u.ravel(), v.ravel()], 1).astype(np.float32)
    sampled = bilinear(values, uv, Grid.covering(size, (width, height)))
    assert np.allclose(sampled, enlarged[0].numpy().reshape(3, -1).T, atol=1e-5)


def test_every_second_cell_of_a_map_lies_where_that_cell_was():
    ramp = np.arange(40, dtype=np.float32)[None, None].repeat(3, 1)  # a map at half size of an image of 80 pixels
    uv = np.array([[20.5, 1], [31.25, 1]], np.float32)
    whole = bilinear(ramp, uv, Grid.covering((40, 3), (80, 3)))
    halved = bilinear(ramp[:, :, ::2], uv, Grid((20 / 80, 1.0), (0.25, 0.0)))
    assert np.allclose(whole, halved)


def test_votes_share_a_point_between_the_classes_around_it():
    labels = np.array([[0, 1], [255, 1]], np.uint8)
    votes = bilinear_votes(labels, np.array([[0.25, 0], [0.5, 0.5], [1, 1]], np.float32), 2)
    assert np.allclose(votes, [[0.75, 0.25], [0.25, 0.5], [0, 1]])
