# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Recipes for data sets that are not here: they run as they stand, but for smaller networks and a small drive."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from streets import write_drive

from ros_kd.students.checkpoint import read_info
from training.__main__ import main

RECIPES = Path(__file__).parents[2] / 'training/recipes'
NAMES = ['2dpass_semantickitti', '2dpass_nuscenes']
SMALLER = {
    'model.init_args.taxonomy': 'semantickitti-19',
    'model.init_args.student.width': '0.125',
    'data.train': '["semantickitti:.?sequences=00"]',
    'data.val': '["semantickitti:.?sequences=00&frames=1"]',
    'data.batch_size': '2',
    'data.workers': '0',
    'data.cache': 'null',
    'trainer.max_epochs': '1',
    'trainer.accelerator': 'cpu',
    'trainer.check_val_every_n_epoch': '1',
    'trainer.log_every_n_steps': '1',
}
IMAGES = {
    'model.init_args.image.backbone': '{depths: [1, 1, 1, 1], channels: [8, 8, 16, 16], stem: 8}',
    'model.init_args.looking.size': '[48, 64]',
    'model.init_args.looking.crop': '[32, 48]',
}


def options(changes: dict[str, str]) -> list[str]:
    """Return changes of a recipe as arguments."""
    return [part for key, value in changes.items() for part in (f'--{key}', value)]


def variants(name: str) -> dict[str, list[str]]:
    """Return the further arguments that the recipe's comment offers, by what they are for."""
    text = re.sub(r'\n#       (?=--)', ' ', (RECIPES / f'{name}.yaml').read_text())
    found = re.findall(r'^#   (.+?):\s+((?:--\S+ [^\s(,]+ ?)+)', text, re.MULTILINE)
    return {what: _with_answers(arguments.split()) for what, arguments in found}


def _with_answers(arguments: list[str]) -> list[str]:
    """Take answers of the small drive's for those of a network from a hub."""
    if '--data.teacher' not in arguments:
        return arguments
    return [*arguments[:arguments.index('--data.teacher')], '--data.teacher', 'training.teachers.files.LabelFiles',
            '--data.teacher.folder', 'teacher']


WITHOUT_IMAGES = {'training.methods.supervised.Supervised', 'training.methods.hinton.Hinton',
                  'training.methods.point_painting.PointPainting'}
WITH_CAMERAS = {'training.methods.multi_branch.MultiBranch', 'training.methods.point_painting.PointPainting'}
CASES = [(name, []) for name in NAMES] + [(name, case) for name in NAMES for case in variants(name).values()]


@pytest.mark.parametrize('name, further', CASES, ids=lambda value: value if isinstance(value, str) else ' '.join(value))
def test_a_recipe_and_what_its_comment_offers_train_a_student(name, further, tmp_path, capsys):
    changes = SMALLER if set(further) & WITHOUT_IMAGES else {**SMALLER, **IMAGES}
    assert main(['fit', '--config', str(RECIPES / f'{name}.yaml'), *further, *options(changes), '--data.root',
                 str(write_drive(tmp_path, 4)), '--run', str(tmp_path / 'run')]) == 0, capsys.readouterr().err
    exported = tmp_path / 'run/student.safetensors'
    if set(further) & WITH_CAMERAS:
        assert not exported.exists()
    else:
        assert read_info(exported).taxonomy.name == 'semantickitti-19'


@pytest.mark.parametrize('name', NAMES)
def test_variants_are_found(name):
    assert len(variants(name)) == {'2dpass_semantickitti': 9, '2dpass_nuscenes': 5}[name]
    assert 'class_path' in yaml.safe_load((RECIPES / f'{name}.yaml').read_text())['model']
