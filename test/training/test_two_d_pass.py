# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""2DPASS: what is added to what, which side a loss teaches, and what the release does otherwise."""

from __future__ import annotations

import pytest
import torch
from looked_at import ARCHITECTURES, LOOKING, TINY, batch_of, gradients, learn, student

from ros_kd.label_sets import get_taxonomy
from training.images.backbone import ResNet
from training.images.branch import ImageBranch
from training.images.checkpoint import NetworkInfo, save_image_network
from training.images.network import ImageNetwork
from training.losses.lovasz import lovasz_softmax
from training.methods.fusion_scales import FusionScale, ImageOnly, ReleasedScale, WithoutLearner, majority
from training.methods.two_d_pass import ReleasedTwoDPASS, TwoDPASS


def two_d_pass(architecture: str = 'minkunet14', kind: type[TwoDPASS] = TwoDPASS, **options) -> TwoDPASS:
    torch.manual_seed(0)
    return kind('street-12', student(architecture), image=TINY, looking=LOOKING, hidden=8, **options)


def losses(method: TwoDPASS, batch) -> dict[str, torch.Tensor]:
    return method.losses(batch, method.answer(batch))


def moved(found: dict[str, float], part: str) -> bool:
    return any(value > 0 for name, value in found.items() if name.startswith(part))


def test_a_scale_computes_equation_6_and_the_skip():
    torch.manual_seed(0)
    scale = FusionScale(4, 4, classes=3, hidden=4)
    level, image, rows = torch.randn(5, 4), torch.randn(3, 4), torch.tensor([4, 0, 4])
    said = scale(level, rows, image)
    learnt = torch.relu(level @ scale.learner[0].weight.T + scale.learner[0].bias)
    joined = torch.cat([image, learnt[rows]], 1) @ scale.join.weight.T + scale.join.bias
    gate = torch.sigmoid(joined @ scale.gate.weight.T + scale.gate.bias)
    assert torch.allclose(said.features, image + gate * joined, atol=1e-6)
    assert torch.allclose(said.lidar, scale.lidar_head(level + learnt), atol=1e-6)
    assert torch.allclose(said.fused, scale.fused_head(said.features), atol=1e-6)


def test_scales_of_the_ablation_and_of_the_release_differ_where_they_should():
    torch.manual_seed(0)
    paper, released, fusion, kl = (kind(4, 4, 3, 4) for kind in (FusionScale, ReleasedScale, WithoutLearner, ImageOnly))
    released.load_state_dict(paper.state_dict())
    level, image, rows = torch.randn(5, 4), torch.randn(3, 4), torch.tensor([4, 0, 4])
    a, b = paper(level, rows, image), released(level, rows, image)
    assert torch.allclose(b.features, (a.features - image).relu(), atol=1e-6)  # no residual
    assert torch.allclose(b.lidar, paper.lidar_head(level), atol=1e-6)  # no skip
    assert torch.allclose(fusion(level, rows, image).lidar, fusion.lidar_head(level))
    joined = torch.cat([image, level[rows]], 1) @ fusion.join.weight.T + fusion.join.bias
    assert torch.allclose(fusion(level, rows, image).features, image + torch.sigmoid(fusion.gate(joined)) * joined)
    assert torch.allclose(kl(level, rows, image).fused, kl.fused_head(image))
    assert not any('learner' in name for name, _ in [*fusion.named_parameters(), *kl.named_parameters()])


def test_voxels_are_called_what_most_of_their_points_are():
    voxel = torch.tensor([0, 0, 0, 1, 1, 2, 2, 2, 4])
    values = torch.tensor([1, 1, 0, 2, 0, -1, -1, 1, -1])
    rows, label = majority(voxel, values, 5)
    assert rows.tolist() == [0, 1] and label.tolist() == [1, 0]  # voxel 2 and 4: most points have none; 3: no point
    rows, label = majority(voxel[:0], values[:0], 5)
    assert len(rows) == len(label) == 0


@pytest.mark.parametrize('architecture', ARCHITECTURES)
def test_every_student_learns_by_it(architecture):
    method = two_d_pass(architecture)
    assert len(method.scales) == len(method.student.level_channels)
    batch = batch_of(method, [1, 2])
    found = learn(method, batch, 10)
    assert found[-1] < 0.75 * found[0]
    terms = losses(method, batch)
    assert set(terms) == {'labels', 'lidar', 'fused', 'together', 'divergence'}
    assert all(torch.isfinite(value) for value in terms.values())


