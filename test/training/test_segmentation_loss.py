# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""The loss with labels: balanced, and over points even where they are counted by voxels."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import cross_entropy

from training.losses.lovasz import lovasz_softmax
from training.losses.segmentation import Labelled, SegmentationLoss


@pytest.fixture
def points() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Scores of 6 voxels, and 200 points: their voxel, their label and their weight."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(6, 4, generator=generator, requires_grad=True)
    voxel, label = torch.randint(5, (200,), generator=generator), torch.randint(3, (200,), generator=generator)
    return logits, voxel, label, torch.rand(200, generator=generator)


def test_cross_entropy_with_balanced_classes_and_lovasz(points):
    logits, voxel, label, _ = points
    loss = SegmentationLoss(4, lovasz=0.5)
    mass = torch.tensor([0.8, 0.1, 0.1, 0.0])
    loss.balance(mass, 1 / 3)
    assert loss.class_weight[1] / loss.class_weight[0] == pytest.approx(2.0)  # (0.8 / 0.1) ** (1 / 3)
    expected = cross_entropy(logits[voxel], label, loss.class_weight) + 0.5 * lovasz_softmax(logits[voxel], label)
    assert torch.allclose(loss(logits[voxel], label), expected)


def test_entries_for_voxels_have_the_loss_and_gradient_of_their_points(points):
    logits, voxel, label, weight = points
    loss, labelled = SegmentationLoss(4), Labelled.of(voxel, label, weight)
    assert len(labelled.row) <= 15 and int(labelled.count.sum()) == 200
    values = [loss(logits[voxel], label, weight), loss.at(logits, labelled)]
    assert torch.allclose(*values, atol=1e-6)
    assert torch.allclose(*(torch.autograd.grad(value, logits)[0] for value in values), atol=1e-6)


def test_coarser_entries_are_those_of_the_points(points):
    _, voxel, label, weight = points
    coarser = torch.tensor([1, 0, 1, 1, 0, 2])
    one, other = Labelled.of(voxel, label, weight).at(coarser), Labelled.of(coarser[voxel], label, weight)
    for name in ('row', 'label', 'count'):
        assert torch.equal(getattr(one, name), getattr(other, name))
    assert torch.allclose(one.weight, other.weight)


def test_nothing_is_nothing_with_a_gradient():
    logits, empty = torch.randn(3, 4, requires_grad=True), torch.empty(0, dtype=torch.long)
    value = SegmentationLoss(4).at(logits, Labelled.of(empty, empty, torch.empty(0)).at(torch.tensor([0, 0, 1])))
    value.backward()
    assert float(value.detach()) == 0 and torch.equal(logits.grad, torch.zeros(3, 4))
