# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Losses against their definitions, written out plainly, and against numbers that were worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck
from torch.nn import functional

from training.losses.contrast import Pairs, draw, draw_apart, info_nce, pooled, retrieval
from training.losses.divergence import balance, kl_divergence, kl_divergence_per_entry, soft_cross_entropy
from training.losses.features import cosine_distance, squared_distance, unit
from training.losses.lovasz import lovasz, lovasz_softmax
from training.losses.reduction import weighted_mean


def _random(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64).requires_grad_()


def _lovasz_by_definition(probabilities: Tensor, labels: Tensor) -> float:
    """Eq. 8 and 9 of Berman et al.: the Jaccard loss of growing sets of wrong points, one point at a time."""
    losses = []
    for c in sorted(set(labels.tolist())):
        own = (labels == c).tolist()
        errors = [1 - p if o else p for p, o in zip(probabilities[:, c].tolist(), own)]
        total, wrong, before = 0.0, set(), 0.0
        for i in sorted(range(len(own)), key=lambda i: -errors[i]):
            wrong.add(i)
            truth = {j for j, o in enumerate(own) if o}
            intersection, union = len(truth - wrong), len(truth | wrong)
            jaccard = 1 - intersection / union
            total += errors[i] * (jaccard - before)
            before = jaccard
        losses.append(total)
    return sum(losses) / len(losses)


@pytest.mark.parametrize('seed', range(3))
def test_lovasz_is_its_definition(seed):
    probabilities = _random(40, 5, seed=seed).softmax(1)
    labels = torch.randint(0, 4, (40,), generator=torch.Generator().manual_seed(seed))  # class 4 is absent
    loss = lovasz(probabilities, labels).item()
    assert loss == pytest.approx(_lovasz_by_definition(probabilities, labels))


def test_lovasz_of_two_points_by_hand():
    # Class 0: errors 0.4 (its point), 0.7 (the other), Jaccard 1/2 then 1. Class 1: 0.7 (its point), 0.4: 1 then 1.
    probabilities = torch.tensor([[0.6, 0.4], [0.7, 0.3]])
    expected = ((0.7 * 0.5 + 0.4 * 0.5) + (0.7 * 1 + 0.4 * 0)) / 2
    assert float(lovasz(probabilities, torch.tensor([0, 1]))) == pytest.approx(expected)


def test_lovasz_of_hard_answers_is_one_minus_the_iou():
    labels, answer = torch.tensor([0, 0, 0, 1, 1, 1]), torch.tensor([0, 0, 1, 1, 1, 2])
    loss = lovasz(functional.one_hot(answer, 3).double(), labels)
    assert float(loss) == pytest.approx(1 - (2 / 3 + 2 / 4) / 2)


def test_lovasz_gradient_and_logits():
    logits, labels = _random(9, 3, seed=4), torch.tensor([0, 0, 0, 1, 1, 2, 2, 2, 2])
    assert gradcheck(lambda x: lovasz_softmax(x, labels), logits)
    assert lovasz_softmax(logits, labels).item() == lovasz(logits.softmax(1), labels).item()


def test_lovasz_without_points_and_with_one_class():
    empty = _random(0, 3)
    loss = lovasz_softmax(empty, torch.zeros(0, dtype=torch.int64))
    loss.backward()
    assert float(loss) == 0 and empty.grad.shape == (0, 3)
    labels = torch.zeros(4, dtype=torch.int64)
    assert float(lovasz_softmax(_random(4, 1), labels)) == 0
    probabilities = torch.tensor([[0.9, 0.1], [0.7, 0.3], [0.5, 0.5], [0.5, 0.5]])
    assert float(lovasz(probabilities, labels)) == pytest.approx((0.1 + 0.3 + 0.5 + 0.5) / 4)


def test_lovasz_refuses_ignored_points():
    with pytest.raises(ValueError, match='labels 0 to 255 for 3 classes: leave ignored points out'):
        lovasz_softmax(_random(2, 3), torch.tensor([0, 255]))


def test_divergence_of_two_coins_by_hand():
    teacher, student = torch.tensor([[0.5, 0.5]]), torch.tensor([[0.8, 0.2]])
    forward = 0.5 * math.log(0.5 / 0.8) + 0.5 * math.log(0.5 / 0.2)  # D(teacher || student), not the other one
    backward = 0.8 * math.log(0.8 / 0.5) + 0.2 * math.log(0.2 / 0.5)
    assert abs(forward - backward) > 0.01
    found = kl_divergence(teacher_logits=teacher.log(), student_logits=student.log())
    assert float(found) == pytest.approx(forward, rel=1e-5)