def test_the_finest_level_meets_the_finest_scale():
    method = two_d_pass('minkunet14')
    batch = batch_of(method, [1])
    answer = method.answer(batch)
    assert [level.stride for level in answer.levels] == [8, 4, 2, 1]
    seen, given = method.seen(batch, answer.voxels.point_voxel), {}
    for i, scale in enumerate(method.scales):
        scale.register_forward_hook(lambda module, inputs, output, i=i: given.update({i: inputs}))
    method.fused(answer, seen)
    for i, own in enumerate((3, 2, 1, 0)):  # the coarsest level comes first
        level, rows, image = given[i]
        assert level is answer.levels[i].features
        assert torch.equal(image, seen.at(seen.maps.scales[own]))
        point = torch.cat([torch.from_numpy(frame.points) for frame in batch.frames])[seen.rows]
        cell = torch.div((point / 0.5).floor(), answer.levels[i].stride, rounding_mode='floor').long()
        assert torch.equal(answer.levels[i].coordinates[rows], cell)


def test_the_divergence_teaches_the_lidar_side_alone():
    method = two_d_pass()
    terms = losses(method, batch_of(method, [1, 2]))
    found = gradients(method, terms['divergence'])
    assert moved(found, 'student.') and moved(found, 'scales.0.lidar_head') and moved(found, 'scales.0.learner')
    for part in ('images.', 'together.', *(f'scales.{i}.{name}' for i in range(4) for name in
                                           ('fused_head', 'join', 'gate', 'from_image'))):
        assert not moved(found, part), part
    found = gradients(method, terms['fused'])
    assert moved(found, 'images.') and moved(found, 'scales.0.join') and moved(found, 'scales.0.learner')
    assert moved(found, 'student.')  # the 3D features learn to be fused
    assert not moved(found, 'scales.0.lidar_head')


def test_without_fusion_the_images_side_teaches_nothing_but_scores():
    method = two_d_pass(parts='kl')
    found = gradients(method, losses(method, batch_of(method, [1]))['fused'])
    assert moved(found, 'images.') and not moved(found, 'student.')


@pytest.mark.parametrize('unlabelled', [True, False])
def test_frames_without_labels_take_part_in_the_divergence_only(unlabelled):
    method = two_d_pass(unlabelled=unlabelled).eval()
    assert method.learns_without_labels == unlabelled
    alone, mixed = losses(method, batch_of(method, [1])), losses(method, batch_of(method, [1], unlabelled=[2]))
    for name in ('labels', 'lidar', 'fused', 'together'):
        assert torch.allclose(alone[name], mixed[name], atol=1e-5), name
    assert torch.allclose(alone['divergence'], mixed['divergence'], atol=1e-7) != unlabelled


def test_the_auxiliary_losses_weigh_what_is_said():
    method = two_d_pass().eval()
    batch = batch_of(method, [1, 2])
    whole = losses(method, batch)
    method.auxiliary = 0.1
    part = losses(method, batch)
    for name in whole:
        weight = 0.1 if name in ('lidar', 'fused', 'together') else 1.0
        assert torch.allclose(part[name], weight * whole[name], rtol=1e-4), name


def test_consistency_teaches_the_exported_head_where_there_are_no_labels():
    method = two_d_pass(consistency=1.0)
    assert 'consistency' not in losses(two_d_pass(), batch_of(method, [1], unlabelled=[2]))
    assert losses(method, batch_of(method, [1, 2]))['consistency'].item() == 0
    terms = losses(method, batch_of(method, [1], unlabelled=[2]))
    found = gradients(method, terms['consistency'])
    assert terms['consistency'].item() > 0 and moved(found, 'student.head')
    for part in ('images.', 'together.', 'scales.'):
        assert not moved(found, part), part


@pytest.mark.parametrize('kind', [TwoDPASS, ReleasedTwoDPASS])
def test_batches_without_images_or_labels_reach_every_parameter_with_nothing(kind):
    method = two_d_pass(kind=kind)
    blind, unlabelled = batch_of(method, [1], images=False), batch_of(method, [], unlabelled=[1, 2])
    for batch in (blind, unlabelled):
        terms = losses(method, batch)
        assert all(torch.isfinite(value) for value in terms.values())
        found = gradients(method, sum(terms.values()))
        trained = {name for name, value in method.named_parameters() if value.requires_grad}
        assert trained == set(found)  # processes wait for each other's gradients of all parameters
        assert not moved(found, 'images.')


