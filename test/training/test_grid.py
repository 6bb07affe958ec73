# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Many trainings from one file: what is run, what is not run again, and what is told of it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file
from streets import RECIPE, write_drive

from training.__main__ import main
from training.evaluate import SubsetScore
from training.grid.plan import GridError, Plot, Table, grid_of, read_grid
from training.grid.report import overview, rewrite
from training.grid.results import Result, Results, reachable_mean
from training.grid.runner import run_grid
from training.grid.runs import ScoreRun, TrainStage, Workshop
from training.grid.tables import Statistic, draw, markdown, statistics

BASE = yaml.safe_load(RECIPE) | {'trainer': {'accelerator': 'cpu', 'enable_model_summary': False, 'max_epochs': 1}}
SCORING = {'datasets': ['semantickitti:.?sequences=00'], 'taxonomy': 'street-12'}
LABELS = {'soft': {}, 'labels': {'model.class_path': 'training.methods.supervised.Supervised', 'data.teacher': None}}
RATES = {'slow': {'model.init_args.optimisation.rate': 1e-4}, 'fast': {'model.init_args.optimisation.rate': 0.01}}


def tiny(**changed) -> dict:
    """The content of a grid file of two methods."""
    return {'name': 'tiny', 'base': BASE, 'evaluation': SCORING, 'axes': {'method': LABELS}, **changed}


@pytest.fixture
def workshop(tmp_path) -> Workshop:
    """A place to work with three streets to learn from."""
    return Workshop(tmp_path / 'out', write_drive(tmp_path, 3))


def quiet(_: str) -> None:
    """Say nothing."""


def test_cells_are_the_combinations_of_each_blocks_axes(tmp_path):
    grid = grid_of(tiny(seeds=[0, 1], axes=None, blocks=[
        {'axes': {'method': LABELS, 'rate': RATES}},
        {'set': {'data.batch_size': 1}, 'axes': {'method': {'one by one': {}}}, 'seeds': [7]}]), tmp_path)
    assert [run.name for run in grid.runs] == [
        'soft · slow · seed 0', 'soft · slow · seed 1', 'soft · fast · seed 0', 'soft · fast · seed 1',
        'labels · slow · seed 0', 'labels · slow · seed 1', 'labels · fast · seed 0', 'labels · fast · seed 1',
        'one by one · seed 7']
    recipes = [run.stages[0].recipe for run in grid.runs]
    assert recipes[4]['model']['class_path'].endswith('Supervised') and recipes[4]['data']['teacher'] is None
    assert recipes[4]['model']['init_args']['optimisation']['rate'] == 1e-4 and recipes[4]['data']['batch_size'] == 2
    assert recipes[8]['data']['batch_size'] == 1 and recipes[0]['data']['teacher'] == BASE['data']['teacher']
    assert grid.axes == {'method': ('soft', 'labels', 'one by one'), 'rate': ('slow', 'fast')}


def test_keys_change_with_what_a_run_does_and_not_with_what_it_is_called(tmp_path):
    def keys(**changed) -> set[str]:
        return {run.key for run in grid_of(tiny(**changed), tmp_path).runs}

    known = keys()
    assert len(known) == 2 and keys() == known
    assert keys(axes={'other name': LABELS}, name='other') == known
    for changed in ({'seeds': [1]}, {'set': {'data.batch_size': 1}}, {'evaluation': {**SCORING, 'tta': 2}},
                    {'set': {'evaluation.reachable': ['road']}}):
        assert not keys(**changed) & known, changed


def test_stages_are_shared_by_cells_that_begin_alike(tmp_path):
    grid = grid_of(tiny(stages=['pretrain', 'tune'], seeds=[3], axes={'rate': {
        'slow': {'tune/model.init_args.optimisation.rate': 1e-4}, 'fast': {'tune/trainer.max_epochs': 2},
        'longer before': {'pretrain/trainer.max_epochs': 5}}},
        set={'tune/model.init_args.student': '{pretrain}', 'tune/data.labels': {'seed': '{seed}'}}), tmp_path)
    slow, fast, longer = grid.runs
    assert slow.stages[0].key == fast.stages[0].key != longer.stages[0].key
    assert len({run.stages[1].key for run in grid.runs}) == 3 and slow.stages[1].needs == {
        'pretrain': slow.stages[0].key}
    assert slow.stages[1].recipe['data']['labels'] == {'seed': 3} and slow.stages[0].recipe['data'].get('labels') is None


@pytest.mark.parametrize('changed, expected', [
    ({'axis': {}}, "'axis'"), ({'axes': {'method': ['a']}}, 'axis "method"'), ({'base': 'no.yaml'}, 'no recipe at'),
    ({'set': {'model.class_path.x': 1}}, 'no mapping'), ({'set': {'later/x': 1}}, 'stage "later"'),
    ({'evaluation': {'data': []}}, 'evaluation'), ({'tables': [{'name': 'x', 'row': 'method'}]}, "'row'"),
    ({'blocks': [{'axis': {}}]}, 'block 1')])
