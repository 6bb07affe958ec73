# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Pictures of a student's features."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from streets import street, write_drive

from ros_kd.label_sets import get_taxonomy
from ros_kd.students.checkpoint import CheckpointInfo, load_checkpoint, save_checkpoint
from ros_kd.students.inputs import InputSpec
from ros_kd.students.predictor import Predictor
from training.__main__ import main
from training.scores.feature_pictures import FeatureExtractor, FrameFeatures, Principal, draw_frame, embedded, sampled

STREET = get_taxonomy('street-12')


@pytest.fixture
def checkpoint(tmp_path) -> Path:
    """An untrained student."""
    torch.manual_seed(0)
    inputs = InputSpec(0.5, (-13, -20, -4), (20, 20, 4), ('z', 'intensity'))
    info = CheckpointInfo('minkunet14', inputs, STREET, 0.25)
    return save_checkpoint(tmp_path / 'student.safetensors', info.build(), info)


def clusters(count: int = 40, channels: int = 8) -> tuple[np.ndarray, np.ndarray]:
    """Features around three centres, and which."""
    random = np.random.default_rng(0)
    kind = np.arange(3 * count) % 3
    return (10 * np.eye(3, channels)[kind] + random.normal(0, 0.3, (3 * count, channels))).astype(np.float32), kind


def made(values: np.ndarray, label: np.ndarray) -> FrameFeatures:
    """Features of a frame with a voxel for each of its points."""
    return FrameFeatures(street(0), values.astype(np.float16), np.arange(len(values)), label.astype(np.uint8), True)


def test_components_are_those_of_a_principal_component_analysis():
    decomposition = pytest.importorskip('sklearn.decomposition')
    turned = np.linalg.qr(np.ones((5, 5)) - np.eye(5))[0]
    values = np.random.default_rng(1).normal(0, [5, 3, 2, 1, 0.1], (500, 5)) @ turned
    principal = Principal.of([values[:200], values[200:]])
    reference = decomposition.PCA(3).fit(values)
    assert np.allclose(principal.mean, reference.mean_) and np.allclose(principal.explained,
                                                                        reference.explained_variance_ratio_)
    assert np.allclose(np.abs((principal.axes * reference.components_.T).sum(0)), 1)


def test_features_that_differ_have_colours_that_differ():
    values, kind = clusters()
    colors = Principal.of([values]).colors(values).astype(int)
    centres = np.array([colors[kind == i].mean(0) for i in range(3)])
    within = max(np.abs(colors[kind == i] - centres[i]).mean() for i in range(3))
    between = min(np.abs(centres[i] - centres[j]).max() for i in range(3) for j in range(i))
    assert between > 100 and within < 40


def test_colours_are_the_same_for_frames_in_any_portions():
    values, _ = clusters()
    whole, parts = Principal.of([values]), Principal.of([values[:7], values[7:]])
    assert np.abs(whole.colors(values).astype(int) - parts.colors(values)).max() <= 1
    with pytest.raises(ValueError, match='within the range'):
        Principal.of([values[:0]])


def test_a_point_has_the_features_that_its_label_comes_from(checkpoint):
    frame = street(2)
    found = FeatureExtractor(checkpoint, 'cpu')(frame)
    assert found.true and np.array_equal(found.label, frame.scan.label)
    unlabelled = replace(frame, scan=replace(frame.scan, label=None, taxonomy=None))
    own = FeatureExtractor(checkpoint, 'cpu')(unlabelled)
    expected = Predictor.load(checkpoint, 'cpu', precision='float32').predict(frame.scan).label
    inside = own.voxel >= 0
    assert not own.true and 0 < (~inside).sum() < 300 and (own.label[~inside] == 255).all()
    assert (own.label[inside] == expected[inside]).mean() > 0.99
    assert found.of_points(np.flatnonzero(inside)).shape == (inside.sum(), found.values.shape[1])


def test_each_class_has_its_share_of_the_sample():
    label = np.repeat([0, 3, 6, 255], [500, 60, 4, 100])
    values = np.repeat(label[:, None], 5, 1) + np.linspace(0, 0.1, len(label))[:, None]
    drawn, kind = sampled([made(values[::2], label[::2]), made(values[1::2], label[1::2])], 100, seed=1)
    assert dict(zip(*np.unique(kind, return_counts=True))) == {0: 48, 3: 48, 6: 4}
    assert np.array_equal(np.rint(drawn[:, 0]).astype(int), kind)
    assert np.array_equal(drawn, sampled([made(values[::2], label[::2]), made(values[1::2], label[1::2])], 100, 1)[0])
    assert sampled([made(values[:0], label[:0])], 100, 0)[0].shape == (0, 5)


def test_neighbours_stay_neighbours_in_two_dimensions():
    pytest.importorskip('sklearn')
    values, kind = clusters()
    places = embedded(values)
    distance = np.linalg.norm(places[:, None] - places[None], axis=2) + np.diag(np.full(len(places), np.inf))
    assert (kind[distance.argmin(1)] == kind).mean() > 0.95
    assert np.array_equal(places, embedded(values))
    with pytest.raises(ValueError, match='at least 10'):
        embedded(values[:5])


def test_points_are_drawn_in_the_colours_of_their_features(tmp_path):
    frame = street(0)
    values, _ = clusters(len(frame.points) // 3)
    found = replace(made(values, frame.scan.label), frame=frame)
    principal = Principal.of([values])
    picture = cv2.imread(str(draw_frame(tmp_path / 'a.png', found, principal, STREET)))[..., ::-1]
    shown = {tuple(color) for color in picture[:664, :640].reshape(-1, 3).tolist()}
    colors = {tuple(color) for color in principal.colors(found.of_points(np.arange(len(values)))).tolist()}
    assert len(shown & colors) > 0.5 * len(colors)


def test_the_command_draws_frames_and_the_embedding(checkpoint, tmp_path, capsys):
    pytest.importorskip('sklearn')
    data = f'semantickitti:{write_drive(tmp_path, 5)}'
    assert main(['features', '--checkpoint', str(checkpoint), '--dataset', data, '--out', str(tmp_path / 'out'),
                 '--frames', '2', '--points', '60']) == 0
    names = sorted(path.name for path in (tmp_path / 'out').iterdir())
    assert names == ['00-00-000000.png', '01-00-000004.png', 'tsne.png']
    assert all(cv2.imread(str(tmp_path / 'out' / name)).size for name in names)
    assert '% of the variance' in capsys.readouterr().out


def test_a_backbone_has_features_to_draw_and_no_classes(checkpoint, tmp_path, capsys):
    student, info = load_checkpoint(checkpoint)
    backbone = save_checkpoint(tmp_path / 'backbone.safetensors', student, replace(info, backbone=True))
    data = write_drive(tmp_path, 1)
    shutil.rmtree(data / 'sequences/00/labels')
    assert main(['features', '--checkpoint', str(backbone), '--dataset', f'semantickitti:{data}', '--out',
                 str(tmp_path / 'out')]) == 0
    assert [path.name for path in (tmp_path / 'out').iterdir()] == ['00-00-000000.png']
    assert 'no t-SNE: a pre-trained backbone labels no points' in capsys.readouterr().out