def test_a_frozen_image_network_stays_as_it_is():
    torch.manual_seed(0)
    frozen = type(TINY)(TINY.backbone, TINY.width, frozen=True)
    method = TwoDPASS('street-12', student(), image=frozen, looking=LOOKING, hidden=8)
    before = {name: value.clone() for name, value in method.images.state_dict().items()}
    losses(method, batch_of(method, [1]))  # before any mode is set
    learn(method, batch_of(method, [1]), 2)
    assert all(torch.equal(value, before[name]) for name, value in method.images.state_dict().items())


def test_the_3d_heads_learn_at_the_points():
    method = two_d_pass(balance=0)
    batch = batch_of(method, [1, 2])
    answer = method.answer(batch)
    label = torch.cat([torch.from_numpy(frame.scan.label.astype(int)) for frame in batch.frames])
    voxel = answer.voxels.point_voxel
    expected = torch.nn.functional.cross_entropy(answer.logits[voxel], label) + lovasz_softmax(
        answer.logits[voxel], label)
    assert torch.allclose(method.supervision(batch, answer), expected, atol=1e-5)
    for scale in method.fused(answer, method.seen(batch, voxel)):
        scores = scale.answer.lidar[scale.level[voxel]]
        expected = torch.nn.functional.cross_entropy(scores, label) + lovasz_softmax(scores, label)
        assert torch.allclose(method.lidar_loss([scale], batch, answer), expected, atol=1e-5)


def test_the_release_averages_over_classes_and_labels_voxels():
    method, released = two_d_pass(), two_d_pass(kind=ReleasedTwoDPASS, lovasz=1.0)
    fused, lidar = torch.randn(7, 12), torch.randn(7, 12)
    assert torch.allclose(released.agreement(fused, lidar), method.agreement(fused, lidar) / 12)
    batch = batch_of(released, [1], unlabelled=[2])
    answer = released.answer(batch)
    scale = released.fused(answer, released.seen(batch, answer.voxels.point_voxel))[0]
    loss = released.lidar_loss([scale], batch, answer)
    # by hand: the finest scale's voxels of the labelled frame, each called what most of its points are
    voxel, label = answer.voxels.point_voxel[:600], torch.from_numpy(batch.frames[0].scan.label.astype(int))
    rows = voxel.unique()
    most = torch.stack([label[voxel == row].mode().values for row in rows])
    own = scale.answer.lidar[scale.level[rows]]
    assert torch.allclose(loss, released.segmentation(own, most), atol=1e-5)


def test_the_image_network_can_be_one_that_was_trained_before(tmp_path):
    trained = ImageNetwork(ResNet(TINY.backbone), 8, classes=13)
    info = NetworkInfo(TINY.backbone, 8, get_taxonomy('street-12'), (48, 64), tuple(range(12)))
    file = save_image_network(tmp_path / 'teacher.safetensors', trained, info)
    method = TwoDPASS('street-12', student(), image=ImageBranch(str(file)), looking=LOOKING, hidden=8)
    kept = trained.state_dict()
    assert all(torch.equal(value, kept[name]) for name, value in method.images.state_dict().items())
    assert method.images.training and method.images.width == 8 and method.images.classifier is None


@pytest.mark.parametrize('kind', [TwoDPASS, ReleasedTwoDPASS])
def test_half_precision_has_finite_losses_and_gradients(kind):
    method = two_d_pass(kind=kind)
    batch = batch_of(method, [1])
    with torch.autocast('cpu', torch.bfloat16):
        terms = losses(method, batch)
    whole = losses(method, batch)
    for name, value in terms.items():
        assert value.dtype == torch.float32 and torch.allclose(value, whole[name], rtol=0.1, atol=1e-3), name
    assert all(value < 1e4 for value in gradients(method, sum(terms.values())).values())


def test_unknown_parts_are_refused():
    with pytest.raises(ValueError, match="'kl', 'fusion', 'learner'"):
        two_d_pass(parts='all')
