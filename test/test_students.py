# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""What students see, and what the networks do with it."""

import numpy as np
import pytest
import torch

from ros_kd.frames import Scan
from ros_kd.sparse import SparseTensor
from ros_kd.students import STUDENTS, build_student
from ros_kd.students.inputs import COLUMNS, InputError, InputSpec


def random_scan(points=2000, seed=0, extent=8.0):
    generator = np.random.default_rng(seed)
    xyz = generator.uniform(-extent, extent, (points, 3)).astype(np.float32)
    xyz[:, 2] = np.round(xyz[:, 2] / 8)
    return Scan(0, xyz, generator.random(points, np.float32))


def test_voxels_hold_the_mean_of_their_points_columns():
    points = np.array([[0.01, -0.01, 0.5], [0.03, -0.05, 0.5], [-3.0, 4.0, 0.0]], np.float32)
    spec = InputSpec(0.1, (-5, -5, -1), (5, 5, 1), tuple(COLUMNS))
    batch = spec.prepare([Scan(0, points, np.array([0.2, 0.6, 1.0], np.float32))])
    assert batch.point_voxel.tolist() == [1, 1, 0] and batch.point_scan.tolist() == [0, 0, 0]
    assert batch.tensor.coordinates.tolist() == [[-30, 40, 0], [0, -1, 5]]
    pair = dict(zip(COLUMNS, batch.tensor.features[1].tolist()))
    ranges = np.linalg.norm(points[:2], axis=1)
    expected = {'x': 0.02 / 50, 'y': -0.03 / 50, 'z': 0.5 / 50, 'range': ranges.mean() / 50, 'intensity': 0.4,
                'dx': 0.2 - 0.5, 'dy': 0.7 - 0.5, 'dz': -0.5}
    assert pair == pytest.approx(expected, abs=1e-5)
    assert batch.tensor.features[0, list(COLUMNS).index('range')] == pytest.approx(5 / 50)


def test_points_that_are_nan_or_out_of_range_belong_to_no_voxel():
    spec = InputSpec(0.5, (-1, -1, -1), (1, 1, 1), ('x', 'y', 'z'))
    points = np.array([[np.nan, 0, 0], [0, np.inf, 0], [1, 0, 0], [-1, 0, 0], [0, 0, 5]], np.float32)
    assert spec.prepare([Scan(0, points)]).point_voxel.tolist() == [-1, -1, -1, 0, -1]


def test_a_batch_holds_the_same_voxels_as_its_scans_alone():
    spec = InputSpec()
    scans = [random_scan(seed=0), random_scan(points=0), random_scan(seed=1)]
    batch, alone = spec.prepare(scans), [spec.prepare([scan]) for scan in scans]
    assert batch.tensor.batch_size == 3
    torch.testing.assert_close(batch.tensor.features, torch.cat([b.tensor.features for b in alone]))
    starts = np.cumsum([0] + [len(b.tensor) for b in alone])
    expected = torch.cat([torch.where(b.point_voxel < 0, -1, b.point_voxel + int(s)) for b, s in zip(alone, starts)])
    assert torch.equal(batch.point_voxel, expected)
    assert torch.bincount(batch.point_scan, minlength=3).tolist() == [2000, 0, 2000]


def test_preparing_leaves_the_scan_as_it_is_even_if_it_is_read_only():
    scan = random_scan()
    before = scan.points.copy()
    scan.points.flags.writeable = False
    InputSpec().prepare([scan])
    assert np.array_equal(scan.points, before)


def test_an_intensity_that_is_nan_counts_as_zero():
    points = np.zeros((2, 3), np.float32)
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
    ({'lower': (0, 0, 9), 'upper': (1, 1, 1)}, 'lower below its upper')])
def test_a_wrong_input_specification_says_what_is_expected(options, text):
    with pytest.raises(ValueError, match=text):
        InputSpec(**options)


@pytest.mark.parametrize(('architecture', 'width', 'millions'), [
    ('minkunet14', 1.0, 11.6), ('minkunet18', 1.0, 21.7), ('minkunet14', 0.5, 2.9)])
def test_students_have_the_size_of_the_literature(architecture, width, millions):
    student = build_student(architecture, 4, 20, width)
    assert sum(p.numel() for p in student.parameters()) / 1e6 == pytest.approx(millions, abs=0.1)


def test_an_unknown_architecture_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match='minkunet14.*minkunet18'):
        build_student('pointnet', 4, 20)
    with pytest.raises(ValueError, match='must be positive'):
        build_student('minkunet14', 4, 0)


@pytest.mark.parametrize('architecture', list(STUDENTS))
def test_every_student_gives_logits_in_the_order_of_the_voxels_and_trains_all_weights(architecture):
    torch.manual_seed(0)
    student = build_student(architecture, 7, 5, 0.25)
    tensor = InputSpec().prepare([random_scan(seed=0), random_scan(seed=1)]).tensor
    logits = student(tensor)
    assert logits.shape == (len(tensor), 5)
    torch.nn.functional.cross_entropy(logits, torch.arange(len(tensor)) % 5).backward()
    assert all(bool((p.grad != 0).any()) for p in student.parameters())


def test_the_head_classifies_the_features_and_levels_go_from_coarse_to_fine():
    student = build_student('minkunet14', 7, 5, 0.25).eval()
    tensor = InputSpec().prepare([random_scan()]).tensor
    with torch.no_grad():
        levels = student.levels(tensor)
        assert [level.stride for level in levels] == [8, 4, 2, 1]
        assert tuple(level.features.shape[1] for level in levels) == student.level_channels
        torch.testing.assert_close(student.head(student.features(tensor)), student(tensor))


def test_the_scans_of_a_batch_do_not_change_each_others_logits():
    student = build_student('minkunet14', 7, 5, 0.25).eval()
    scans = [random_scan(seed=0), random_scan(seed=1)]
    with torch.no_grad():
        alone = torch.cat([student(InputSpec().prepare([scan]).tensor) for scan in scans])
        torch.testing.assert_close(student(InputSpec().prepare(scans).tensor), alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('voxels', [0, 1])
@pytest.mark.parametrize('training', [False, True])
def test_scans_without_points_and_of_one_point_pass(voxels, training):
    student = build_student('minkunet14', 2, 3, 0.25).train(training)
    coordinates = torch.zeros(voxels, 3, dtype=torch.long)
    assert student(SparseTensor.from_coordinates(coordinates, torch.ones(voxels, 2))).shape == (voxels, 3)


def test_a_student_overfits_one_scan():
    torch.manual_seed(0)
    student = build_student('minkunet14', 7, 3, 0.25)
    tensor = InputSpec(voxel_size=0.5).prepare([random_scan(500)]).tensor
    labels = tensor.coordinates[:, 0].sign() + 1
    optimizer = torch.optim.Adam(student.parameters(), 0.01)
    for _ in range(20):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(student(tensor), labels).backward()
        optimizer.step()
    assert float((student(tensor).argmax(1) == labels).float().mean()) > 0.95