def test_divergence_agrees_with_torch_and_its_released_mean():
    teacher, student = _random(7, 4), _random(7, 4, seed=1)
    expected = functional.kl_div(student.log_softmax(1), teacher.softmax(1), reduction='batchmean')
    assert torch.allclose(kl_divergence(teacher_logits=teacher, student_logits=student), expected)
    released = functional.kl_div(student.log_softmax(1), teacher.softmax(1), reduction='none').mean()
    assert torch.allclose(kl_divergence_per_entry(teacher_logits=teacher, student_logits=student), released)
    hot = 9 * functional.kl_div((student / 3).log_softmax(1), (teacher / 3).softmax(1), reduction='batchmean')
    assert torch.allclose(kl_divergence(teacher_logits=teacher, student_logits=student, temperature=3), hot)


def test_the_teacher_gets_no_gradient():
    teacher, student = _random(6, 3), _random(6, 3, seed=1)
    for loss in (kl_divergence(teacher_logits=teacher, student_logits=student),
                 kl_divergence_per_entry(teacher_logits=teacher, student_logits=student),
                 cosine_distance(teacher_features=teacher, student_features=student),
                 squared_distance(teacher_features=teacher, student_features=student)):
        student.grad = None
        loss.backward()
        assert teacher.grad is None and student.grad.abs().sum() > 0


def test_the_sides_of_a_divergence_have_no_places():
    with pytest.raises(TypeError):
        kl_divergence(_random(2, 2), _random(2, 2))


def test_divergence_gradients():
    teacher, student, weight = _random(6, 3), _random(6, 3, seed=1), torch.arange(6.0, dtype=torch.float64)
    assert gradcheck(lambda x: kl_divergence(teacher_logits=teacher, student_logits=x, temperature=2, weight=weight),
                     student)
    probabilities = teacher.softmax(1).detach()
    # By hand: dD/dz_c = (q_c - p_c) / M.
    loss = kl_divergence(teacher_logits=teacher, student_logits=student)
    gradient, = torch.autograd.grad(loss, student)
    assert torch.allclose(gradient, (student.softmax(1) - probabilities) / 6)


def test_certain_teachers_are_no_nan():
    certain, student = torch.tensor([[1.0, 0, 0]], dtype=torch.float64), _random(1, 3)
    loss = kl_divergence(teacher_logits=certain.log(), student_logits=student)
    loss.backward()
    assert torch.allclose(loss, functional.cross_entropy(student, torch.tensor([0]))) and student.grad.isfinite().all()


def test_weights_are_shares_of_the_mean():
    values = torch.tensor([1.0, 2, 6], dtype=torch.float64, requires_grad=True)
    assert float(weighted_mean(values)) == 3
    assert float(weighted_mean(values, torch.tensor([3.0, 1, 0]))) == 1.25
    nothing = weighted_mean(values, torch.zeros(3))
    nothing.backward()
    assert float(nothing) == 0 and (values.grad == 0).all()


@pytest.mark.parametrize('loss', [
    lambda x, w: kl_divergence(teacher_logits=x.detach() + 1, student_logits=x, weight=w),
    lambda x, w: cosine_distance(teacher_features=x.detach() + 1, student_features=x, weight=w),
    lambda x, w: squared_distance(teacher_features=x.detach() + 1, student_features=x, weight=w),
    lambda x, w: info_nce(Pairs(x, x.detach() + 1, w)),
    lambda x, w: soft_cross_entropy(x, x.detach().softmax(1), w[:, None]),
], ids=['kl', 'cosine', 'l2', 'info nce', 'cross-entropy'])
def test_no_points_and_no_weight_are_no_loss(loss):
    for points in (0, 5):
        features = _random(points, 3)
        value = loss(features, torch.zeros(points, dtype=torch.float64))
        value.backward()
        assert float(value) == 0 and (features.grad == 0).all()


def test_info_nce_by_hand():
    # Cosines: rows of [[1, 0], [0, 1]], at T = 0.5: -log(e^2 / (e^2 + 1)) each.
    pairs = Pairs(torch.tensor([[2.0, 0], [0, 3]]), torch.tensor([[5.0, 0], [0, 0.1]]))
    assert float(info_nce(pairs, 0.5)) == pytest.approx(-math.log(math.e ** 2 / (math.e ** 2 + 1)), rel=1e-5)


def test_info_nce_is_its_definition_from_points_to_pixels():
    points, pixels, weight = _random(6, 4), _random(6, 4, seed=1), torch.tensor([1.0, 0.5, 0, 1, 1, 0.2])
    terms = []
    for i in range(6):
        cosine = [float(functional.cosine_similarity(points[i], pixels[j], dim=0)) / 0.07 for j in range(6)]
        terms.append(-cosine[i] + math.log(sum(math.exp(s) for s in cosine)))
    expected = sum(w * t for w, t in zip(weight.tolist(), terms)) / float(weight.sum())
    assert float(info_nce(Pairs(points, pixels, weight.double()))) == pytest.approx(expected)
    swapped = float(info_nce(Pairs(pixels, points, weight.double())))
    assert swapped != pytest.approx(expected)


def test_info_nce_gradients_go_through_both_sides():
    weight = torch.tensor([1.0, 0.5, 0, 1], dtype=torch.float64)
    assert gradcheck(lambda x, y: info_nce(Pairs(x, y, weight), 0.5), (_random(4, 3), _random(4, 3, seed=1)))


