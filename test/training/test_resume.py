# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Trainings that end early, are repeated, or do not fit the memory."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from curves import EVEN, losses
from streets import RECIPE, write_drive
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from training.__main__ import main
from training.running.saving import WholeFiles

ROOT = Path(__file__).parents[2]
SUPERVISED = ['--model.class_path', 'training.methods.supervised.Supervised', '--data.teacher', 'null']


@pytest.fixture
def recipe(tmp_path) -> list[str]:
    """Arguments of `fit` for a small drive: three steps an epoch."""
    (tmp_path / 'tiny.yaml').write_text(RECIPE)
    return ['fit', '--config', str(tmp_path / 'tiny.yaml'), '--data.root', str(write_drive(tmp_path, 6))]


def at(name: str, **values: object) -> list[str]:
    """Arguments that add a callback of curves.py."""
    return ['--trainer.callbacks+', f'curves.{name}',
            *(text for key, value in values.items() for text in (f'--trainer.callbacks.{key}', str(value)))]


def test_a_killed_training_resumes_on_the_same_curve(recipe, tmp_path):
    recipe += ['--trainer.max_epochs', '3']
    whole, killed = tmp_path / 'whole', tmp_path / 'killed'
    assert main([*recipe, '--run', str(whole)]) == 0
    command = [sys.executable, '-m', 'training', *recipe, '--run', str(killed), '--save_every', '0',
               *at('KillAfter', steps=5)]
    there = {**os.environ, 'PYTHONPATH': f'{ROOT}:{Path(__file__).parent}'}
    assert subprocess.run(command, cwd=ROOT, env=there, capture_output=True).returncode == -9
    assert not (killed / 'student.safetensors').exists()
    (killed / 'checkpoints/last.ckpt.part').write_bytes(b'half')  # killed while it was writing
    assert main([*recipe, '--run', str(killed), '--ckpt_path', 'last']) == 0
    found, expected = losses(killed), losses(whole)
    assert max(found) == max(expected) == 8
    # The log is written every few steps: what the killed process had not written yet is lost, but for its state.
    assert set(range(4, 9)) <= set(found)
    assert found == pytest.approx({step: expected[step] for step in found}, rel=1e-4)
    assert (killed / 'student.safetensors').exists()


@pytest.mark.parametrize('hook, steps', [('on_before_optimizer_step', 2), ('on_validation_batch_end', 3)])
def test_an_interruption_in_the_middle_leaves_no_trace(recipe, tmp_path, hook, steps):
    recipe += ['--data.val', '["semantickitti:.?sequences=00&frames=2"]', '--trainer.max_epochs', '2',
               '--model.student.architecture', 'spvcnn']  # which drops values by chance
    whole, parts = tmp_path / 'whole', tmp_path / 'parts'
    assert main([*recipe, '--run', str(whole)]) == 0
    with pytest.raises(SystemExit):
        main([*recipe, '--run', str(parts), *at('InterruptIn', hook=hook, steps=steps)])
    assert main([*recipe, '--run', str(parts), '--ckpt_path', 'last']) == 0
    assert losses(parts) == pytest.approx(losses(whole), rel=1e-4)
    # Also the statistics of the norms, and the validation that was broken off.
    assert losses(parts, 'val/accuracy') == pytest.approx(losses(whole, 'val/accuracy'))
    assert sorted(losses(parts, 'val/accuracy')) == [2, 5]


def test_a_checkpoint_takes_the_place_of_the_old_one_when_it_is_whole(tmp_path):
    class Torn:
        def __reduce__(self):
            raise OSError('No space left on device')

    path, writer = tmp_path / 'checkpoints/last.ckpt', WholeFiles()
    writer.save_checkpoint({'step': 1}, path)
    with pytest.raises(OSError, match='No space left'):
        writer.save_checkpoint({'step': 2, 'torn': Torn()}, path)
    assert torch.load(path, weights_only=True) == {'step': 1}
    writer.save_checkpoint({'step': 3}, path)
    assert writer.load_checkpoint(path, weights_only=True) == {'step': 3}


