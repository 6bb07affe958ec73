# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Teachers and the targets made of their answers."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from streets import BUILDING, ROAD, SKY, street

from ros_kd.datasets import open_dataset
from ros_kd.frames import PairedFrame
from ros_kd.images import ImageFile, RawPixels
from ros_kd.label_sets import get_taxonomy
from ros_kd.projection import project
from ros_kd.scores import Confusion
from training.frames.projected import ClassTargets, Projecting
from training.frames.targets import LabelTargets, fold, truth
from training.teachers.files import FeatureFiles, LabelFiles
from training.teachers.frame_labels import FrameLabels

STREET = get_taxonomy('street-12')


def test_probabilities_are_summed_over_the_classes_that_map_to_one():
    matrix = fold(get_taxonomy('cityscapes'), STREET)
    wall_fence_pole = np.zeros(19, np.float32)
    wall_fence_pole[[3, 4, 5, SKY]] = [0.2, 0.3, 0.1, 0.4]
    folded = wall_fence_pole @ matrix
    assert folded[STREET.names.index('static')] == pytest.approx(0.6)
    assert folded.sum() == pytest.approx(0.6)  # nobody's sky


def test_points_learn_the_class_of_their_pixel_and_unseen_points_nothing():
    frame = street()
    targets = ClassTargets(FrameLabels('cityscapes'), STREET, Projecting(occlusion=None))(frame)
    seen = project(frame.points, frame.views[0], None)
    assert np.array_equal(targets.index, seen.index)
    hard = targets.hard(len(frame.scan))
    assert np.array_equal(hard[seen.index], frame.scan.label[seen.index])
    assert (np.delete(hard, seen.index) == 255).all()


def test_a_point_in_the_sky_is_left_out_and_half_a_sky_halves_the_weight():
    frame = street()
    labels = np.full((60, 80), SKY, np.uint8)
    labels[:, ::2] = ROAD
    view = replace(frame.views[0], label_pixels=RawPixels(labels))
    make = ClassTargets(FrameLabels('cityscapes'), STREET, Projecting(None, mapped=0.25))
    targets = make(replace(frame, views=(view,)))
    seen = project(frame.points, view, None)
    share = 1 - np.abs(seen.uv[:, 0] - 2 * np.rint(seen.uv[:, 0] / 2))  # of the even column beside the point
    inside = (share >= 0.25) & (seen.uv[:, 0] > 0) & (seen.uv[:, 0] < 79)
    place = np.searchsorted(targets.index, seen.index[inside])
    assert np.allclose(targets.weight[place], share[inside], atol=1e-4)
    assert np.allclose(targets.values[:, 0], 1)


def test_two_cameras_are_averaged():
    frame = street()
    second = replace(frame.views[0], name='second', label_pixels=RawPixels(np.full((60, 80), BUILDING, np.uint8)))
    targets = ClassTargets(FrameLabels('cityscapes'), STREET, Projecting(None))(
        replace(frame, views=(frame.views[0], second)))
    low = frame.points[targets.index, 2] < 0
    assert np.allclose(targets.values[low][:, [0, 3]], 0.5)


def test_unsure_answers_teach_nothing():
    frame = street()
    second = replace(frame.views[0], label_pixels=RawPixels(np.full((60, 80), BUILDING, np.uint8)))
    both = replace(frame, views=(frame.views[0], second))
    targets = ClassTargets(FrameLabels('cityscapes'), STREET, Projecting(None, confidence=0.8))(both)
    assert len(targets) and (frame.points[targets.index, 2] > 0).all()


def test_what_was_ahead_before_teaches_what_is_beside_now_unless_it_moves():
    before, turned = street(points=3000), np.diag([-1.0, -1, 1, 1])
    now = PairedFrame(replace(before.scan, points=before.points @ turned[:3, :3].astype(np.float32)), (), 'now', turned)
    before = replace(before, world_from_lidar=np.eye(4))
    make = ClassTargets(FrameLabels('cityscapes'), STREET)
    targets = make(now, [before])
    direct = make(before)
    assert len(targets) > 0.9 * len(direct)
    assert set(targets.index) <= set(project(before.points, before.views[0], None).index)
    assert (now.points[targets.index, 0] < 0).all()
    cars = replace(before.views[0], label_pixels=RawPixels(np.full((60, 80), 13, np.uint8)))
    assert len(make(now, [replace(before, views=(cars,))])) == 0


def test_a_point_that_the_other_scan_does_not_confirm_is_not_taught():
    before = replace(street(points=3000), world_from_lidar=np.eye(4))
    make = ClassTargets(FrameLabels('cityscapes'), STREET)
    nearer = replace(before, scan=replace(before.scan, points=before.points * np.float32(0.2)), views=())
    assert len(make(before)) > 300
    assert len(make(nearer, [before])) == 0


