# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Outlines of depth fit the image where the calibration is right, and say by how much it is not."""

from dataclasses import replace

import numpy as np
import pytest

from ros_kd import alignment, extrinsics
from ros_kd.alignment import Alignment
from ros_kd.datasets import open_dataset
from ros_kd.projection import project


def turned(view, degrees):
    """The view with its extrinsics turned about the image's vertical axis."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    turn = extrinsics.from_rotation(np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]]), np.zeros(3))
    return replace(view, lidar_to_camera=turn @ view.lidar_to_camera)


def judged(dataset, camera, degrees, frames):
    found = Alignment()
    for number in range(frames):
        frame = dataset[number]
        view = turned(frame.view(camera), degrees)
        seen = project(frame.points, view)
        found.add(view.image(), seen.uv[alignment.outlines(frame.points)[seen.index]])
    return found


def test_outlines_are_the_near_side_of_a_jump():
    azimuth = np.radians(np.arange(-30, 30, 0.4))
    depth = np.where(np.abs(azimuth) < np.radians(5), 6.0, 20.0)
    points = np.stack([depth * np.cos(azimuth), depth * np.sin(azimuth), np.zeros_like(depth)], 1).astype(np.float32)
    points = np.concatenate([points, np.full((3, 3), np.nan, np.float32)])
    shuffled = np.random.default_rng(0).permutation(len(points))
    found = np.empty(len(points), bool)
    found[shuffled] = alignment.outlines(points[shuffled])
    assert list(np.nonzero(found)[0]) == [63, 87] and (depth[[63, 87]] == 6).all()
    assert not alignment.outlines(np.empty((0, 3), np.float32)).any()


def test_the_best_shift_is_that_of_the_image():
    random = np.random.default_rng(0)
    columns = np.sort(random.choice(np.arange(40, 600, 12), 20, replace=False))
    image = np.zeros((400, 640), np.uint8)
    for number, column in enumerate(columns):
        image[:, column:] = 255 * (number % 2)
    uv = np.stack([np.tile(columns - 8, 20), np.repeat(np.arange(20, 380, 18), 20)], 1).astype(np.float32)
    found = Alignment()
    assert found.offset == (0, 0) and found.contrast == 0 and not found.trusted
    assert found.add(image, uv) and abs(found.offset[0] - 8) <= 1 and found.contrast > 0.5
    assert not found.add(image, uv[:10]) and found.images == 1


@pytest.mark.parametrize('spec,camera', [
    ('kitti_raw/2011_09_26/2011_09_26_drive_0013_sync', 'camera_2'), ('pandaset/002', 'front_camera')])
def test_a_degree_off_shows_on_real_frames(real_data, spec, camera):
    dataset = open_dataset(str(real_data / spec))
    u = {degrees: judged(dataset, camera, degrees, 8) for degrees in (-1, 0, 1)}
    assert all(found.trusted for found in u.values())
    assert abs(u[0].offset[0]) <= 4
    assert u[-1].offset[0] >= 8 and u[1].offset[0] <= -8
