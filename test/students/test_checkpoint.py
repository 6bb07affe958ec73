# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Checkpoints say everything, and refuse what they are not."""

import json
from dataclasses import replace

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from ros_kd.label_sets import TAXONOMIES
from ros_kd.students import build_student
from ros_kd.students.checkpoint import (
    CheckpointError, CheckpointInfo, Score, find_checkpoint, load_checkpoint, read_info, save_checkpoint)
from ros_kd.students.inputs import InputSpec
from ros_kd.taxonomy import Taxonomy

INFO = CheckpointInfo(
    'minkunet14', InputSpec(0.2, (-10, -10, -3), (10, 10, 3), ('x', 'y', 'z', 'range')),
    TAXONOMIES['semantickitti-19'], 0.25, 'method: supervised\n',
    (Score(0.5, 'mIoU', 'semantickitti val', 'one seed'),), 1.5)


@pytest.fixture
def student():
    torch.manual_seed(0)
    return INFO.build()


@pytest.fixture
def path(tmp_path, student):
    return save_checkpoint(tmp_path / 'run' / 'student.safetensors', student, INFO)


def rewrite(path, **changes):
    """Write the same weights with keys of the description changed."""
    with safe_open(path, 'pt') as file:
        data = json.loads(file.metadata()['ros_kd'])
    save_file(load_file(path), path, {'ros_kd': json.dumps({**data, **changes})})


def test_a_checkpoint_restores_weights_and_description(path, student):
    loaded, info = load_checkpoint(path)
    assert info == INFO and info.taxonomy.maps == INFO.taxonomy.maps and read_info(path) == INFO
    assert not loaded.training
    for name, weight in student.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], weight)


def test_a_folder_with_one_checkpoint_stands_for_it(path, student):
    assert find_checkpoint(path.parent) == path
    save_checkpoint(path.with_name('other.safetensors'), student, INFO)
    with pytest.raises(CheckpointError, match=r'found other\.safetensors, student\.safetensors'):
        load_checkpoint(path.parent)


def test_a_missing_file_and_an_empty_folder_are_named(tmp_path):
    with pytest.raises(CheckpointError, match=r'none\.safetensors: no such checkpoint'):
        load_checkpoint(tmp_path / 'none.safetensors')
    with pytest.raises(CheckpointError, match='found none'):
        load_checkpoint(tmp_path)


@pytest.mark.parametrize('name', ['model.pth', 'model.safetensors'])
def test_a_pickle_is_refused_with_the_command_that_converts_it(tmp_path, name, student):
    torch.save(student.state_dict(), tmp_path / name)
    with pytest.raises(CheckpointError, match='PyTorch pickle; export it with `python -m training export`'):
        load_checkpoint(tmp_path / name)


def test_broken_and_foreign_files_are_refused(path):
    whole = path.read_bytes()
    path.write_bytes(whole[:len(whole) // 2])
    with pytest.raises(CheckpointError, match='not a readable safetensors file'):
        load_checkpoint(path)
    path.write_bytes(b'')
    with pytest.raises(CheckpointError, match='not a readable safetensors file'):
        load_checkpoint(path)
    save_file({'weight': torch.zeros(1)}, path)
    with pytest.raises(CheckpointError, match='of another program'):
        load_checkpoint(path)


def test_a_newer_format_is_refused_and_newer_keys_are_not(path):
    rewrite(path, hint='from the future')
    assert load_checkpoint(path)[1] == INFO
    rewrite(path, format_version=99, architecture=None)
    with pytest.raises(CheckpointError, match='format 99 by a newer ros_kd; this one reads up to 1'):
        load_checkpoint(path)


@pytest.mark.parametrize(('changes', 'text'), [
    ({'architecture': 'transformer9000'}, 'unknown student architecture "transformer9000"'),
    ({'inputs': {}}, 'description is broken .*voxel_size'),
    ({'inputs': {'voxel_size': 0.1, 'lower': [0, 0, 0], 'upper': [1, 1, 1], 'columns': ['speed']}},
     'choose one or more'),
    ({'taxonomy': {}}, 'not the JSON of a taxonomy'),
    ({'width': 0.5}, r'"stem\.0\.convolution\.weight" is \[27, 4, 8\], expected \[27, 4, 16\].* more')])
def test_a_description_that_does_not_fit_is_named(path, changes, text):
    rewrite(path, **changes)
    with pytest.raises(CheckpointError, match=text):
        load_checkpoint(path)


def test_missing_and_unknown_weights_are_named(path):
    weights = load_file(path)
    with safe_open(path, 'pt') as file:
        metadata = file.metadata()
    weights['tail.bias'] = weights.pop('head.bias')
    save_file(weights, path, metadata)
    with pytest.raises(CheckpointError, match='"head.bias" is missing; "tail.bias" is unknown'):
        load_checkpoint(path)


def test_saving_refuses_a_student_of_another_kind_and_another_suffix(tmp_path, student):
    with pytest.raises(CheckpointError, match='"head.weight" is .* expected'):
        save_checkpoint(tmp_path / 'a.safetensors', student, replace(INFO, taxonomy=TAXONOMIES['street-12']))
    with pytest.raises(CheckpointError, match='ends in ".safetensors"'):
        save_checkpoint(tmp_path / 'a.pth', student, INFO)
    ends_unused = Taxonomy('gaps', ('road', None), ((1, 2, 3), (0, 0, 0)))
    with pytest.raises(CheckpointError, match='"head.weight"'):
        save_checkpoint(tmp_path / 'a.safetensors', build_student('minkunet14', 4, 2, 0.25),
                        replace(INFO, taxonomy=ends_unused))
    assert not list(tmp_path.iterdir())
