# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Several processes, or several small batches, learn what one process with a large batch learns."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from curves import EVEN, losses
from streets import RECIPE, write_drive
from torch import nn

from ros_kd.students import build_student
from training.__main__ import main
from training.frames.loading import EachOnce, EpochOrder, ResumableLoader

ROOT = Path(__file__).parents[2]


@pytest.fixture
def recipe(tmp_path) -> list[str]:
    """Arguments of `fit` for a drive of five frames: two steps an epoch, and a frame more than those need."""
    (tmp_path / 'tiny.yaml').write_text(RECIPE)
    return ['fit', '--config', str(tmp_path / 'tiny.yaml'), '--data.root', str(write_drive(tmp_path, 5)), *EVEN,
            '--trainer.max_epochs', '3']


def test_two_processes_learn_as_one_with_the_doubled_batch(recipe, tmp_path):
    recipe += ['--data.val', '["semantickitti:.?sequences=00&frames=3"]']  # the second process has one less
    run = [sys.executable, '-m', 'torch.distributed.run', '--standalone', '--nproc-per-node', '2', '-m', 'training',
           *recipe, '--data.batch_size', '1', '--to_run', str(tmp_path / 'two')]
    there = {**os.environ, 'PYTHONPATH': f'{ROOT}:{Path(__file__).parent}'}
    done = subprocess.run(run, cwd=ROOT, env=there, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert main([*recipe, '--data.batch_size', '2', '--run', str(tmp_path / 'one')]) == 0
    two, one = losses(tmp_path / 'two'), losses(tmp_path / 'one')
    assert len(one) == 6 and two == pytest.approx(one, rel=1e-4)
    scores = [torch.load(tmp_path / name / 'checkpoints/best.ckpt', weights_only=True) for name in ('two', 'one')]
    assert scores[0]['global_step'] == scores[1]['global_step']
    assert len(list((tmp_path / 'two/logs').glob('version_*'))) == 1
    assert (tmp_path / 'two/student.safetensors').is_file()


def test_accumulated_gradients_learn_as_the_doubled_batch(recipe, tmp_path):
    accumulated = ['--data.batch_size', '1', '--trainer.accumulate_grad_batches', '2', '--data.epoch_size', '4']
    assert main([*recipe, *accumulated, '--run', str(tmp_path / 'parts')]) == 0
    assert main([*recipe, '--data.batch_size', '2', '--data.epoch_size', '4', '--run', str(tmp_path / 'whole')]) == 0
    states = [torch.load(tmp_path / name / 'checkpoints/last.ckpt', weights_only=True) for name in ('parts', 'whole')]
    assert states[0]['global_step'] == states[1]['global_step'] == 6
    for name, value in states[1]['state_dict'].items():
        assert torch.allclose(states[0]['state_dict'][name], value, atol=1e-5), name


@pytest.mark.parametrize('size', [1, 3, 8, 11])
def test_each_step_of_all_processes_has_the_samples_of_one_large_batch(size):
    labelled = np.arange(9) % 3 == 0

    def batches(batch_size: int, rank: int, processes: int) -> list[list]:
        places = list(EpochOrder(labelled, 0.5, size, 7, lambda: 4, batch_size, rank, processes))
        assert len(places) == len(EpochOrder(labelled, 0.5, size, 7, lambda: 4, batch_size, rank, processes))
        return [places[i:i + batch_size] for i in range(0, len(places), batch_size)]

    shares = [batches(2, rank, 2) for rank in range(2)]
    together = [sorted(a + b) for a, b in zip(*shares, strict=True)]
    large = [sorted(batch) for batch in batches(4, 0, 1)]
    if size >= 4:
        assert together == large
    else:  # too few for one batch: nobody may go without
        assert len(together) == len(large) == 1


@pytest.mark.parametrize('mixed, batch_size', [(0.5, 2), (0.25, 4)])
def test_labelled_frames_reach_all_processes_alike(mixed, batch_size):
    labelled = np.arange(9) < 3
    for rank in range(2):
        order = EpochOrder(labelled, mixed, 16, 7, lambda: 0, batch_size, rank, 2)
        mine = labelled[[index for _, index, _ in order]].reshape(-1, batch_size)
        assert (mine.sum(1) == 1).all()


class _Reads:
    """Samples that note that they were read."""

    def __init__(self) -> None:
        self.read: list[tuple] = []

    def __len__(self) -> int:
        return 9

    def __getitem__(self, place: tuple) -> tuple:
        self.read.append(place)
        return place


@pytest.mark.parametrize('rank', [0, 1])
def test_an_epoch_that_goes_on_reads_only_what_is_left_of_it(rank):
    done, samples = [0], _Reads()
    order = EpochOrder(np.arange(9) < 3, 0.5, 16, 7, lambda: 0, 2, rank, 2)
    loader = ResumableLoader(samples, 2, sampler=order, collate_fn=list, start=lambda: done[0])
    whole = list(loader)
    assert len(whole) == len(loader) == 4 and samples.read == sum(whole, [])
    done[0], samples.read[:] = 3, []
    assert list(loader) == whole[3:] and samples.read == whole[3]
    done[0] = 0
    assert list(loader) == whole


@pytest.mark.parametrize('size, processes', [(5, 2), (4, 2), (1, 3), (7, 3)])
def test_validation_counts_each_frame_once(size, processes):
    shares = [list(EachOnce(size, rank, processes)) for rank in range(processes)]
    assert len({len(share) for share in shares}) == 1
    assert sorted(index for share in shares for index, counts in share if counts) == list(range(size))
    assert all(0 <= index < size for share in shares for index, _ in share)


def test_norms_become_ones_of_all_processes_and_students_keep_their_names():
    student = build_student('minkunet14', 5, 12, 0.25)
    names = set(student.state_dict())
    norms = sum(isinstance(module, nn.BatchNorm1d) for module in student.modules())
    shared = nn.SyncBatchNorm.convert_sync_batchnorm(student)
    assert sum(isinstance(module, nn.SyncBatchNorm) for module in shared.modules()) == norms > 0
    assert set(shared.state_dict()) == names
