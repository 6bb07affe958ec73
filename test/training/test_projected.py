# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Classes and features of a teacher as targets, with the images of other moments."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from drives import BUILDING, CAR, STREET, VEGETATION, WALL, car, drive_frame, pose

from ros_kd.frames import CameraView, PairedFrame
from ros_kd.images import RawPixels
from ros_kd.projection import OcclusionFilter
from training.evidence import DepthTest, Moments
from training.frames.projected import ClassTargets, FeatureTargets, Projecting
from training.frames.sampling import bilinear_votes
from training.frames.superpixels import Superpixels
from training.teachers import NO_CLASSES, FeatureTeacher
from training.teachers.classifier import Classifier
from training.teachers.frame_labels import FrameLabels

WINDOW = OcclusionFilter(cell=2)  # pixels of these small images are wide
LOOKING = Projecting(WINDOW)


class LabelFeatures(FeatureTeacher):
    """A network whose features are ten times the shares of the label image's classes."""

    identity, width, classifier = 'label features', 12, None

    def __init__(self, classes: bool = True) -> None:
        self.taxonomy = STREET if classes else NO_CLASSES
        if classes:
            self.classifier = Classifier(np.eye(12, dtype=np.float32), np.zeros(12, np.float32))

    def features(self, view: CameraView, uv: np.ndarray) -> np.ndarray:
        return 10 * bilinear_votes(view.labels(), uv, 12)


def painted(frame: PairedFrame, label: int) -> PairedFrame:
    pixels = RawPixels(np.full((120, 160), label, np.uint8))
    return replace(frame, views=tuple(replace(view, label_pixels=pixels) for view in frame.views))


def drive(*seconds: float, boxes: tuple = ()) -> list[PairedFrame]:
    return [drive_frame(t, pose(8 * t), [WALL, *boxes]) for t in seconds]


def test_other_moments_add_points_and_keep_the_weights_within_0_and_1():
    frame, before = drive(1, 0)
    make = ClassTargets(FrameLabels('street-12'), STREET, LOOKING)
    alone, both = make(frame), make(frame, [before])
    assert len(both) > len(alone) + 1000 and set(alone.index) <= set(both.index)
    assert (np.diff(both.index) > 0).all() and both.values.dtype == np.float16 and both.weight.dtype == np.float32
    assert both.weight.min() > 0 and both.weight.max() <= 1
    hard = both.hard(len(frame.scan))
    assert (hard == frame.scan.label)[hard != 255].mean() > 0.99


def test_points_that_images_disagree_about_weigh_less_unless_doubt_is_0():
    frame, before = drive(1, 0)
    frames = painted(frame, BUILDING), [painted(before, VEGETATION)]
    targets = ClassTargets(FrameLabels('street-12'), STREET, LOOKING)(*frames)
    shared = (targets.values.min(1) == 0) & (targets.values.max(1) < 0.95)
    assert shared.sum() > 500 and (targets.weight[shared] < 0.85).all() and (targets.weight[~shared] > 0.8).all()
    p = targets.values[shared].astype(np.float32)
    expected = np.exp((p * np.log(np.maximum(p, 1e-9))).sum(1))
    assert np.allclose(targets.weight[shared], expected, atol=2e-3)
    sure = ClassTargets(FrameLabels('street-12'), STREET, replace(LOOKING, doubt=0.0))(*frames)
    assert np.allclose(sure.weight, 1)


def test_identities_change_with_every_parameter():
    ways = [LOOKING, Projecting(), replace(LOOKING, doubt=0.5), replace(LOOKING, moments=Moments(still=3)),
            replace(LOOKING, moments=Moments(depth=DepthTest(gap=2.0))), replace(LOOKING, moments=Moments(depth=None))]
    for make in (lambda way: ClassTargets(FrameLabels('street-12'), STREET, way),
                 lambda way: FeatureTargets(LabelFeatures(), way)):
        assert len({make(way).identity for way in ways}) == len(ways)
        assert make(Projecting()).identity == make(Projecting()).identity


def test_features_come_from_other_moments_as_classes_do():
    frame, *others = drive(1.5, 0, 0.5, 1, boxes=(car(14, 4),))
    classes = ClassTargets(FrameLabels('street-12'), STREET, replace(LOOKING, mapped=0))(frame, others)
    features = FeatureTargets(LabelFeatures(), LOOKING)(frame, others)
    assert len(features) > len(FeatureTargets(LabelFeatures(), LOOKING)(frame)) + 1000
    common = np.intersect1d(classes.index, features.index)
    assert len(common) > 0.99 * len(features)
    found = [one.values[np.searchsorted(one.index, common)].argmax(1) for one in (classes, features)]
    assert (found[0] == found[1]).mean() > 0.99 and (found[0] == CAR).sum() > 50


def test_features_of_a_teacher_without_classes_come_from_elsewhere_only_where_all_stands_still():
    frame, *others = drive(1.5, 0, 0.5, 1)
    make = FeatureTargets(LabelFeatures(classes=False), LOOKING)
    own = make(frame).index
    one, all_three = (np.setdiff1d(make(frame, some).index, own) for some in (others[:1], others))
    assert len(one) == 0 and len(all_three) > 1000
    features = make(frame, others)
    right = features.values.argmax(1) == frame.scan.label[features.index]
    assert features.values.shape[1] == 12 and right.mean() > 0.99


def test_features_that_point_apart_weigh_less():
    frame, before = drive(1, 0)
    targets = FeatureTargets(LabelFeatures(), LOOKING)(painted(frame, BUILDING), [painted(before, VEGETATION)])
    p = targets.values[:, [BUILDING, VEGETATION]].astype(np.float32) / 10
    assert np.allclose(p.sum(1), 1, atol=1e-2)
    assert np.allclose(targets.weight, np.linalg.norm(p, axis=1), atol=1e-2) and targets.weight.min() < 0.85


def test_a_few_points_are_drawn_the_same_each_time_and_keep_their_superpixels():
    frame, before = drive(1, 0)
    make = FeatureTargets(LabelFeatures(), LOOKING, most=500, cut=Superpixels(12, 10.0))
    targets = make(frame, [before])
    assert len(targets) <= 500 and len(targets) > 450 and (np.diff(targets.index) > 0).all()
    assert np.array_equal(targets.index, make(frame, [before]).index)
    assert (targets.group >= 0).all() and len(targets.group) == len(targets)
    whole = FeatureTargets(LabelFeatures(), LOOKING, cut=Superpixels(12, 10.0))(frame, [before])
    place = np.searchsorted(whole.index, targets.index)
    assert np.array_equal(whole.values[place], targets.values)
    own = np.isin(whole.index, make(frame).index)
    assert not np.isin(whole.group[own], whole.group[~np.isin(whole.index, FeatureTargets(
        LabelFeatures(), LOOKING)(frame).index)]).any()  # superpixels of one image hold no points of another's
