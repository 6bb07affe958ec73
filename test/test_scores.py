# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from ros_kd.scores import Confusion


def test_scores_of_a_case_counted_by_hand():
    confusion = Confusion.empty(3)
    #                     right  right  wrong  "ignore" predicted  truth ignored
    confusion.add(np.array([0, 0, 0, 1, 255], np.uint8), np.array([0, 0, 1, 255, 2], np.uint8))
    assert confusion.total == 4
    np.testing.assert_allclose(confusion.iou, [2 / 3, 0 / 2, np.nan])
    assert confusion.mean_iou == pytest.approx(1 / 3)
    assert confusion.accuracy == pytest.approx(2 / 4)


def test_nothing_to_score_is_not_a_number():
    confusion = Confusion.empty(2)
    assert np.isnan(confusion.mean_iou) and np.isnan(confusion.accuracy)


def test_lengths_must_agree():
    with pytest.raises(ValueError, match='2 predictions for 3 labels'):
        Confusion.empty(2).add(np.zeros(3, np.uint8), np.zeros(2, np.uint8))
