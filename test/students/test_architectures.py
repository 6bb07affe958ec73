# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""What the networks do with what they see, on every backend."""

import numpy as np
import pytest
import torch
from scans import SPEC, lived, random_scan

from ros_kd.frames import Scan
from ros_kd.sparse import BACKENDS
from ros_kd.students import STUDENTS, build_student
from ros_kd.students.folding import fold
from ros_kd.students.inputs import POINTS, InputSpec

USABLE = [name for name, backend in BACKENDS.items() if backend.supports(torch.device('cpu'))]


@pytest.fixture(params=list(STUDENTS))
def architecture(request):
    return request.param


@pytest.mark.parametrize(('name', 'width', 'channels', 'classes', 'millions'), [
    ('minkunet14', 1.0, 4, 20, 11.6), ('minkunet18', 1.0, 4, 20, 21.7), ('minkunet14', 0.5, 4, 20, 2.9),
    ('minkunet34c', 1.0, 3, 20, 37.9), ('spvcnn', 1.0, 4, 19, 21.8), ('twodpass64', 1.0, 10, 20, 1.93),
    ('twodpass128', 1.0, 10, 17, 11.5), ('twodpass128', 2.0, 10, 17, 45.6)])
def test_students_have_the_size_of_the_literature(name, width, channels, classes, millions):
    student = build_student(name, channels, classes, width)
    digits = 2 if name == 'twodpass64' else 1
    assert round(sum(p.numel() for p in student.parameters()) / 1e6, digits) == millions


def test_an_unknown_architecture_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match='minkunet14.*minkunet18'):
        build_student('pointnet', 4, 20)
    with pytest.raises(ValueError, match='must be positive'):
        build_student('minkunet14', 4, 0)


def test_every_student_gives_logits_in_the_order_of_the_voxels_and_trains_all_weights(architecture):
    torch.manual_seed(0)
    student = build_student(architecture, 7, 5, 0.25)
    batch = InputSpec().prepare([random_scan(seed=0), random_scan(seed=1)])
    logits = student(batch)
    assert logits.shape == (len(batch.tensor), 5)
    torch.nn.functional.cross_entropy(logits, torch.arange(len(logits)) % 5).backward()
    assert [name for name, p in student.named_parameters() if p.grad is None or not bool((p.grad != 0).any())] == []


def test_the_head_classifies_the_features_and_levels_have_the_channels_that_they_say(architecture):
    student = lived(build_student(architecture, 7, 5, 0.25), SPEC)
    batch = SPEC.prepare([random_scan()])
    with torch.no_grad():
        levels, features = student.levels(batch), student.features(batch)
        assert tuple(level.features.shape[1] for level in levels) == student.level_channels
        assert all(len(level.features) == len(batch.tensor.geometry.keys[level.stride]) for level in levels)
        assert features.shape == (len(batch.tensor), student.channels)
        torch.testing.assert_close(student.head(features, batch.backend), student(batch), rtol=1e-4, atol=1e-5)