def test_one_pair_has_nothing_to_choose():
    assert float(info_nce(Pairs(_random(1, 4), _random(1, 4, seed=1)))) == 0


def test_half_precision_tells_similar_pixels_apart():
    points = (1 + 0.02 * _random(64, 8)).detach().float()
    exact = info_nce(Pairs(points, points))
    with torch.autocast('cpu', torch.bfloat16):
        assert float(info_nce(Pairs(points, points))) == pytest.approx(float(exact), rel=1e-6)


def test_retrieval_counts_points_that_find_their_pixel():
    pixels = torch.eye(4)
    assert float(retrieval(Pairs(pixels[[0, 1, 2, 2]], pixels))) == 0.75
    assert math.isnan(retrieval(Pairs(pixels[:0], pixels[:0])))


def test_drawn_rows_are_different_and_repeatable():
    rows = draw(1000, 100, torch.Generator().manual_seed(3))
    assert len(rows) == len(rows.unique()) == 100 and rows.max() < 1000
    assert torch.equal(rows, draw(1000, 100, torch.Generator().manual_seed(3)))
    assert not torch.equal(rows, draw(1000, 100, torch.Generator().manual_seed(4)))
    assert torch.equal(draw(5, 100, torch.Generator()), torch.arange(5)) and len(draw(0, 100, torch.Generator())) == 0


def test_rows_that_are_drawn_apart_share_no_place():
    place = torch.tensor([7, 7, 7, 3, 3, 9] * 100)
    taken = set()
    for seed in range(20):
        rows = draw_apart(place, 10, torch.Generator().manual_seed(seed))
        assert sorted(place[rows].tolist()) == [3, 7, 9]
        taken |= set(rows.tolist())
    assert len(taken) > 50  # any of a place's rows
    assert len(draw_apart(torch.arange(50), 10, torch.Generator().manual_seed(0)).unique()) == 10
    assert len(draw_apart(place[:0], 10, torch.Generator())) == 0


def test_groups_are_weighted_means_of_unit_vectors():
    points = torch.tensor([[2.0, 0], [0, 5], [1, 0], [0, 1], [1, 1]])
    pixels = torch.tensor([[0.0, 1], [0, 1], [3, 0], [3, 0], [1, 1]])
    group, weight = torch.tensor([7, 7, 40, 7, -1]), torch.tensor([1.0, 0.5, 0.25, 0, 1])
    pairs = pooled(Pairs(points, pixels, weight), group)
    assert torch.allclose(pairs.points, torch.tensor([[2 / 3, 1 / 3], [1, 0]]))
    assert torch.allclose(pairs.pixels, torch.tensor([[0.0, 1], [1, 0]]))
    assert torch.allclose(pairs.weight, torch.tensor([0.75, 0.25]))
    assert len(pooled(Pairs(points, pixels, torch.zeros(5)), group)) == 0
    assert len(pooled(Pairs(points[:0], pixels[:0]), group[:0])) == 0


def test_pooled_contrast_has_gradients():
    group = torch.tensor([0, 0, 1, 2, 2])
    assert gradcheck(lambda x, y: info_nce(pooled(Pairs(x, y), group), 0.5), (_random(5, 3), _random(5, 3, seed=1)))


def test_feature_distances_by_hand():
    teacher, student = torch.tensor([[3.0, 4], [1, 0]]), torch.tensor([[6.0, 8], [0, 2]])
    assert float(cosine_distance(teacher_features=teacher, student_features=student)) == pytest.approx(0.5)
    assert float(squared_distance(teacher_features=teacher, student_features=student)) == pytest.approx(
        ((9 + 16) / 2 + (1 + 4) / 2) / 2)
    weight = torch.tensor([3.0, 1])
    assert float(cosine_distance(teacher_features=teacher, student_features=student, weight=weight)) == pytest.approx(
        0.25)


def test_feature_distances_have_gradients():
    teacher, weight = _random(4, 3), torch.tensor([1.0, 0, 2, 1], dtype=torch.float64)
    for loss in (cosine_distance, squared_distance):
        assert gradcheck(lambda x: loss(teacher_features=teacher, student_features=x, weight=weight),
                         _random(4, 3, seed=1))


def test_vectors_of_no_length_have_bounded_gradients():
    zero = torch.zeros(2, 3, requires_grad=True)
    (unit(zero).sum() + cosine_distance(teacher_features=torch.ones(2, 3), student_features=zero)).backward()
    assert zero.grad.abs().max() <= 2000


def test_balance_evens_out_classes():
    mass = torch.tensor([0.8, 0.1, 0.1, 0])
    assert torch.allclose(balance(mass, 1.0)[:3] * mass[:3], torch.full((3,), 1 / 3))
    cube = balance(mass, 1 / 3)
    assert float(cube[1] / cube[0]) == pytest.approx(2) and float((cube * mass).sum()) == pytest.approx(1)
    assert torch.allclose(balance(mass, 0.0), torch.ones(4))
