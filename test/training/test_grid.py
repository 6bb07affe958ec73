# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Many trainings from one file: what is run, what is not run again, and what is told of it."""

from __future__ import annotations

import csv
import signal
from concurrent.futures import Executor, Future
from dataclasses import replace

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file
from streets import RECIPE, write_drive

from training.__main__ import main
from training.grid.plan import GridError, Table, grid_of, read_grid
from training.grid.report import overview, rewrite
from training.grid.results import Result, Results, reachable_mean
from training.grid.runner import run_grid
from training.grid.runs import Interrupted, TrainStage, Workshop
from training.grid.tables import draw, markdown, statistics
from training.scores.evaluate import SubsetScore

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


class Here(Executor):
    """Work in this process: importing torch in another takes longer than a tiny training."""

    def __init__(self, jobs: int) -> None:
        pass

    def submit(self, work, *arguments):
        future = Future()
        try:
            future.set_result(work(*arguments))
        except Exception as error:
            future.set_exception(error)
        return future


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
    assert slow.stages[1].recipe['data']['labels'] == {'seed': 3} and 'labels' not in slow.stages[0].recipe['data']


@pytest.mark.parametrize('changed, expected', [
    ({'axis': {}}, "'axis'"), ({'axes': {'method': ['a']}}, 'axis "method"'), ({'base': 'no.yaml'}, 'no recipe at'),
    ({'set': {'model.class_path.x': 1}}, 'no mapping'), ({'set': {'later/x': 1}}, 'stage "later"'),
    ({'evaluation': {'data': []}}, 'evaluation'), ({'tables': [{'name': 'x', 'row': 'method'}]}, "'row'"),
    ({'evaluation': {'datasets': 'bag:town', 'taxonomy': 'sim-12'}}, r'expected a list, such as \[bag:town\]'),
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
    (soft,), (other_seed,), (labels,) = (run.stages for run in grid.runs[:3])
    TrainStage(soft, 0, workshop)()
    for stage, seed in ((labels, 0), (other_seed, 1), (soft, 0)):
        TrainStage(stage, seed, replace(workshop, out=tmp_path / 'again'))()
    first, second = (student(place, soft.key) for place in (workshop, replace(workshop, out=tmp_path / 'again')))
    assert all(torch.equal(first[name], second[name]) for name in first)
    third = student(replace(workshop, out=tmp_path / 'again'), other_seed.key)
    assert any(not torch.equal(first[name], third[name]) for name in first)


def test_runs_are_scored_in_other_processes_and_not_repeated(tmp_path, workshop):
    path, said = tmp_path / 'results/tiny.jsonl', []
    grid = grid_of(tiny(set={'trainer.max_epochs': 12}), tmp_path)
    outcome = run_grid(grid, Results(path), workshop, 1, said.append)
    assert not outcome.failed and [result.cell['method'] for result in outcome.finished] == ['soft', 'labels']
    assert said[0] == 'tiny: 2 runs to do, 0 done before' and said[1].startswith('1/2 tiny: soft · seed 0: ')
    known = Results(path)
    for result in (known.get(run.key) for run in grid.runs):
        assert result.points == 3 * 600 and 0 < result.mean_iou < 1 and result.seconds > 0
        assert result.subsets['nearer than 6 m'].points > 0 and result.iou['car'] is None
    assert not run_grid(grid, known, workshop, 1, quiet).finished
    path.unlink()
    files = [workshop.student(run.stages[0].key) for run in grid.runs]
    trained = [file.stat().st_mtime_ns for file in files]
    scored = run_grid(grid, Results(path), workshop, 1, quiet, Here).finished
    assert [result.mean_iou for result in scored] == [pytest.approx(known.get(result.key).mean_iou, abs=1e-4)
                                                      for result in scored]
    assert [file.stat().st_mtime_ns for file in files] == trained  # once


def test_a_failed_run_stops_no_other_and_says_why(tmp_path, workshop):
    grid = grid_of(tiny(axes={'method': {'missing': {'data.train': ['semantickitti:missing']},
                                         'refused': {'model.init_args.typo': 1}, 'fine': {}}}), tmp_path)
    outcome = run_grid(grid, Results(tmp_path / 'r.jsonl'), workshop, 1, quiet, Here)
    assert [result.cell['method'] for result in outcome.finished] == ['fine']
    assert sorted(outcome.failed) == ['missing · seed 0', 'missing · seed 0 (train)', 'refused · seed 0',
                                      'refused · seed 0 (train)']
    assert 'data/missing has neither' in outcome.failed['missing · seed 0 (train)']
    assert 'typo' in outcome.failed['refused · seed 0 (train)']
    assert 'stage that it needs failed' in outcome.failed['missing · seed 0']
    assert 'data/missing has neither' in (workshop.out / 'failed.txt').read_text()


def test_a_later_stage_starts_from_the_earlier_ones_student(tmp_path, workshop):
    grid = grid_of(tiny(axes=None, stages=['pretrain', 'tune'], set={
        'tune/model.init_args.student': '{pretrain}', 'tune/model.init_args.optimisation.rate': 1e-9}), tmp_path)
    outcome = run_grid(grid, Results(tmp_path / 'r.jsonl'), workshop, 1, quiet, Here)
    assert not outcome.failed and outcome.finished[0].stages.keys() == {'pretrain', 'tune'}
    first, second = (student(workshop, stage.key) for stage in grid.runs[0].stages)
    weights = [name for name in first if name.endswith('weight') and first[name].ndim > 1 and name in second]
    assert weights and all(torch.allclose(first[name], second[name], atol=1e-5) for name in weights)


def test_a_training_that_was_killed_goes_on(tmp_path, workshop):
    recipe = {'trainer.max_epochs': 40, 'trainer.log_every_n_steps': 1}
    (stage,) = grid_of(tiny(set=recipe), tmp_path).runs[0].stages
    stopped = {**stage.recipe, 'trainer': {**stage.recipe['trainer'], 'callbacks': [
        {'class_path': 'streets.InterruptAfter', 'init_args': {'steps': 30}}]}}
    with pytest.raises(Interrupted):
        TrainStage(replace(stage, recipe=stopped), 0, workshop)()
    assert not workshop.is_trained(stage.key)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # the trainer ignores it from then on
    TrainStage(stage, 0, workshop)()
    rows = [[int(row['step']) for row in csv.DictReader(path.open()) if row.get('loss_step')]
            for path in sorted(workshop.folder(stage.key).glob('logs/*/metrics.csv'))]
    assert len(rows) == 2 and rows[0][0] == 0 and rows[1][0] >= 28 and rows[1][-1] == 39
    assert workshop.student(stage.key).is_file()


def test_a_checkpoint_that_was_cut_off_begins_anew(tmp_path, workshop):
    (stage,) = grid_of(tiny(), tmp_path).runs[0].stages
    last = workshop.folder(stage.key) / 'checkpoints/last.ckpt'
    last.parent.mkdir(parents=True)
    last.write_bytes(b'PK cut off')
    TrainStage(stage, 0, workshop)()
    assert workshop.is_trained(stage.key) and workshop.student(stage.key).is_file()


def test_an_error_after_resuming_keeps_what_was_learnt(tmp_path, workshop):
    (stage,) = grid_of(tiny(), tmp_path).runs[0].stages
    begun = {**stage.recipe, 'trainer': {**stage.recipe['trainer'], 'callbacks': [
        {'class_path': 'streets.InterruptAfter', 'init_args': {'steps': 1}}]}}
    with pytest.raises(Interrupted):
        TrainStage(replace(stage, recipe=begun), 0, workshop)()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    answers = workshop.root / 'teacher/sequences/00/image_2'
    answers.rename(workshop.root / 'elsewhere')
    with pytest.raises(ValueError):
        TrainStage(stage, 0, workshop)()
    assert (workshop.folder(stage.key) / 'checkpoints/last.ckpt').is_file()


def result(run: str, seed: int, **scores) -> Result:
    """A result with some scores."""
    own = {'mean_iou': 0.5, 'reachable_mean_iou': 0.6, 'accuracy': 0.9, **scores}
    return Result(run, 'made up', {}, seed, iou={'road': 0.7, 'car': None}, taxonomy='street-12', frames=1, points=9,
                  subsets={'nearer than 6 m': SubsetScore(5, 2, own['mean_iou'] - 0.1, 0.5)}, seconds=30.0,
                  datasets=['bag:town-200'], **own)


def test_results_outlive_a_kill_in_the_middle_of_a_line(tmp_path):
    path = tmp_path / 'r.jsonl'
    kept = Results(path)
    kept.add(result('a', 0, mean_iou=float('nan')))
    with path.open('a') as file:
        file.write(result('b', 0).to_json()[:50])
    again = Results(path)
    assert 'a' in again and 'b' not in again and again.get('a').mean_iou is None
    again.add(result('c', 1))
    assert Results(path).get('c') == again.get('c') and 'a' in Results(path)
    other = Results(tmp_path / 'other.jsonl', [path])
    assert 'c' in other and not (tmp_path / 'other.jsonl').exists()


def test_metrics_by_name():
    one = result('a', 0)
    assert [one.metric(name) for name in ('mIoU', 'reachable mIoU', 'accuracy', 'IoU road', 'IoU car', 'pixel error',
                                          'nearer than 6 m')] == [0.5, 0.6, 0.9, 0.7, None, None, 0.4]
    with pytest.raises(ValueError, match='no metric "nearer"'):
        one.metric('nearer')
    assert reachable_mean({'a': 0.2, 'b': 0.4, 'c': None}, ['b', 'c']) == 0.4
    assert reachable_mean({'a': 0.2, 'b': 0.4, 'c': None}, []) == pytest.approx(0.3)
    with pytest.raises(ValueError, match='d'):
        reachable_mean({'a': 0.2}, ['d'])


@pytest.fixture
def measured(tmp_path):
    """A grid of two methods, two rates and two seeds, and results of all but one run."""
    grid = grid_of(tiny(seeds=[0, 1], axes={'method': LABELS, 'rate': RATES},
                        tables=[{'name': 'both', 'rows': 'method', 'columns': 'rate', 'metrics': 'mIoU'},
                                {'name': 'near', 'rows': ['method', 'rate'], 'metrics': ['mIoU', 'nearer than 6 m'],
                                 'where': {'rate': 'fast'}}],
                        plots=[{'name': 'rates', 'x': 'rate', 'lines': 'method'},
                               {'name': 'pixels', 'x': 'pixel error', 'lines': 'method'}]), tmp_path)
    results = Results(tmp_path / 'tiny.jsonl')
    for number, run in enumerate(grid.runs[:-1]):
        results.add(result(run.key, run.seed, mean_iou=0.4 + 0.02 * number, pixel_error=float(number)))
    return grid, results


def test_tables_hold_mean_deviation_and_number_of_seeds(measured):
    grid, results = measured
    both, near = (markdown(grid, results, table) for table in grid.tables)
    deviation = np.std([40, 42], ddof=1)
    assert '| mIoU, method | slow | fast |' in both and f'| soft | 41.0 ± {deviation:.1f} | 45.0 ± ' in both
    assert '| labels | 49.0 ± 1.4 | 52.0 (n = 1) |' in both
    assert 'over seeds 0, 1; scored on town-200, without test-time augmentation; 1 of 8 runs are missing.' in both
    assert '| method · rate | mIoU | mIoU nearer than 6 m |' in near
    assert '| soft · fast | 45.0 ± 1.4 | 35.0 ± 1.4 |' in near
    assert 'slow' not in near
    over_rates = statistics(grid, results, ('method',), 'mIoU', {})[('soft',)]
    expected = 43, np.std([40, 42, 44, 46], ddof=1), 4
    assert (over_rates.mean, over_rates.deviation, over_rates.count) == pytest.approx(expected)
    with pytest.raises(GridError, match='no axis "width"'):
        markdown(grid, results, Table('x', ('width',)))
    with pytest.raises(GridError, match='no value'):
        markdown(grid, results, Table('x', ('method',), where={'rate': ('slower',)}))


def test_plots_are_drawn_over_an_axis_or_a_metric(measured, tmp_path):
    grid, results = measured
    for plot in grid.plots:
        assert draw(grid, results, plot, tmp_path / f'{plot.name}.png').read_bytes()[:4] == b'\x89PNG'
    assert overview(grid, results, tmp_path / 'all').read_text().count('![') == 2


def test_a_document_is_rewritten_between_its_marks_only(measured, tmp_path):
    grid, results = measured
    document = tmp_path / 'RESULTS.md'
    document.write_text('Words.\n\n<!-- begin tiny/both -->\nold\n<!-- end tiny/both -->\n\nMore words.\n'
                        '<!-- begin tiny/plot/rates -->\n<!-- end tiny/plot/rates -->\n'
                        '<!-- begin other/both -->\nkept\n<!-- end other/both -->\n')
    missing = rewrite(document, {grid: results}, tmp_path / 'images')
    text = document.read_text()
    assert missing == ['tiny/near', 'tiny/plot/pixels']
    assert text.startswith('Words.\n\n<!-- begin tiny/both -->\n| mIoU') and 'old' not in text and 'kept' in text
    assert 'images/tiny-rates.png)' in text and (tmp_path / 'images/tiny-rates.png').is_file()
    rewrite(document, {grid: results}, tmp_path / 'images')
    assert document.read_text() == text
    for wrong, expected in (('<!-- begin tiny/both -->\n', 'no "<!-- end'),
                            ('<!-- begin tiny/typo -->\n<!-- end tiny/typo -->', 'nothing is called')):
        document.write_text(wrong)
        with pytest.raises(ValueError, match=expected):
            rewrite(document, {grid: results}, tmp_path / 'images')


def test_the_command_writes_tables(tmp_path, measured, capsys):
    path = tmp_path / 'tiny.yaml'
    tables = [{'name': 'both', 'rows': 'method', 'columns': 'rate'}]
    content = tiny(seeds=[0, 1], axes={'method': LABELS, 'rate': RATES}, tables=tables)
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    shared = ['grid', '--config', str(path), '--out', str(tmp_path)]
    assert main([*shared, '--list']) == 0
    listed = capsys.readouterr().out.splitlines()
    assert len(listed) == 8 and [line.endswith('(to do)') for line in listed] == [False] * 7 + [True]
    assert main([*shared, '--tables']) == 0
    assert '52.0 (n = 1)' in (tmp_path / 'tiny.md').read_text()
    assert main(['grid', '--config', str(tmp_path / 'none.yaml')]) == 1