def test_the_scans_of_a_batch_do_not_change_each_others_logits(architecture):
    student = lived(build_student(architecture, 7, 5, 0.25), SPEC)
    scans = [random_scan(seed=0), random_scan(seed=1)]
    with torch.no_grad():
        alone = torch.cat([student(SPEC.prepare([scan])) for scan in scans])
        torch.testing.assert_close(student(SPEC.prepare(scans)), alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('backend', USABLE)
@pytest.mark.parametrize('points', [0, 1])
def test_scans_without_points_and_of_one_point_pass(architecture, points, backend):
    scan = Scan(0, np.ones((points, 3), np.float32), np.ones(points, np.float32))
    for training in (False, True):
        student = build_student(architecture, 7, 3, 0.25).train(training)
        assert student(SPEC.prepare([scan], backend=backend)).shape == (points, 3)
    assert fold(student)(SPEC.prepare([scan], backend=backend)).shape == (points, 3)


def test_all_backends_give_the_same_logits_and_gradients(architecture):
    torch.manual_seed(0)
    student = lived(build_student(architecture, 7, 5, 0.25), SPEC)
    scans = [random_scan(seed=0), random_scan(seed=1)]
    found = {}
    for name in USABLE:
        logits = student(SPEC.prepare(scans, backend=name))
        gradients = torch.autograd.grad(logits.square().mean(), list(student.parameters()))
        found[name] = [logits, *gradients]
    for name in USABLE:
        for value, reference in zip(found[name], found['torch']):
            torch.testing.assert_close(value, reference, rtol=1e-3, atol=1e-5, msg=lambda text: f'{name}: {text}')


@pytest.mark.parametrize('backend', USABLE)
def test_folding_keeps_the_logits_and_leaves_the_student_alone(architecture, backend):
    torch.manual_seed(0)
    student = lived(build_student(architecture, 7, 5, 0.25), SPEC)
    before = {name: value.clone() for name, value in student.state_dict().items()}
    batch = SPEC.prepare([random_scan(seed=7)], backend=backend)
    with torch.no_grad():
        expected, folded = student(batch), fold(student)
        torch.testing.assert_close(folded(batch), expected, rtol=1e-4, atol=1e-5)
    assert not any(isinstance(module, torch.nn.BatchNorm1d) for module in folded.modules())
    assert student.state_dict().keys() == before.keys()
    assert all(torch.equal(value, before[name]) for name, value in student.state_dict().items())


@pytest.mark.parametrize('backend', USABLE)
def test_a_folded_student_runs_in_bfloat16_as_a_whole(architecture, backend):
    torch.manual_seed(0)
    student = lived(build_student(architecture, 7, 5, 0.25), SPEC)
    batch = SPEC.prepare([random_scan(seed=7)], backend=backend)
    with torch.no_grad():
        expected = student(batch)
        found = fold(student).to(torch.bfloat16)(batch.cast(torch.bfloat16))
    assert found.dtype == torch.bfloat16
    assert float((found.float() - expected).norm() / expected.norm()) < 0.03


def test_the_2dpass_student_is_what_its_paper_says_point_by_point():
    torch.manual_seed(0)
    spec = InputSpec(0.4, columns=POINTS)
    student = lived(build_student('twodpass64', 10, 5), spec)
    batch = spec.prepare([random_scan(1500)])
    with torch.no_grad():
        expected = _point_by_point(student, batch)
        torch.testing.assert_close(student(batch)[batch.voxels.index], expected, rtol=1e-4, atol=1e-5)


def _point_by_point(student, batch):
    """Return logits [M, K] of the student's layers in the paper's order: whole layers, on every point."""
    leaky = torch.nn.functional.leaky_relu
    coordinates, cell = batch.tensor.coordinates, batch.voxels.index
    features = _means(_affine(student.stem, _affine(student.points, batch.points).relu()), cell)
    tensor, outputs = batch.tensor.with_features(features), []
    for block, scale in zip(student.blocks, student.scales):
        voxel, point = block.voxel(tensor).features, block.point
        mixed = tensor.features + voxel
        wider = torch.unique(coordinates // 2, dim=0, return_inverse=True)[1]
        context = leaky(_affine(point.pooled, _means(mixed, wider)), 0.1)
        for layer in point.context:
            context = leaky(_affine(layer.linear, layer.norm(context)), 0.1)
        both = torch.cat([leaky(_affine(point.identity, mixed), 0.1), context[wider]], 1)
        weight = torch.cat([point.fine.weight, point.coarse.weight], 1)
        per_voxel = _affine(block.out, leaky(both @ weight.T + point.fine.bias, 0.1))
        points = per_voxel[cell], voxel[cell]
        coordinates, parent = torch.unique(coordinates // 2, dim=0, return_inverse=True)
        cell = parent[cell]
        point_mean, voxel_mean = (_means(rows, cell) for rows in points)
        outputs.append(point_mean[cell])
        tensor.geometry.coarser(tensor.stride)
        tensor = tensor.at_stride(scale, point_mean + voxel_mean)
    weight = torch.cat([part.weight for part in student.parts], 1)
    hidden = torch.cat(outputs, 1) @ weight.T + student.parts[0].bias
    return _affine(student.head, hidden.relu())


def _affine(layer, rows):
    return torch.nn.functional.linear(rows, layer.weight, layer.bias)


def _means(rows, group):
    return torch.stack([rows[group == i].mean(0) for i in range(int(group.max()) + 1)])


def test_a_student_overfits_one_scan(architecture):
    torch.manual_seed(0)
    student = build_student(architecture, 7, 3, 0.25)
    batch = InputSpec(voxel_size=0.5).prepare([random_scan(500)])
    labels = batch.tensor.coordinates[:, 0].sign() + 1
    optimizer = torch.optim.Adam(student.parameters(), 0.01)
    for _ in range(30):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(student(batch), labels).backward()
        optimizer.step()
    assert float((student(batch).argmax(1) == labels).float().mean()) > 0.9