def test_an_interruption_leaves_the_best_checkpoint_alone(recipe, tmp_path):
    recipe += ['--data.val', '["semantickitti:.?sequences=00&frames=1"]', '--trainer.max_epochs', '3', '--run',
               str(tmp_path / 'run')]
    with pytest.raises(SystemExit):
        main([*recipe, '--trainer.callbacks+', 'streets.InterruptAfter', '--trainer.callbacks.steps', '5'])
    folder = tmp_path / 'run/checkpoints'
    assert torch.load(folder / 'best.ckpt', weights_only=True)['global_step'] == 3
    assert torch.load(folder / 'last.ckpt', weights_only=True)['global_step'] == 5


def test_two_trainings_of_one_recipe_are_the_same(recipe, tmp_path):
    torch.use_deterministic_algorithms(False)
    runs = [tmp_path / name for name in ('one', 'two', 'other')]
    for run, seed in zip(runs, (0, 0, 1)):
        assert main([*recipe, '--run', str(run), '--trainer.max_epochs', '2', '--seed_everything', str(seed)]) == 0
    assert torch.are_deterministic_algorithms_enabled()  # threads would add in any order, now and then
    one, two, other = map(losses, runs)
    assert len(one) == 6 and one == two and one != other
    assert (runs[0] / 'student.safetensors').read_bytes() == (runs[1] / 'student.safetensors').read_bytes()


def test_the_frames_whose_labels_were_used_are_listed_and_can_be_given_again(recipe, tmp_path):
    recipe += [*SUPERVISED, '--trainer.max_epochs', '1']
    drawn, given, other = (tmp_path / name for name in ('drawn', 'given', 'other'))
    draw = ['--data.labels.share', '0.5']
    assert main([*recipe, *draw, '--data.labels.seed', '3', '--run', str(drawn)]) == 0
    assert main([*recipe, *draw, '--data.labels.seed', '4', '--run', str(other)]) == 0
    names = (drawn / 'labelled_frames.txt').read_text()
    assert len(names.splitlines()) == 3 and names != (other / 'labelled_frames.txt').read_text()
    assert str(tmp_path) not in names
    assert main([*recipe, '--data.labels.file', str(drawn / 'labelled_frames.txt'), '--run', str(given)]) == 0
    assert (given / 'labelled_frames.txt').read_text() == names
    assert losses(given) == losses(drawn)


def test_too_little_memory_is_answered_with_what_to_try_and_the_run_goes_on_so(recipe, tmp_path, capsys):
    recipe += [*EVEN, '--trainer.max_epochs', '2', *at('Hungry', steps=1, fits=1)]
    run = ['--run', str(tmp_path / 'run')]
    assert main([*recipe, *run]) == 1
    said = capsys.readouterr().err
    assert 'not enough memory for batches of 2 scans' in said and 'Traceback' not in said
    smaller = '--data.batch_size 1 --trainer.accumulate_grad_batches 2'
    assert smaller in said and '--model.student.inputs.voxel_size 0.75' in said and '--ckpt_path last' in said
    assert main([*recipe, *run, *smaller.split(), '--ckpt_path', 'last']) == 0
    assert main([*recipe, '--run', str(tmp_path / 'small'), *smaller.split()]) == 0
    students = [(tmp_path / name / 'checkpoints/last.ckpt') for name in ('run', 'small')]
    states = [torch.load(path, weights_only=True)['state_dict'] for path in students]
    assert all(torch.allclose(states[0][name], states[1][name], atol=1e-5) for name in states[0])


def test_curves_of_a_run_are_in_tensorboard(recipe, tmp_path):
    run = tmp_path / 'run'
    assert main([*recipe, '--run', str(run), '--trainer.max_epochs', '2', '--data.val',
                 '["semantickitti:.?sequences=00&frames=1"]']) == 0
    events = EventAccumulator(str(run / 'logs/version_0'))
    events.Reload()
    scalars = events.Tags()['scalars']
    assert {'loss_step', 'lr-AdamW', 'val/miou', 'val/iou/road', 'val/iou_labels/building'} <= set(scalars)
    assert 'val/iou/car' not in scalars  # no such points
    assert [event.step for event in events.Scalars('loss_step')] == list(range(6))
    assert {event.step: event.value for event in events.Scalars('loss_step')} == pytest.approx(losses(run))
    assert len(events.Images('validation/first_frame')) == 2
