# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Scores are over all classes and over those that training could tell of, always both."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from rich.console import Console
from streets import street, write_drive

from ros_kd.label_sets import get_taxonomy
from ros_kd.students.checkpoint import CheckpointInfo, save_checkpoint
from ros_kd.students.inputs import InputSpec
from training.__main__ import main
from training.scores.evaluate import Evaluation, Report, show
from training.scores.labellers import Constant, ProjectedTeacher, Student, answers
from training.teachers.frame_labels import FrameLabels

TAXONOMY = get_taxonomy('street-12')
ROAD, SIDEWALK, BUILDING = (TAXONOMY.names.index(name) for name in ('road', 'sidewalk', 'building'))


@pytest.fixture
def report() -> Report:
    """Road and sidewalk in equal parts where the truth is road and building; sidewalk is out of reach."""
    evaluation = Evaluation(TAXONOMY)
    for seed in range(2):
        frame = street(seed)
        label = np.where(np.arange(len(frame.scan)) % 2, ROAD, SIDEWALK).astype(np.uint8)
        evaluation.add(frame, label, np.ones(len(label), np.float32))
    return evaluation.report('alternating', ['streets'], 'street-12', 'none', (ROAD,))


def test_both_scores_count_the_points_of_all_classes(report):
    road = report.iou['road']
    assert 0 < road < 0.5 and report.iou['building'] == 0 and report.iou['sidewalk'] is None
    assert report.mean_iou == pytest.approx(road / 2) and report.reachable_mean_iou == pytest.approx(road)
    assert report.reachable == ['road']
    kept = json.loads(report.to_json())
    assert kept['mean_iou'] == report.mean_iou and kept['reachable_mean_iou'] == report.reachable_mean_iou


def test_tables_show_both_and_mark_classes_out_of_reach(report):
    console = Console(record=True, width=160, file=open('/dev/null', 'w'))
    show(report, console)
    text = console.export_text()
    assert f'mIoU %, 1 of {len(report.iou)} classes reachable' in text
    assert f'{100 * report.mean_iou:.1f}' in text and f'{100 * report.reachable_mean_iou:.1f}' in text
    assert 'building (not reachable)' in text and 'road (not reachable)' not in text


def test_without_reachable_classes_with_points_there_is_no_score_for_them():
    evaluation = Evaluation(TAXONOMY)
    frame = street()
    evaluation.add(frame, frame.scan.label.astype(np.uint8), np.ones(len(frame.scan), np.float32))
    report = evaluation.report('right', [], '', '', (SIDEWALK,))
    assert report.mean_iou == 1 and np.isnan(report.reachable_mean_iou)
    assert json.loads(report.to_json())['reachable_mean_iou'] is None
    whole = evaluation.report('right', [], '', '')
    assert whole.reachable == [name for name in TAXONOMY.names if name] and whole.reachable_mean_iou == 1


def test_what_a_labeller_was_taught_decides_what_it_can_answer_in_another_taxonomy(tmp_path):
    inputs, sixteen = InputSpec(0.5, columns=('z',)), get_taxonomy('nuscenes-16')
    taught = tuple(sixteen.names.index(name) for name in ('car', 'barrier', 'vegetation'))
    info = CheckpointInfo('minkunet14', inputs, sixteen, 0.25, taught=taught)
    path = save_checkpoint(tmp_path / 'student.safetensors', info.build(), info)
    table = sixteen.lookup_to(TAXONOMY)
    assert answers(Student(path), TAXONOMY) == tuple(sorted({int(table[i]) for i in taught} - {255}))
    save_checkpoint(path, info.build(), replace(info, taught=None))
    named = [i for i, name in enumerate(sixteen.names) if name]
    assert set(answers(Student(path), TAXONOMY)) == set(table[named]) - {255}
    assert len(answers(Constant('road', TAXONOMY), TAXONOMY)) == sum(name is not None for name in TAXONOMY.names)
    reached = answers(ProjectedTeacher(FrameLabels('cityscapes'), sixteen), sixteen)
    assert len(reached) == 11 and sixteen.names.index('trailer') not in reached


def test_reachable_classes_can_be_those_of_another_label_set(tmp_path, capsys):
    torch.manual_seed(0)
    root, out = write_drive(tmp_path, 1), tmp_path / 'scores.json'
    command = ['evaluate', '--constant', 'road', '--dataset', f'semantickitti:{root}', '--out', str(out)]
    assert main(command) == 0
    assert len(json.loads(out.read_text())['reachable']) == sum(name is not None for name in TAXONOMY.names)
    assert main([*command, '--reachable', 'nuimages-11']) == 0
    report = json.loads(out.read_text())
    assert 'road' in report['reachable'] and 'building' not in report['reachable']
    assert report['reachable_mean_iou'] == pytest.approx(2 * report['mean_iou'])
    assert 'building (not reachable)' in capsys.readouterr().out


def test_a_student_is_compared_in_its_own_classes(tmp_path):
    info = CheckpointInfo('minkunet14', InputSpec(0.5, columns=('z',)), get_taxonomy('semantickitti-19'), 0.25)
    path, out = save_checkpoint(tmp_path / 'student.safetensors', info.build(), info), tmp_path / 'scores.json'
    command = ['evaluate', '--checkpoint', str(path), '--dataset', f'semantickitti:{write_drive(tmp_path, 1)}', '--out',
               str(out)]
    assert main(command) == 0 and json.loads(out.read_text())['taxonomy'] == 'semantickitti-19'


def test_folders_that_are_no_run_of_a_student_are_told(tmp_path, capsys):
    command = ['evaluate', '--run', str(tmp_path), '--dataset', 'simulated:?frames=1']
    assert main(command) == 1
    assert f'{tmp_path} is no run: expected the folder of a training' in capsys.readouterr().err
    (tmp_path / 'recipe.yaml').write_text('model: {}')
    assert main(command) == 1
    assert 'no best.ckpt or last.ckpt' in capsys.readouterr().err
    (tmp_path / 'checkpoints').mkdir()
    torch.save({'image_network': '{}', 'state_dict': {}}, tmp_path / 'checkpoints/last.ckpt')
    assert main(command) == 1
    assert 'has no student' in capsys.readouterr().err
