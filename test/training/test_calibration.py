# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Temperatures that make confidences mean what they say."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from streets import write_drive

from ros_kd.label_sets import TAXONOMIES
from ros_kd.students.checkpoint import CheckpointInfo
from ros_kd.students.inputs import InputSpec
from ros_kd.taxonomy import Taxonomy
from training.scores.calibration import PER_FRAME, TemperatureFit, calibrate

THREE = Taxonomy('three', ('a', None, 'b', 'c'), ((0, 0, 0),) * 4)
USED = [0, 2, 3]


def honest(points=6000, seed=0):
    """Return logits [M, 3] and one-hot labels drawn from their softmax."""
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(points, 3, generator=generator)
    label = torch.multinomial(logits.softmax(1), 1, generator=generator)[:, 0]
    return logits, torch.nn.functional.one_hot(label, 3).float()


def fitted(logits, target):
    fit, whole = TemperatureFit(THREE), torch.full((2, len(logits), 4), 50.0)
    whole[0][:, USED], whole[1][:, USED] = logits, target
    fit.add(whole[0], whole[1])
    return fit.fit()


@pytest.mark.parametrize('factor', [0.25, 1.0, 4.0])
def test_the_temperature_undoes_what_made_answers_over_or_underconfident(factor):
    logits, target = honest()
    found = fitted(factor * logits, target)
    assert found.temperature == pytest.approx(factor, rel=0.05)
    assert found.points == 6000 and found.after < 0.02
    if factor != 1.0:
        assert found.before > 3 * found.after


def test_soft_targets_are_matched_too():
    logits, _ = honest()
    assert fitted(3 * logits, logits.softmax(1)).temperature == pytest.approx(3, rel=0.01)


def test_a_large_frame_counts_no_more_than_others_and_none_gives_nothing():
    logits, target = honest(20_000)
    assert fitted(logits, target).points == PER_FRAME
    assert TemperatureFit(THREE).fit() is None
    assert fitted(logits[:0], target[:0]) is None


class Road(torch.nn.Module):
    """Says road everywhere, three times too surely for a share of road of three quarters or so."""

    def forward(self, batch):
        logits = torch.zeros(len(batch.tensor), len(TAXONOMIES['street-12']))
        logits[:, 0] = 12.0
        return logits


def test_a_student_is_calibrated_on_labelled_frames(tmp_path):
    data = f'semantickitti:{write_drive(tmp_path, 3)}'
    info = CheckpointInfo('minkunet14', InputSpec(0.5, (-20, -20, -4), (20, 20, 4), ('z',)), TAXONOMIES['street-12'])
    found = calibrate(Road(), info, [data])
    assert found.temperature > 3 and found.after < found.before
    assert found.points == 3 * 600 and np.isfinite(found.after)
    with pytest.raises(ValueError, match='no labelled points in range'):
        far = CheckpointInfo('minkunet14', InputSpec(0.5, (90, 90, -4), (99, 99, 4), ('z',)), info.taxonomy)
        calibrate(Road(), far, [data])
