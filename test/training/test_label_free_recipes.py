# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Recipes whose students learn from image networks: they run as they stand, but smaller and on a small drive."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from streets import write_drive
from test_full_recipes import RECIPES, SMALLER, options

from ros_kd.label_sets import get_taxonomy
from ros_kd.students.checkpoint import read_info
from training.__main__ import main
from training.images.backbone import ResNetSpec
from training.images.checkpoint import NetworkInfo, save_image_network

NETWORK = 'training.teachers.image_network.ImageNetworkTeacher'
FILES = {'class_path': 'training.teachers.files.LabelFiles', 'init_args': {'folder': 'teacher'}}


@pytest.fixture
def data(tmp_path) -> Path:
    """A small drive, and an image network of Cityscapes' classes beside it."""
    torch.manual_seed(0)
    spec = ResNetSpec((1, 1, 1, 1), (8, 8, 16, 16), stem=8)
    info = NetworkInfo(spec, 8, get_taxonomy('cityscapes'), (48, 64), tuple(range(19)))
    save_image_network(tmp_path / 'network.safetensors', info.build(), info)
    return write_drive(tmp_path, 4)


def run(name: str, data: Path, *further: str, **changes: str) -> Path:
    """Train a recipe, smaller, and return the student's file."""
    assert main(['fit', '--config', str(RECIPES / f'{name}.yaml'), *options({**SMALLER, 'data.val': '[]', **changes}),
                 *further, '--data.root', str(data), '--run', str(data.parent / 'run')]) == 0
    return data.parent / 'run/student.safetensors'


@pytest.mark.parametrize('kind', ['da', 'mlp', 'none'])
def test_fskd(data, kind):
    student = run('fskd_nuscenes', data, '--model.adapter.kind', kind, '--data.teacher.file',
                  str(data.parent / 'network.safetensors'))
    assert read_info(student).taxonomy.name == 'semantickitti-19'


@pytest.mark.parametrize('method', ['udakd.UDAKD', 'ppkt.PPKT'])
def test_udakd_and_its_probe(data, method):
    transformers = pytest.importorskip('transformers')
    config = transformers.ResNetConfig(depths=[1] * 4, hidden_sizes=[8, 8, 16, 16], embedding_size=8,
                                       layer_type='basic')
    transformers.ResNetModel(config).save_pretrained(data / 'resnet')
    backbone = run('udakd_nuscenes', data, '--model.class_path', f'training.methods.{method}', '--data.teacher.model',
                   str(data / 'resnet'), '--data.teacher.size', '[64, 96]')
    assert read_info(backbone).backbone
    before = backbone.rename(data / 'before.safetensors')
    (data.parent / 'run').rename(data.parent / 'pre-training')
    changes = {key: value for key, value in SMALLER.items() if 'student' not in key and key != 'data.val'}
    assert main(['fit', '--config', str(RECIPES / 'probe_nuscenes.yaml'), *options(changes), '--model.student',
                 str(before), '--data.root', str(data), '--run', str(data.parent / 'run')]) == 0
    assert not read_info(data.parent / 'run/student.safetensors').backbone


@pytest.mark.parametrize('method', ['soft_labels.SoftLabels', 'pseudo_labels.PseudoLabels', 'hinton.Hinton',
                                    'few_labels.FewLabels'])
def test_two_teachers(data, method):
    network = {'class_path': NETWORK, 'init_args': {'file': str(data.parent / 'network.safetensors')}}
    student = run('soft_labels_nuscenes', data, '--model.class_path', f'training.methods.{method}',
                  **{'data.teacher.init_args.teachers': json.dumps([network, FILES]),
                     'data.teacher.init_args.taxonomy': 'semantickitti-19'})
    assert read_info(student).taxonomy.name == 'semantickitti-19'


def test_a_drive(data):
    changes = {'model.init_args.taxonomy': 'street-12', 'data.teacher': FILES['class_path'],
               'data.teacher.folder': 'teacher'}
    assert read_info(run('drive_bag', data, **changes)).taxonomy.name == 'street-12'


def test_real_frames(real_data, tmp_path):
    changes = {'model.init_args.student.width': '0.125', 'data.epoch_size': '2', 'trainer.max_epochs': '1',
               'trainer.accelerator': 'cpu', 'data.val': '[]',
               'data.train': '["kitti_object:kitti_object?split=testing&ids=000004", '
                             '"kitti_raw:kitti_raw/2011_09_26/2011_09_26_drive_0013_sync"]'}
    assert main(['fit', '--config', str(RECIPES / 'kitti_street12.yaml'), '--data.root', str(real_data), '--run',
                 str(tmp_path), *options(changes)]) == 0
    assert read_info(tmp_path / 'student.safetensors').taxonomy.name == 'street-12'
