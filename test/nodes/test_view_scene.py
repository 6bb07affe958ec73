# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""What of a labelled cloud the browser is given."""

import numpy as np
import pytest

pytest.importorskip('rerun', reason='Rerun is not installed')
pytest.importorskip('rclpy', reason='ROS 2 is not installed')

from ros_kd import clouds  # noqa: E402
from ros_kd.nodes.view_scene import UNLABELLED, labelled_points  # noqa: E402

XYZ = [(name, '<f4') for name in 'xyz']


def cloud(*columns, order='<', count=5):
    points = np.zeros(count, np.dtype([*XYZ, *columns]).newbyteorder(order))
    points['x'] = np.arange(count)
    return points


@pytest.mark.parametrize('order', '<>')
def test_labels_and_colours_are_those_of_the_cloud_in_either_byte_order(order):
    points = cloud(('label', 'u1'), ('rgb', 'f4'), order=order)
    points['label'] = [3, 0, 255, 3, 0]
    colors = np.arange(15, dtype=np.uint8).reshape(5, 3)
    points['rgb'] = clouds.pack_rgb(colors)
    seen = labelled_points(points)
    assert seen.group.tolist() == [3, 0, 255, 3, 0]
    assert (seen.rgba.astype('>u4').view(np.uint8).reshape(5, 4) == np.insert(colors, 3, 255, axis=1)).all()
    rows = {group: (xyz[:, 0].tolist(), rgba.tolist()) for group, xyz, rgba in seen.groups()}
    assert rows == {0: ([1, 4], seen.rgba[[1, 4]].tolist()), 3: ([0, 3], seen.rgba[[0, 3]].tolist()),
                    255: ([2], seen.rgba[[2]].tolist())}


def test_points_that_nothing_is_known_of_are_apart():
    points = cloud(('label', 'u1'), ('confidence', '<f4'))
    points['label'], points['confidence'] = 4, [0.1, 0, 1, 0, 1]
    seen = labelled_points(points)
    assert seen.group.tolist() == [4, UNLABELLED, 4, UNLABELLED, 4] and seen.rgba is None


def test_a_cloud_without_labels_is_shown_whole():
    seen = labelled_points(cloud())
    assert [(group, len(xyz)) for group, xyz, _ in seen.groups()] == [(UNLABELLED, 5)]


def test_points_without_position_are_left_out_with_their_label():
    points = cloud(('label', 'u1'))
    points['label'] = range(5)
    points['y'][1], points['z'][3] = np.inf, np.nan
    seen = labelled_points(points)
    assert seen.group.tolist() == [0, 2, 4] and seen.points[:, 0].tolist() == [0, 2, 4]


def test_an_empty_cloud_shows_nothing():
    assert list(labelled_points(cloud(('label', 'u1'), count=0)).groups()) == []
