# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Students whose features speak the language of an image network, and its classifier on them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scans import SPEC, lived, random_scan

from ros_kd.frames import Scan
from ros_kd.label_sets import TAXONOMIES
from ros_kd.sparse import BACKENDS
from ros_kd.students import STUDENTS, build_student
from ros_kd.students.adapted import UNTAUGHT, SharedHead
from ros_kd.students.adapters import KINDS, Adapter, AdapterSpec, Pointwise, SelfCalibration
from ros_kd.students.checkpoint import CheckpointError, CheckpointInfo, load_checkpoint, save_checkpoint
from ros_kd.students.folding import fold
from ros_kd.students.predictor import Predictor

USABLE = [name for name, backend in BACKENDS.items() if backend.supports(torch.device('cpu'))]
CLASSES = (0, 1, -1, 1, 3, 3, 3)  # class 2 and class 4 of five are none of the image network's


def size(module):
    return sum(p.numel() for p in module.parameters())


def adapted(architecture='minkunet14', kind='da', classes=CLASSES, num_classes=5, **options):
    """Return an adapted student as if it were trained, with a classifier that tells its classes apart."""
    torch.manual_seed(0)
    spec = AdapterSpec(kind, **{'layers': 1, 'width': 20, 'classes': classes, **options})
    student = lived(build_student(architecture, 7, num_classes, 0.25, spec), SPEC)
    with torch.no_grad():  # features around 0 with a variance of their own, as an image network's
        features = student.features(SPEC.prepare([random_scan()]))
        scale = 4 / features.std(0)
        student.adapter.out.weight *= scale[:, None]
        student.adapter.out.bias.copy_((student.adapter.out.bias - features.mean(0)) * scale)
    return student


def test_a_da_layer_has_the_size_of_the_paper_and_the_mlp_as_many_parameters():
    assert size(SelfCalibration(96, 4)) == 268_032
    for channels in (8, 16, 24, 40, 48, 64, 96, 128, 256):
        assert size(Pointwise(channels)) == pytest.approx(size(SelfCalibration(channels, 4)), rel=0.01)
    modules = {kind: Adapter(48, AdapterSpec(kind, 3, 4, 30)) for kind in KINDS}
    assert size(modules['mlp']) == pytest.approx(size(modules['da']), rel=0.01)
    assert size(modules['none']) == 48 * 30 + 30


@pytest.mark.parametrize('ratio', [2, 4, 8])
def test_a_da_layer_is_what_the_paper_says(ratio):
    torch.manual_seed(0)
    layer = SelfCalibration(16, ratio)
    for norm in layer.modules():
        if isinstance(norm, torch.nn.BatchNorm1d):
            for value in (norm.weight, norm.bias, norm.running_mean, norm.running_var):
                torch.nn.init.uniform_(value, 0.2, 1)
    tensor = SPEC.prepare([random_scan(120, 1, 4.0), random_scan(120, 2, 4.0)], backend='torch').tensor
    tensor = tensor.with_features(torch.randn(len(tensor), 16))
    with torch.no_grad():
        found = layer.eval()(tensor)
        expected = _by_definition(layer, tensor, ratio)
    assert torch.equal(found.keys, tensor.keys)
    torch.testing.assert_close(found.features, expected, rtol=1e-4, atol=1e-5)


