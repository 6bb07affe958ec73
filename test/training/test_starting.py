# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Training that starts from a student that has learnt something already."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from ros_kd.label_sets import get_taxonomy
from ros_kd.students.checkpoint import CheckpointError, CheckpointInfo, save_checkpoint
from ros_kd.students.inputs import InputSpec
from ros_kd.students.presets import PRESETS
from training.methods.starting import starting_student
from training.methods.supervised import Supervised

STREET = get_taxonomy('street-12')
INPUTS = InputSpec(0.5, (-20, -20, -4), (20, 20, 4), ('z', 'intensity'))


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A small student with weights of its own."""
    info = CheckpointInfo('minkunet14', INPUTS, STREET, 0.25)
    student = info.build()
    with torch.no_grad():
        student.head.bias.fill_(7.0)
    return save_checkpoint(tmp_path / 'start.safetensors', student, info)


def test_a_checkpoint_is_taken_with_its_head_where_the_classes_are_the_same(checkpoint):
    student, spec = starting_student(str(checkpoint), STREET)
    assert (spec.architecture, spec.width, spec.inputs) == ('minkunet14', 0.25, INPUTS)
    assert (student.head.bias == 7).all() and student.training
    assert all(value.requires_grad for value in student.parameters())


def test_other_classes_get_a_new_head_on_the_same_features(checkpoint):
    student, _ = starting_student(str(checkpoint), get_taxonomy('semantickitti'))
    same, _ = starting_student(str(checkpoint), STREET)
    assert len(student.head.bias) == len(get_taxonomy('semantickitti')) and not (student.head.bias == 7).any()
    kept = {name: value for name, value in same.state_dict().items() if not name.startswith('head.')}
    assert kept and all(torch.equal(student.state_dict()[name], value) for name, value in kept.items())


def test_a_method_starts_from_it_as_from_a_preset(checkpoint):
    assert (Supervised('street-12', str(checkpoint)).student.head.bias == 7).all()
    assert Supervised('street-12', 'fast').spec == PRESETS['fast']
    with pytest.raises(CheckpointError, match='no such checkpoint'):
        Supervised('street-12', 'missing.safetensors')
