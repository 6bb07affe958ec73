# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Comparators of 2DPASS: what each learns from, which side a loss teaches, and what needs cameras when it runs."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from looked_at import ARCHITECTURES, INPUTS, LOOKING, TINY, batch_of, coloured, gradients, learn, student
from streets import write_drive

from ros_kd.students.checkpoint import load_checkpoint
from ros_kd.students.predictor import Predictor
from training.__main__ import main
from training.methods.hinton import Hinton
from training.methods.multi_branch import MultiBranch
from training.methods.point_painting import PointPainting
from training.methods.pseudo_labels import PseudoLabels
from training.methods.supervised import Supervised
from training.methods.two_d_pass import TwoDPASS
from training.methods.xmuda import XMUDA
from training.scores.run_labeller import run_labeller
from training.teachers.frame_labels import FrameLabels

WITH_IMAGES = {XMUDA: {'image': TINY, 'looking': LOOKING}, MultiBranch: {'image': TINY, 'looking': LOOKING}}


def method_of(kind, architecture: str = 'minkunet14', **options):
    torch.manual_seed(0)
    return kind('street-12', student(architecture), **WITH_IMAGES.get(kind, {}), **options)


def moved(found: dict[str, float], part: str) -> bool:
    return any(value > 0 for name, value in found.items() if name.startswith(part))


@pytest.mark.parametrize('architecture', ARCHITECTURES)
@pytest.mark.parametrize('kind', [Supervised, Hinton, PseudoLabels, XMUDA, PointPainting, MultiBranch])
def test_every_student_learns_by_every_method(kind, architecture):
    method = method_of(kind, architecture)
    found = learn(method, batch_of(method, [1, 2]), 8)
    assert found[-1] < 0.8 * found[0]


@pytest.mark.parametrize('kind', [Hinton, PseudoLabels, XMUDA, PointPainting, MultiBranch])
def test_half_precision_has_losses_of_whole_precision(kind):
    method = method_of(kind)
    batch = batch_of(method, [1])
    with torch.autocast('cpu', torch.bfloat16):
        terms = method.losses(batch, method.answer(batch))
    whole = method.losses(batch, method.answer(batch))
    for name, value in terms.items():
        assert value.dtype == torch.float32 and torch.allclose(value, whole[name], rtol=0.1, atol=0.01), name


def test_hinton_matches_softened_scores():
    method = method_of(Hinton, temperature=2.0, distillation=3.0).eval()
    batch = batch_of(method, [1])
    answer = method.answer(batch)
    given = batch.classes
    loss = method.losses(batch, answer)['distillation']
    logits, inside = answer.at(given.index)
    soft = given.values[inside].clamp(min=1e-7).sqrt()  # p ** (1 / T), normalised
    soft = soft / soft.sum(1, keepdim=True)
    own = (logits / 2).log_softmax(1)
    per_point = (soft * (soft.log() - own)).sum(1)
    expected = 3 * 4 * (given.weight[inside] * per_point).sum() / given.weight[inside].sum()
    assert torch.allclose(loss, expected, atol=1e-5)


def test_frames_without_labels_teach_by_the_teacher_only():
    method = method_of(Hinton).eval()
    alone, mixed = (method.losses(batch, method.answer(batch)) for batch in
                    (batch_of(method, [1]), batch_of(method, [1], unlabelled=[2])))
    assert torch.allclose(alone['labels'], mixed['labels'], atol=1e-5)
    assert not torch.allclose(alone['distillation'], mixed['distillation'], atol=1e-7)


def test_pseudo_labels_are_hard():
    method = method_of(PseudoLabels).eval()
    batch = batch_of(method, [1])
    hard, soft = batch.classes, replace(batch.classes, values=0.6 * batch.classes.values + 0.4 / 12)
    answer = method.answer(batch)
    loss = method.losses(replace(batch, classes=soft), answer)['classes']
    assert torch.equal(method.losses(batch, answer)['classes'], loss)
    logits, inside = answer.at(hard.index)
    assert torch.allclose(loss, method.segmentation(logits, hard.values[inside].argmax(1), hard.weight[inside]))


