# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Metrics against values counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from ros_kd.scores import Confusion
from training.scores.metrics import Calibration, frequency_weighted_iou


def _confusion(truth: list[int], predicted: list[int], classes: int = 3) -> Confusion:
    confusion = Confusion.empty(classes)
    confusion.add(np.array(truth, np.uint8), np.array(predicted, np.uint8))
    return confusion


def test_iou_accuracy_and_frequency_weighting_are_those_counted_by_hand():
    # class 0: TP 2, FN 1, FP 1 -> 2/4; class 1: TP 1, FN 1, FP 1 -> 1/3; class 2 has no labelled point
    confusion = _confusion([0, 0, 0, 1, 1], [0, 0, 1, 1, 0])
    assert confusion.iou[:2] == pytest.approx([1 / 2, 1 / 3])
    assert np.isnan(confusion.iou[2])
    assert confusion.mean_iou == pytest.approx(5 / 12)
    assert confusion.accuracy == pytest.approx(3 / 5)
    assert frequency_weighted_iou(confusion) == pytest.approx((3 * 1 / 2 + 2 * 1 / 3) / 5)


def test_a_point_without_truth_is_left_out_but_one_without_prediction_is_an_error():
    confusion = _confusion([0, 0, 255, 1], [0, 255, 1, 1])
    assert confusion.total == 3
    assert confusion.iou[:2] == pytest.approx([1 / 2, 1])
    assert confusion.accuracy == pytest.approx(2 / 3)


def test_a_class_predicted_but_never_true_costs_the_others_and_has_no_iou_of_its_own():
    confusion = _confusion([0, 0], [0, 2])
    assert confusion.mean_iou == pytest.approx(1 / 2)


def test_adding_in_parts_equals_adding_at_once():
    random = np.random.default_rng(0)
    truth, predicted = random.integers(0, 4, (2, 1000)).astype(np.uint8)
    whole, parts = Confusion.empty(3), Confusion.empty(3)
    whole.add(truth, predicted)
    for part in (slice(0, 300), slice(300, None)):
        parts.add(truth[part], predicted[part])
    assert np.array_equal(whole.counts, parts.counts)
    assert whole.counts[0, 3] == ((truth == 0) & (predicted == 3)).sum()


def test_calibration_error_is_the_gap_between_confidence_and_accuracy():
    calibration = Calibration.empty(10)
    truth = np.zeros(10, np.uint8)
    predicted = np.array([0] * 6 + [1] * 4, np.uint8)
    calibration.add(truth, predicted, np.full(10, 0.85, np.float32))  # 85 % sure, 60 % right
    assert calibration.error == pytest.approx(0.25, abs=1e-6)


def test_calibration_of_two_bins_is_weighted_by_their_points():
    calibration = Calibration.empty(2)
    calibration.add(np.zeros(4, np.uint8), np.array([0, 0, 0, 1], np.uint8), np.array([1, 1, 1, 0.2]))
    assert calibration.error == pytest.approx((3 * 0 + 0.2) / 4)
