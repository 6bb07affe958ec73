# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""What students see of a scan."""

import numpy as np
import pytest
import torch
from scans import random_scan

from ros_kd.frames import Scan
from ros_kd.students.inputs import COLUMNS, POINTS, InputError, InputSpec


def test_voxels_hold_the_mean_of_their_points_columns():
    points = np.array([[0.01, -0.01, 0.5], [0.03, -0.05, 0.5], [-3.0, 4.0, 0.0]], np.float32)
    spec = InputSpec(0.1, (-5, -5, -1), (5, 5, 1), tuple(COLUMNS))
    batch = spec.prepare([Scan(0, points, np.array([0.2, 0.6, 1.0], np.float32))])
    assert batch.point_voxel.tolist() == [1, 1, 0] and batch.point_scan.tolist() == [0, 0, 0]
    assert batch.tensor.coordinates.tolist() == [[-30, 40, 0], [0, -1, 5]]
    pair = dict(zip(COLUMNS, batch.tensor.features[1].tolist()))
    ranges = np.linalg.norm(points[:2], axis=1)
    expected = {'x': 0.02 / 50, 'y': -0.03 / 50, 'z': 0.5 / 50, 'range': ranges.mean() / 50, 'intensity': 0.4,
                'dx': 0.2 - 0.5, 'dy': 0.7 - 0.5, 'dz': -0.5, 'mx': 0, 'my': 0, 'mz': 0}
    assert pair == pytest.approx(expected, abs=1e-5)
    assert batch.tensor.features[0, list(COLUMNS).index('range')] == pytest.approx(5 / 50)


def test_points_keep_their_own_columns_and_know_their_voxel():
    points = np.array([[9, 0, 0], [0.01, -0.01, 0.5], [0.03, -0.05, 0.5], [-3.0, 4.0, 0.0]], np.float32)
    spec = InputSpec(0.1, (-5, -5, -1), (5, 5, 1), POINTS)
    batch = spec.prepare([Scan(0, points, np.array([0, 0.2, 0.6, 1.0], np.float32))])
    assert batch.voxels.index.tolist() == [1, 1, 0] and batch.voxels.count.tolist() == [1, 2]
    first = dict(zip(POINTS, batch.points[0].tolist()))
    assert first == pytest.approx({'x': 0.01 / 50, 'y': -0.01 / 50, 'z': 0.01, 'intensity': 0.2, 'mx': -0.1, 'my': 0.2,
                                   'mz': 0, 'dx': -0.4, 'dy': 0.4, 'dz': -0.5}, abs=1e-5)


def test_points_that_are_missing_or_out_of_range_belong_to_no_voxel():
    spec = InputSpec(0.5, (-1, -1, -1), (1, 1, 1), ('x', 'y', 'z'))
    points = np.array([[np.nan, 0, 0], [0, np.inf, 0], [1, 0, 0], [-1, 0, 0], [0, 0, 5], [0, 0, 0], [0, 0, 0.1]],
                      np.float32)
    assert spec.prepare([Scan(0, points)]).point_voxel.tolist() == [-1, -1, -1, 0, -1, -1, 1]


def test_a_batch_holds_the_same_voxels_as_its_scans_alone():
    spec = InputSpec()
    scans = [random_scan(seed=0), random_scan(points=0), random_scan(seed=1)]
    batch, alone = spec.prepare(scans), [spec.prepare([scan]) for scan in scans]
    assert batch.tensor.batch_size == 3
    torch.testing.assert_close(batch.tensor.features, torch.cat([b.tensor.features for b in alone]))
    starts = np.cumsum([0] + [len(b.tensor) for b in alone])
    expected = torch.cat([torch.where(b.point_voxel < 0, -1, b.point_voxel + int(s)) for b, s in zip(alone, starts)])
    assert torch.equal(batch.point_voxel, expected)
    assert torch.equal(batch.voxels.index, expected[expected >= 0])
    assert torch.bincount(batch.point_scan, minlength=3).tolist() == [2000, 0, 2000]


def test_preparing_leaves_the_scan_as_it_is_even_if_it_is_read_only():
    scan = random_scan()
    before = scan.points.copy()
    scan.points.flags.writeable = False
    InputSpec().prepare([scan])
    assert np.array_equal(scan.points, before)


def test_an_intensity_that_is_nan_counts_as_zero():
    points = np.ones((2, 3), np.float32)
    batch = InputSpec(columns=('intensity',)).prepare([Scan(0, points, np.array([np.nan, 1], np.float32))])
    assert batch.tensor.features.tolist() == [[0.5]]


def test_a_missing_column_is_refused_by_name_with_what_to_do():
    scan = Scan(0, np.zeros((1, 3), np.float32), ring=np.zeros(1, np.uint16))
    with pytest.raises(InputError, match=r'"intensity".*\[\'x\', \'y\', \'z\', \'ring\'\].*without intensity'):
        InputSpec().prepare([scan])
    InputSpec(columns=('x', 'y', 'z')).prepare([scan])


@pytest.mark.parametrize(('options', 'text'), [
    ({'columns': ('x', 'speed')}, 'choose one or more of'), ({'columns': ()}, 'choose one or more of'),
    ({'voxel_size': 0}, 'voxel_size 0'), ({'voxel_size': 1e-5}, 'at least'),
    ({'lower': (0, 0, 9), 'upper': (1, 1, 1)}, 'lower below its upper'),
    ({'beyond': 'guessed'}, 'beyond "guessed": .* nearest or unlabelled')])
def test_a_wrong_input_specification_says_what_is_expected(options, text):
    with pytest.raises(ValueError, match=text):
        InputSpec(**options)


def test_more_scans_than_keys_can_tell_apart_are_refused():
    scans = [Scan(0, np.zeros((0, 3), np.float32), np.zeros(0, np.float32))] * 512
    with pytest.raises(ValueError, match='512 scans at a time, expected at most 511: use a smaller batch'):
        InputSpec().prepare(scans)
    assert InputSpec().prepare(scans[1:]).tensor.batch_size == 511