def test_xmuda_teaches_mimicking_heads_only():
    method = method_of(XMUDA)
    batch = batch_of(method, [1], unlabelled=[2])
    terms = method.losses(batch, method.answer(batch))
    assert set(terms) == {'labels', 'image', 'source_3d', 'source_2d', 'target_3d', 'target_2d'}
    for name in ('source_3d', 'target_3d'):
        found = gradients(method, terms[name])
        assert moved(found, 'lidar_mimic') and moved(found, 'student.')
        assert not any(moved(found, part) for part in ('images.', 'image_', 'student.head')), name
    for name in ('source_2d', 'target_2d'):
        found = gradients(method, terms[name])
        assert moved(found, 'image_mimic') and moved(found, 'images.')
        assert not any(moved(found, part) for part in ('student.', 'lidar_mimic', 'image_head')), name


def test_xmuda_without_labels_on_the_target():
    method = method_of(XMUDA, source=0.0, target=1.0).eval()
    labelled = batch_of(method, [1])
    found = {name: float(loss.detach()) for name, loss in method.losses(labelled, method.answer(labelled)).items()}
    assert found['target_3d'] == found['source_3d'] == 0 < found['image']  # there is no target
    target = batch_of(method, [], unlabelled=[2])
    found = {name: float(loss.detach()) for name, loss in method.losses(target, method.answer(target)).items()}
    assert found['labels'] == found['image'] == 0 < found['target_3d']


def test_points_are_painted_where_cameras_see_them():
    method = method_of(PointPainting)
    batch = batch_of(method, [1])
    plain, paint = Supervised.voxels(method, batch), method.voxels(batch)
    assert paint.points.shape[1] == len(INPUTS.columns) + 12
    assert torch.equal(paint.points[:, :5], plain.points)
    rows = (plain.point_voxel >= 0).nonzero().squeeze(1)
    expected = torch.zeros(600, 12)
    expected[batch.classes.index] = batch.classes.values * batch.classes.weight[:, None]
    assert torch.equal(paint.points[:, 5:], expected[rows])
    unseen = torch.ones(600, dtype=torch.bool)
    unseen[batch.classes.index] = False
    assert unseen.any() and float(expected[unseen].abs().max()) == 0
    # A voxel has the mean of its points' columns.
    one = paint.point_voxel[batch.classes.index[0]]
    mean = paint.points[paint.voxels.index == one].mean(0)
    assert torch.allclose(paint.tensor.features[one], mean, atol=1e-6)


class Hesitant(FrameLabels):
    """Takes everything for a car, a little."""

    def probabilities(self, view, uv):
        return 0.6 * super().probabilities(view, uv) + 0.4 * np.eye(19, dtype=np.float32)[13]


def test_scores_are_painted_as_they_are():
    method = method_of(PointPainting)
    batch = batch_of(method, [1], teacher=Hesitant('cityscapes'))
    paint = method.voxels(batch).points[:, 5:]
    painted = paint[paint.any(1)]
    assert len(painted) and torch.allclose(painted.amax(1), torch.tensor(0.6), atol=1e-3)
    assert torch.allclose(painted.sum(1), torch.tensor(1.0), atol=1e-3)


def test_other_moments_never_paint():
    method = method_of(PointPainting)
    maker = method.makers(FrameLabels('cityscapes')).classes
    frame = replace(coloured(1), world_from_lidar=np.eye(4))
    other = replace(coloured(1), world_from_lidar=np.diag([-1, -1, 1, 1.0]))
    assert len(maker.maker(frame, [other])) > len(maker(frame)) == len(maker(frame, [other]))
    assert maker.identity != maker.maker.identity


def test_branches_meet_at_the_head():
    method = method_of(MultiBranch).eval()
    batch, blind = batch_of(method, [1]), batch_of(method, [1], images=False)
    with torch.no_grad():
        answer = method.answer(batch)
        image = method._in_voxels(batch, answer)
        nothing = method._in_voxels(blind, method.answer(blind))
    assert float(nothing.abs().max()) == 0
    seen = torch.zeros(600, dtype=torch.bool)
    seen[batch.images.rows] = True
    voxel = answer.voxels.point_voxel
    for row in (int(voxel[batch.images.rows[0]]), int(voxel[~seen][0])):
        inside = voxel == row
        assert float(image[row, -1]) == pytest.approx(float(seen[inside].float().mean()))
    found = gradients(method, sum(method.losses(batch, method.answer(batch)).values()))
    assert moved(found, 'images.') and moved(found, 'joint') and moved(found, 'student.')
    assert not any(name.startswith('student.head') for name in found)


