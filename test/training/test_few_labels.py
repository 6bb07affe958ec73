# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Few 3D labels and a teacher in one training."""

from __future__ import annotations


import pytest
import torch
from looked_at import LOOKING, TINY, batch_of, learn, student
from streets import write_drive

from ros_kd.students.checkpoint import load_checkpoint
from training.__main__ import main
from training.methods.few_labels import FewLabels, FewLabelTwoDPASS, filled


def test_frames_without_labels_take_the_teachers_and_others_keep_their_own():
    method = FewLabels('street-12', student())
    batch = batch_of(method, [1], unlabelled=[0, 2])
    found = filled(batch, method.answer(batch))
    points = [len(frame.scan) for frame in batch.frames]
    inside = [(found.labels.index >= sum(points[:i])) & (found.labels.index < sum(points[:i + 1])) for i in range(3)]
    assert int(inside[0].sum()) == points[0]
    for i in (1, 2):
        index = batch.classes.index
        theirs = index[(index >= sum(points[:i])) & (index < sum(points[:i + 1]))]
        assert 0 < len(theirs) < points[i] and torch.equal(found.labels.index[inside[i]], theirs)
    truth = torch.cat([torch.from_numpy(frame.scan.label.astype(int)) for frame in batch.frames])
    assert torch.equal(found.labels.values.argmax(1), truth[found.labels.index])  # this teacher is right
    assert bool((found.labels.index.diff() > 0).all())


def test_without_any_label_all_are_the_teachers():
    method = FewLabels('street-12', student())
    batch = batch_of(method, [], unlabelled=[0, 1])
    assert torch.equal(filled(batch, method.answer(batch)).labels.index, batch.classes.index)


@pytest.mark.parametrize('kind', [FewLabels, FewLabelTwoDPASS])
def test_both_kinds_of_frames_teach(kind):
    torch.manual_seed(0)
    options = {} if kind is FewLabels else {'image': TINY, 'looking': LOOKING}
    method = kind('street-12', student(), **options)
    losses = learn(method, batch_of(method, [1], unlabelled=[2]), 15)
    assert losses[-1] < 0.7 * losses[0]
    unlabelled = batch_of(method, [], unlabelled=[2])
    terms = method.losses(unlabelled, method.answer(unlabelled))
    assert all(value.item() > 0 for value in terms.values())
    with pytest.raises(ValueError, match='data.teacher'):
        method.makers(None)


def test_a_recipe_with_one_labelled_frame_trains_and_exports(tmp_path):
    (tmp_path / 'few.yaml').write_text('''
model:
  class_path: training.methods.few_labels.FewLabels
  init_args:
    taxonomy: street-12
    student: {width: 0.25, inputs: {voxel_size: 0.5, lower: [-20, -20, -4], upper: [20, 20, 4], columns: [z, intensity]}}
data:
  train: ['semantickitti:.?sequences=00']
  labels: {share: 0.2}
  teacher: {class_path: training.teachers.files.LabelFiles, init_args: {folder: teacher}}
  batch_size: 2
trainer: {accelerator: cpu, max_epochs: 1, enable_progress_bar: false, enable_model_summary: false}
''')
    run = tmp_path / 'run'
    assert main(['fit', '--config', str(tmp_path / 'few.yaml'), '--data.root', str(write_drive(tmp_path, 4)), '--run',
                 str(run)]) == 0
    assert len((run / 'labelled_frames.txt').read_text().splitlines()) == 1
    student, info = load_checkpoint(run / 'student.safetensors')
    assert info.taught is None and student.num_classes == 12