def test_a_wrong_file_is_refused_with_the_place(tmp_path, changed, expected):
    path = tmp_path / 'wrong.yaml'
    path.write_text(yaml.safe_dump({**tiny(), **changed}))
    with pytest.raises(GridError, match=expected) as caught:
        read_grid(path)
    assert str(path) in str(caught.value)


def student(workshop: Workshop, key: str) -> dict[str, torch.Tensor]:
    return load_file(workshop.student(key))


def test_a_run_does_not_depend_on_what_its_process_did_before(tmp_path, workshop):
    grid = grid_of(tiny(seeds=[0, 1]), tmp_path)
    again = replace(workshop, out=tmp_path / 'again')
    for run in grid.runs:
        TrainStage(run.stages[0], run.seed, workshop)()
    for run in grid.runs[::-1]:
        TrainStage(run.stages[0], run.seed, again)()
    for run in grid.runs:
        first, second = (student(place, run.stages[0].key) for place in (workshop, again))
        assert all(torch.equal(first[name], second[name]) for name in first), run.name
    seeds = [student(workshop, run.stages[0].key) for run in grid.runs[:2]]
    assert any(not torch.equal(seeds[0][name], seeds[1][name]) for name in seeds[0])


def test_runs_are_scored_and_not_repeated_and_a_failed_one_stops_no_other(tmp_path, workshop):
    broken = {'broken': {'data.train': ['semantickitti:missing']}, 'unknown': {'model.init_args.typo': 1}}
    grid = grid_of(tiny(axes={'method': {**broken, **LABELS}}), tmp_path)
    results, said = Results(tmp_path / 'results/tiny.jsonl'), []
    outcome = run_grid(grid, results, workshop, 2, said.append)
    assert sorted(outcome.failed) == ['broken · seed 0', 'broken · seed 0 (train)', 'unknown · seed 0',
                                      'unknown · seed 0 (train)']
    assert 'missing' in outcome.failed['broken · seed 0 (train)'] and 'typo' in outcome.failed['unknown · seed 0 (train)']
    assert 'missing' in (workshop.out / 'failed.txt').read_text() and said[0] == 'tiny: 4 runs to do, 0 done before'
    assert {result.cell['method'] for result in outcome.finished} == {'soft', 'labels'}
    known = Results(tmp_path / 'results/tiny.jsonl')
    for run in grid.runs[2:]:
        result = known.get(run.key)
        assert result.points == 3 * 600 and 0 < result.mean_iou < 1 and result.seconds > 0
        assert result.subsets['nearer than 6 m'].points > 0 and result.iou['car'] is None
    inode = workshop.student(grid.runs[2].stages[0].key).stat().st_mtime_ns
    assert not run_grid(grid_of(tiny(), tmp_path), known, workshop, 1, quiet).finished
    (tmp_path / 'results/tiny.jsonl').unlink()
    scored = run_grid(grid_of(tiny(), tmp_path), Results(tmp_path / 'results/tiny.jsonl'), workshop, 1, quiet).finished
    assert len(scored) == 2 and scored[0].mean_iou == known.get(scored[0].key).mean_iou
    assert workshop.student(grid.runs[2].stages[0].key).stat().st_mtime_ns == inode  # trained once


def test_a_later_stage_starts_from_the_earlier_ones_student(tmp_path, workshop):
    grid = grid_of(tiny(axes=None, stages=['pretrain', 'tune'], set={
        'tune/model.init_args.student': '{pretrain}', 'tune/model.init_args.optimisation.rate': 1e-9}), tmp_path)
    outcome = run_grid(grid, Results(tmp_path / 'r.jsonl'), workshop, 1, quiet)
    assert not outcome.failed and outcome.finished[0].stages.keys() == {'pretrain', 'tune'}
    first, second = (student(workshop, stage.key) for stage in grid.runs[0].stages)
    weights = [name for name in first if name.endswith('weight') and first[name].ndim > 1 and name in second]
    assert weights and all(torch.allclose(first[name], second[name], atol=1e-5) for name in weights)


def test_a_training_that_was_killed_goes_on(tmp_path, workshop):
    (tmp_path / 'grid.yaml').write_text(yaml.safe_dump(tiny(axes={'method': {'soft': {
        'trainer.max_epochs': 400, 'data.augmentation': {'dropout': 0.0}}}})))
    command = [sys.executable, '-m', 'training', 'grid', '--config', str(tmp_path / 'grid.yaml'), '--out',
               str(workshop.out), '--root', str(workshop.root)]
    run = read_grid(tmp_path / 'grid.yaml').runs[0]
    last = workshop.folder(run.stages[0].key) / 'checkpoints/last.ckpt'
    process = subprocess.Popen(command, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None and not (workshop.folder(run.stages[0].key) / 'logs').exists():
        time.sleep(0.05)
    time.sleep(1)
    import os
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait() == 130 and last.is_file()
    step = torch.load(last, weights_only=True)['global_step']
    assert 0 < step < 800