def test_a_teacher_is_asked_for():
    for kind in (Hinton, PseudoLabels, PointPainting):
        with pytest.raises(ValueError, match='data.teacher'):
            method_of(kind).makers(None)
    with pytest.raises(ValueError, match='temperature 0'):
        method_of(Hinton, temperature=0)


RECIPE = '''
model:
  class_path: training.methods.{path}
  init_args:
    taxonomy: street-12
    student:
      width: 0.125
      inputs: {{voxel_size: 0.5, lower: [-20, -20, -4], upper: [20, 20, 4], columns: [z, intensity]}}
    optimisation: {{rate: 0.01}}
    {options}
data:
  train: ['semantickitti:.?sequences=00']
  val: ['semantickitti:.?sequences=00&frames=1']
  augmentation: {{rotation: 20}}
  teacher:
    class_path: training.teachers.files.LabelFiles
    init_args: {{folder: teacher}}
  batch_size: 2
trainer:
  {{accelerator: cpu, enable_progress_bar: false, enable_model_summary: false, log_every_n_steps: 1,
   max_epochs: {epochs}}}
'''
IMAGE = ('image: {backbone: {depths: [1, 1, 1, 1], channels: [8, 8, 16, 16], stem: 8}, width: 8}\n'
         '    looking: {size: [48, 64], jitter: 0, flip: false}')


def fit(tmp_path, path: str, options: str = '', epochs: int = 2) -> list[str]:
    (tmp_path / 'recipe.yaml').write_text(RECIPE.format(path=path, options=options, epochs=epochs))
    root = tmp_path / 'data' if (tmp_path / 'data').is_dir() else write_drive(tmp_path, 4)
    return ['fit', '--config', str(tmp_path / 'recipe.yaml'), '--data.root', str(root), '--run', str(tmp_path / 'run')]


@pytest.mark.parametrize('path, options', [('point_painting.PointPainting', ''),
                                           ('multi_branch.MultiBranch', IMAGE)])
def test_a_student_with_cameras_is_scored_by_its_run_and_never_exported(path, options, tmp_path, capsys):
    assert main(fit(tmp_path, path, options, epochs=10)) == 0
    assert 'needs cameras' in capsys.readouterr().out
    run = tmp_path / 'run'
    assert not (run / 'student.safetensors').exists()
    assert main(['export', '--run', str(run), '--out', str(tmp_path / 'student.safetensors')]) == 1
    assert 'needs cameras' in capsys.readouterr().err
    out = tmp_path / 'scores.json'
    assert main(['evaluate', '--run', str(run), '--dataset', f'semantickitti:{tmp_path / "data"}', '--out',
                 str(out)]) == 0
    assert json.loads(out.read_text())['accuracy'] > 0.9


def test_an_image_network_learns_at_a_rate_of_its_own(tmp_path):
    assert main(fit(tmp_path, 'xmuda.XMUDA', IMAGE.replace('width: 8}', 'width: 8, rate: 0.1}'), epochs=1)) == 0
    checkpoint = torch.load(tmp_path / 'run/checkpoints/last.ckpt', weights_only=True)
    student_group, images = checkpoint['optimizer_states'][0]['param_groups']
    assert (student_group['max_lr'], images['max_lr']) == pytest.approx((0.01, 0.001))
    method = method_of(XMUDA)
    assert len(images['params']) == len(list(method.images.parameters()))
    assert len(images['params']) + len(student_group['params']) == len(list(method.parameters()))
    with pytest.raises(ValueError, match='at -1 times the rate'):
        replace(TINY, rate=-1)


def test_2dpass_exports_its_student_alone(tmp_path, capsys):
    assert main(fit(tmp_path, 'two_d_pass.TwoDPASS', f'hidden: 8\n    {IMAGE}')) == 0
    file = tmp_path / 'run/student.safetensors'
    trained, info = load_checkpoint(file)
    fresh = TwoDPASS('street-12', student(), image=TINY, looking=LOOKING)
    assert not any(part in name for name in trained.state_dict() for part in ('images', 'scales', 'together'))
    assert len(trained.state_dict()) == len(fresh.student.state_dict()) and 'TwoDPASS' in info.recipe
    # A run's own answers are those of what it exports.
    frame = coloured(3)
    exported = Predictor.load(file, precision='float32').predict(frame.scan)
    own = run_labeller(tmp_path / 'run').label(frame)
    assert np.array_equal(exported.label, own.label) and np.array_equal(exported.confidence, own.confidence)