def _by_definition(layer, tensor, ratio):
    x = tensor.features
    a, b = (part.norm(x @ part.linear.weight.T).relu() for part in layer.split)
    place = torch.cat([tensor.batch[:, None], tensor.coordinates], 1)
    cell = torch.cat([place[:, :1], place[:, 1:] // ratio], 1)
    coarse, index = torch.unique(cell, dim=0, return_inverse=True)
    pooled = torch.stack([b[index == i].mean(0) for i in range(len(coarse))])
    gate = (b + layer.around.norm(_convolved(pooled, coarse, layer.around.convolution.weight))[index]).sigmoid()

    def convolved(part, features):
        return part.norm(_convolved(features, place, part.convolution.weight))

    y = convolved(layer.calibrated, convolved(layer.gated, b) * gate).relu()
    both = torch.cat([convolved(layer.near, a).relu(), y], 1)
    return (x + layer.join.norm(both @ layer.join.convolution.weight[0])).relu()


def _convolved(features, place, weight):
    """Return a 3x3x3 convolution, x slowest, of features [V, C] at (scan, x, y, z) [V, 4]."""
    dense = {tuple(row): features[i] for i, row in enumerate(place.tolist())}
    steps = [(x, y, z) for x in (-1, 0, 1) for y in (-1, 0, 1) for z in (-1, 0, 1)]
    zero = torch.zeros(features.shape[1])
    return torch.stack([sum(dense.get((s, x + dx, y + dy, z + dz), zero) @ weight[k]
                            for k, (dx, dy, dz) in enumerate(steps)) for s, x, y, z in place.tolist()])


@pytest.mark.parametrize('architecture', list(STUDENTS))
@pytest.mark.parametrize('kind', KINDS)
def test_every_student_can_be_adapted_and_is_used_as_any_other(architecture, kind):
    student = adapted(architecture, kind)
    batch = SPEC.prepare([random_scan()])
    with torch.no_grad():
        levels, features, logits = student.levels(batch), student.features(batch), student(batch)
        assert tuple(level.features.shape[1] for level in levels) == student.level_channels
        assert features.shape == (len(batch.tensor), student.channels) == (len(batch.tensor), 20)
        torch.testing.assert_close(student.features_of(levels, batch), features)
        torch.testing.assert_close(student.head(features, batch.backend), logits)
    trained = build_student(architecture, 7, 5, 0.25, AdapterSpec(kind, 1, 2, 20, CLASSES))
    torch.nn.functional.cross_entropy(trained(batch), torch.arange(len(logits)) % 5).backward()
    still = [name for name, p in trained.named_parameters() if p.grad is None or not bool((p.grad != 0).any())]
    assert still == ['head.classifier.weight', 'head.classifier.bias']


@pytest.mark.parametrize('backend', USABLE)
@pytest.mark.parametrize('kind', KINDS)
def test_a_folded_adapted_student_gives_the_same_answers_and_runs_in_bfloat16(kind, backend):
    student = adapted(kind=kind)
    torch.nn.init.normal_(student.head.others.weight, 0, 0.1)
    batch = SPEC.prepare([random_scan(seed=7)], backend=backend)
    with torch.no_grad():
        expected, folded = student(batch), fold(student)
        torch.testing.assert_close(folded(batch), expected, rtol=1e-3, atol=1e-3)
        torch.testing.assert_close(folded.features(batch), student.features(batch), rtol=1e-3, atol=1e-3)
        found = fold(student).to(torch.bfloat16)(batch.cast(torch.bfloat16))
    assert found.dtype == torch.bfloat16 and bool(found.isfinite().all())
    assert float((found.float() - expected).norm() / expected.norm()) < 0.03
    assert not any(isinstance(module, torch.nn.BatchNorm1d) for module in folded.modules())


@pytest.mark.parametrize('backend', USABLE)
@pytest.mark.parametrize('points', [0, 1])
def test_scans_without_points_and_of_one_point_pass(points, backend):
    scan = Scan(0, np.ones((points, 3), np.float32), np.ones(points, np.float32))
    for kind in KINDS:
        for training in (False, True):
            student = build_student('minkunet14', 7, 5, 0.25, AdapterSpec(kind, 2, 4, 20, CLASSES)).train(training)
            assert student(SPEC.prepare([scan], backend=backend)).shape == (points, 5)
        assert fold(student)(SPEC.prepare([scan], backend=backend)).shape == (points, 5)


def test_probabilities_of_classes_that_are_one_class_add_up_and_others_never_win():
    torch.manual_seed(0)
    head = SharedHead(AdapterSpec(width=6, classes=CLASSES), 5)
    features, backend = 5 * torch.randn(200, 6), BACKENDS['torch']
    with torch.no_grad():
        theirs = head.logits(features, backend)
        torch.testing.assert_close(theirs, features @ head.classifier.weight.T + head.classifier.bias)
        logits = head(features, backend)
    kept = theirs.exp()[:, [0, 1, 3, 4, 5, 6]]
    kept /= kept.sum(1, keepdim=True)
    expected = torch.stack([kept[:, 0], kept[:, 1] + kept[:, 2], kept[:, 3:].sum(1)], 1)
    torch.testing.assert_close(logits[:, [0, 1, 3]].softmax(1), expected)
    torch.testing.assert_close(logits.softmax(1)[:, 2], torch.full((200,), float(np.exp(UNTAUGHT))))
    assert not set(logits.argmax(1).tolist()) & {2, 4}


def test_classes_that_the_image_network_lacks_are_learnt_from_labels():
    torch.manual_seed(0)
    head = SharedHead(AdapterSpec(width=6, classes=CLASSES), 5)
    features, frozen = torch.randn(200, 6), head.classifier.weight.clone()
    label = torch.where(features[:, 0] > 0, 4, 0)
    optimizer = torch.optim.AdamW(head.parameters(), 0.1)
    for _ in range(300):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(head(features, BACKENDS['torch']), label).backward()
        optimizer.step()
    found = head(features, BACKENDS['torch']).argmax(1)
    assert float((found == 4)[label == 4].float().mean()) > 0.9 and float((found == 4)[label == 0].float().mean()) < 0.1
    assert torch.equal(head.classifier.weight, frozen)


@pytest.mark.parametrize(('options', 'text'), [
    ({'kind': 'lora'}, 'adapter "lora"; choose one of'), ({'ratio': 3}, r'ratio 3; choose one of \[2, 4, 8\]'),
    ({'layers': -1}, '-1 layers'), ({'width': 0}, '0 features')])
def test_an_adapter_that_is_none_is_refused(options, text):
    with pytest.raises(ValueError, match=text):
        AdapterSpec(**options)


@pytest.mark.parametrize('classes', [(-1, -1), (0, 5)])
def test_a_classifier_whose_classes_are_none_of_the_students_is_refused(classes):
    with pytest.raises(ValueError, match=r'expected some of 0\.\.4'):
        SharedHead(AdapterSpec(classes=classes), 5)


TAUGHT = TAXONOMIES['semantickitti-19']
INFO = CheckpointInfo('minkunet14', SPEC, TAUGHT, 0.25, adapter=AdapterSpec(
    'da', 1, 4, 20, (1, 2, -1, 2, 3, 3, 8)), taught=(1, 2, 3, 8))


@pytest.fixture
def path(tmp_path):
    student = adapted(classes=INFO.adapter.classes, num_classes=len(TAUGHT))
    return save_checkpoint(tmp_path / 'student.safetensors', student, INFO)


def test_a_checkpoint_holds_adapter_and_classifier(path):
    student, info = load_checkpoint(path)
    assert info == INFO and not student.head.classifier.weight.requires_grad
    scans = [random_scan(4000, seed) for seed in (3, 4)]
    exact = Predictor.load(path, precision='float32')
    with torch.no_grad():
        for scan in scans:
            batch = SPEC.prepare([scan])
            label = student(batch).argmax(1)[batch.point_voxel].numpy()
            found = exact.predict(scan).label
            inside = (batch.point_voxel >= 0).numpy()
            assert (found == label)[inside].mean() > 0.999
            assert len(np.unique(found)) > 1 and set(np.unique(found)) <= set(INFO.taught)
            rough = Predictor.load(path, precision='bfloat16').predict(scan)
            assert (rough.label == found).mean() > 0.97


def test_a_class_that_was_never_taught_is_no_answer(path):
    student, info = load_checkpoint(path)
    scan = random_scan()
    label = Predictor(student, info).predict(scan).label
    likeliest = int(np.bincount(label).argmax())
    less = replace(info, taught=tuple(i for i in info.taught if i != likeliest))
    assert likeliest not in Predictor(student, less).predict(scan).label


def test_a_backbone_is_refused_where_labels_are_asked(path):
    student, info = load_checkpoint(path)
    save_checkpoint(path, student, replace(info, backbone=True))
    assert load_checkpoint(path)[1].backbone
    with pytest.raises(CheckpointError, match='pre-trained backbone.*fine-tune or probe it first'):
        Predictor.load(path)


def test_checkpoints_from_before_adapters_are_read():
    info = load_checkpoint(Path(__file__).parents[2] / 'config/students/simulated.safetensors')[1]
    assert info.adapter is None and info.taught is None and not info.backbone