def test_3d_labels_become_one_hot():
    frame = street()
    targets = LabelTargets(STREET)(frame)
    assert np.array_equal(targets.hard(len(frame.scan)), frame.scan.label)
    with pytest.raises(ValueError, match='street0 has no 3D labels'):
        LabelTargets(STREET)(street(labels=False))


def test_simulated_errors_come_in_the_asked_share_and_in_the_same_places():
    frame, uv = street(), np.argwhere(np.ones((60, 80)))[:, ::-1].astype(np.float32)
    right = FrameLabels('cityscapes').probabilities(frame.views[0], uv).argmax(1)
    answers = [FrameLabels('cityscapes', errors=0.3, block=4).probabilities(frame.views[0], uv).argmax(1) for _ in '12']
    assert np.array_equal(*answers)
    assert 0.2 < (answers[0] != right).mean() < 0.36


def test_a_missing_or_foreign_label_image_is_named():
    frame = street()
    with pytest.raises(ValueError, match='"front" has no label image'):
        FrameLabels('cityscapes').probabilities(replace(frame.views[0], label_pixels=None), np.zeros((1, 2)))
    with pytest.raises(ValueError, match='"cityscapes".*"sim-12"'):
        FrameLabels('sim-12').probabilities(frame.views[0], np.zeros((1, 2)))


def _on_disk(tmp_path, frame: PairedFrame):
    image = tmp_path / 'data' / 'drive' / 'image_2' / '000001.png'
    image.parent.mkdir(parents=True)
    cv2.imwrite(str(image), np.zeros((60, 80, 3), np.uint8))
    return replace(frame.views[0], pixels=ImageFile(image))


def test_label_files_are_found_by_the_longest_ending_of_the_images_path(tmp_path):
    view = _on_disk(tmp_path, street())
    for place, class_id in (('image_2/000001.png', 5), ('drive/image_2/000001.png', 8),
                            ('other/image_2/000001.png', 1)):
        (tmp_path / 'answers' / place).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(tmp_path / 'answers' / place), np.full((60, 80), class_id, np.uint8))
    teacher = LabelFiles(tmp_path / 'answers')
    assert teacher.probabilities(view, np.array([[3, 4]], np.float32)).argmax() == 8
    cv2.imwrite(str(tmp_path / 'answers/drive/image_2/000001.png'), np.zeros((30, 40), np.uint8))
    with pytest.raises(ValueError, match=r'drive/image_2/000001.png has shape \(30, 40\).*80x60'):
        teacher.probabilities(view, np.zeros((1, 2), np.float32))
    with pytest.raises(ValueError, match='no answer for .*x/y.png'):
        elsewhere = replace(view, pixels=ImageFile(tmp_path / 'x/y.png'))
        LabelFiles(tmp_path / 'data').probabilities(elsewhere, np.zeros((1, 2)))


def test_feature_files_give_the_softmax_of_the_classifier(tmp_path):
    view = _on_disk(tmp_path, street())
    random = np.random.default_rng(0)
    weight, bias = random.normal(size=(20, 4)).astype(np.float32), random.normal(size=20).astype(np.float32)
    features = random.normal(size=(4, 15, 20)).astype(np.float16)
    (tmp_path / 'net/features/image_2').mkdir(parents=True)
    np.savez(tmp_path / 'net/classifier.npz', weight=weight, bias=bias)
    np.savez(tmp_path / 'net/features/image_2/000001.npz', features=features)
    teacher = FeatureFiles('net', temperature=2.0)
    teacher.locate(tmp_path)
    found = teacher.probabilities(view, np.array([[5.5, 9.5]], np.float32))  # the centre of cell (1, 2)
    logits = (weight @ features[:, 2, 1].astype(np.float32) + bias) / 2
    expected = np.exp(logits) / np.exp(logits).sum()
    assert np.allclose(found[0], expected[:19], atol=1e-5)
    assert found.sum() < 1  # the background keeps its mass


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(ValueError, match='absent does not exist'):
        FeatureFiles('absent').locate(tmp_path)


@pytest.mark.parametrize('kind', ['features', 'labels'])
def test_a_real_network_is_right_at_most_points_of_a_real_scan(real_data, kind):
    folder = real_data / 'teacher' / 'dicenet'
    teacher = FeatureFiles(folder, subsampling=2) if kind == 'features' else LabelFiles(folder / 'labels')
    frame = open_dataset(f'semantickitti:{real_data}/semantickitti?sequences=00')[0]
    confusion = Confusion.empty(12)
    expected = truth(frame, STREET)
    targets = ClassTargets(teacher, STREET)(frame)
    confusion.add(expected[targets.index], targets.values.argmax(1))
    assert confusion.total > 15000
    assert confusion.accuracy > 0.7  # 0.72 measured; a pixel grid that is off by a few cells loses this
    assert confusion.iou[STREET.names.index('road')] > 0.8 and confusion.iou[STREET.names.index('car')] > 0.75
