# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Augmentation keeps points, targets and pixels together."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from streets import street

from ros_kd.frames import Scan
from ros_kd.label_sets import get_taxonomy
from ros_kd.projection import project
from ros_kd.taxonomy import IGNORE
from training.frames.augmentation import Augmentation, Sample, collage, cut, join
from training.frames.projected import ClassTargets, Projecting
from training.frames.targets import Knowledge, LabelTargets
from training.teachers.frame_labels import FrameLabels

STREET = get_taxonomy('street-12')


def _sample(seed: int = 0) -> Sample:
    frame = street(seed)
    return Sample(frame, Knowledge(LabelTargets(STREET)(frame)))


def _agrees(sample: Sample) -> bool:
    """The targets of a labelled sample still are the labels of its points."""
    label = sample.known.labels.hard(len(sample.frame.scan))
    return np.array_equal(label[sample.known.labels.index], sample.frame.scan.label[sample.known.labels.index])


def test_targets_stay_with_their_points_through_all_changes():
    augmented = Augmentation(dropout=0.5, noise=0.01)([_sample()], np.random.default_rng(0))
    assert 250 < len(augmented.frame.scan) < 600
    assert len(augmented.known.labels) == len(augmented.frame.scan)
    assert _agrees(augmented)


def test_moved_points_are_seen_at_the_same_pixels():
    sample = _sample()
    moved = Augmentation(dropout=0, intensity=0)([sample], np.random.default_rng(3))
    assert not np.allclose(moved.frame.points, sample.frame.points, atol=0.5)
    before, after = (project(s.frame.points, s.frame.views[0], None) for s in (sample, moved))
    assert np.array_equal(before.index, after.index)
    assert np.allclose(before.uv, after.uv, atol=1e-2)


def test_scale_flip_and_rotation_change_distances_only_by_the_scale():
    sample = _sample()
    moved = Augmentation(scale=0.05, translation=0, dropout=0)([sample], np.random.default_rng(1))
    ratio = np.linalg.norm(moved.frame.points, axis=1) / np.linalg.norm(sample.frame.points, axis=1)
    assert ratio.std() < 1e-5 and 0.95 <= ratio.mean() <= 1.05


def test_all_directions_are_drawn():
    sample, random = _sample(), np.random.default_rng(0)
    augmentation = Augmentation(flip=False, scale=0, translation=0, dropout=0)
    first = [augmentation([sample], random).frame.points[0] for _ in range(200)]
    angles = np.degrees([np.arctan2(p[1], p[0]) for p in first])
    assert np.histogram(angles, 4, (-180, 180))[0].min() > 30


def test_the_same_generator_draws_the_same():
    one, other = (Augmentation()([_sample()], np.random.default_rng(5)).frame.points for _ in '12')
    assert np.array_equal(one, other)


def test_four_forward_views_make_a_scan_that_is_labelled_all_around():
    make = ClassTargets(FrameLabels('cityscapes'), STREET, Projecting(None))
    samples = [Sample(frame, Knowledge(make(frame))) for frame in map(street, range(4))]
    one = samples[0]
    assert np.abs(np.degrees(np.arctan2(*one.frame.points[one.known.labels.index, 1::-1].T))).max() < 45
    together = Augmentation(sector=90, dropout=0)(samples, np.random.default_rng(0))
    azimuth = np.arctan2(*together.frame.points[together.known.labels.index, 1::-1].T)
    assert np.histogram(azimuth, 8, (-np.pi, np.pi))[0].min() > 5
    assert len(together.known.labels) >= 0.9 * sum(len(sample.known.labels) for sample in samples)
    assert together.frame.views == ()
    assert _agrees(together)


def test_a_cut_sector_faces_forward():
    sample = _sample()
    behind = replace(sample.known.labels, index=np.nonzero(sample.frame.points[:, 0] < -8)[0])
    labels = sample.known.labels
    behind = replace(behind, values=labels.values[behind.index], weight=labels.weight[behind.index])
    part = cut(Sample(sample.frame, Knowledge(behind)), 60, np.random.default_rng(0))
    assert np.abs(np.degrees(np.arctan2(*part.frame.points[:, 1::-1].T))).max() <= 30.01


@pytest.mark.parametrize('half, width', [(180, 360), (45, 18), (90, 108)])
def test_any_sector_that_is_labelled_well_is_drawn(half, width):
    turn = np.arange(-180, 180, 0.25)  # degrees, in z
    xyz = np.stack([9 * np.cos(np.radians(turn)), 9 * np.sin(np.radians(turn)), turn], 1).astype(np.float32)
    label = np.where(np.abs(turn) < half, 3, IGNORE).astype(np.uint16)
    frame = replace(street(), scan=Scan(0, xyz, label=label, taxonomy=STREET))
    sample, random = Sample(frame, Knowledge(LabelTargets(STREET)(frame))), np.random.default_rng(0)
    middles = []
    for _ in range(200):
        part = cut(sample, 90, random).frame.points
        middles.append(part[np.abs(np.arctan2(part[:, 1], part[:, 0])).argmin(), 2])
    assert np.ptp(middles) == pytest.approx(width, abs=0.1 * width + 2)


def test_joined_scans_drop_columns_that_one_lacks():
    bare = replace(street(1), scan=replace(street(1).scan, intensity=None))
    joined = join([_sample(0), Sample(bare, Knowledge(LabelTargets(STREET)(bare)))])
    assert joined.frame.scan.intensity is None and len(joined.frame.scan) == 1200
    assert _agrees(joined)


def test_a_collage_keeps_every_point():
    assert len(collage([_sample(0), _sample(1)], np.random.default_rng(0)).frame.scan) == 1200


def test_impossible_settings_are_named():
    with pytest.raises(ValueError, match='dropout 1.5'):
        Augmentation(dropout=1.5)
