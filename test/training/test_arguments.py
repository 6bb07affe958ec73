# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""A student that is named as a whole, and one value of it that is changed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ros_kd.students.presets import PRESETS, StudentSpec
from training.running.arguments import with_whole_student
from training.running.recipe import read_recipe

ACCURATE = replace(PRESETS['accurate'], width=0.25)  # small enough to be built


def _recipe(folder: Path, student: str) -> list[str]:
    (folder / 'recipe.yaml').write_text('model:\n  class_path: training.methods.supervised.Supervised\n  init_args:\n'
                                        f'    taxonomy: street-12\n    student: {student}\ndata:\n  train: [drive]\n')
    return ['--config', str(folder / 'recipe.yaml')]


def _read(arguments: list[str]) -> StudentSpec:
    return read_recipe('doctor', arguments).method.spec


@pytest.mark.parametrize('name', ['--model.student', '--model.init_args.student'])
def test_one_value_of_a_preset_is_changed_and_the_others_stay(tmp_path, name):
    recipe = _recipe(tmp_path, 'accurate')
    assert _read([*recipe, f'{name}.width', '0.25']) == ACCURATE
    coarse = _read([*recipe, f'{name}.width=0.25', f'{name}.inputs.voxel_size', '0.3'])
    assert coarse == replace(ACCURATE, inputs=replace(ACCURATE.inputs, voxel_size=0.3))


def test_the_last_student_that_is_named_counts(tmp_path):
    recipe = _recipe(tmp_path, 'accurate')
    assert _read([*recipe, '--model.student', 'fast', '--model.student.width', '0.25']) == replace(PRESETS['fast'],
                                                                                                 width=0.25)
    (tmp_path / 'other.yaml').write_text('model: {init_args: {student: fast}}')
    other = f'--config={tmp_path / "other.yaml"}'
    assert _read([*recipe, other, '--model.student.width', '0.25']) == replace(PRESETS['fast'], width=0.25)


def test_described_students_and_whole_ones_are_left_to_the_parser(tmp_path):
    described = [*_recipe(tmp_path, '{width: 0.25}'), '--model.student.inputs.voxel_size', '0.3']
    assert with_whole_student(described) == described
    whole = _recipe(tmp_path, 'accurate')
    assert with_whole_student(whole) == whole


def test_a_value_of_a_checkpoint_cannot_be_changed(tmp_path):
    arguments = [*_recipe(tmp_path, 'runs/before/student.safetensors'), '--model.student.width', '0.25']
    with pytest.raises(ValueError, match='--model.student.width: the student starts from runs/before/student'):
        with_whole_student(arguments)
    with pytest.raises(ValueError, match='unknown preset "quick"'):
        with_whole_student([*_recipe(tmp_path, 'quick'), '--model.student.width', '0.25'])
