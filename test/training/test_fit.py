# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""From a recipe to an exported student that labels clouds."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from streets import RECIPE, street, write_drive

from ros_kd.students.checkpoint import read_info
from ros_kd.students.predictor import Predictor
from ros_kd.students.presets import PRESETS, StudentSpec
from training.__main__ import main
from training.frames.batches import Batch, PointTargets
from training.frames.data import under
from training.frames.prepared import PreparedFrames
from training.frames.targets import Makers, Targets
from training.losses.lovasz import lovasz_softmax
from training.methods.soft_labels import SoftLabels, balance, soft_cross_entropy
from training.running.cli import without_folders

ROOT = Path(__file__).parents[2]


@pytest.fixture
def recipe(tmp_path) -> list[str]:
    """Arguments of `fit` for a small drive."""
    (tmp_path / 'tiny.yaml').write_text(RECIPE)
    return ['fit', '--config', str(tmp_path / 'tiny.yaml'), '--data.root', str(write_drive(tmp_path, 6))]


def _losses(run: Path) -> dict[int, float]:
    found = {}
    for file in sorted(run.glob('logs/version_*/metrics.csv')):
        found.update({int(row['step']): float(row['loss_step']) for row in csv.DictReader(file.open())
                      if row.get('loss_step')})
    return found


def test_fit_export_predict_and_evaluate(recipe, tmp_path, capsys):
    run, root = tmp_path / 'run', tmp_path / 'data'
    validated = ['--data.val', '["semantickitti:.?sequences=00&frames=1"]']
    assert main([*recipe, *validated, '--run', str(run), '--trainer.max_epochs', '12']) == 0
    losses = _losses(run)
    assert losses[max(losses)] < 0.3 * losses[0]
    scan = street(77).scan
    prediction = Predictor.load(run / 'student.safetensors').predict(scan)
    assert (prediction.label == scan.label).mean() > 0.95
    info = read_info(run / 'student.safetensors')
    assert info.taxonomy.name == 'street-12' and info.inputs.voxel_size == 0.5 and 'SoftLabels' in info.recipe
    assert info.scores[0].value > 0.9 and info.temperature != 1.0
    assert main(['validate', *recipe[1:], *validated, '--run', str(run), '--ckpt_path', 'best']) == 0
    assert 'val/miou' in capsys.readouterr().out
    out = tmp_path / 'scores.json'
    assert main(['evaluate', '--checkpoint', str(run / 'student.safetensors'), '--dataset', f'semantickitti:{root}',
                 '--tta', '2', '--out', str(out), '--pictures', str(tmp_path / 'pictures')]) == 0
    report = json.loads(out.read_text())
    assert report['accuracy'] > 0.95 and report['iou']['car'] is None and report['points'] == 6 * 600
    assert report['labels'] == 'semantickitti' and report['test_time_augmentation'].startswith('2 rotations')
    parts = report['subsets']
    assert parts['in a camera\'s view']['points'] + parts['in no camera\'s view']['points'] == 6 * 600
    assert parts['nearer than 6 m']['points'] + parts['farther than 6 m']['points'] == 6 * 600
    assert len(list((tmp_path / 'pictures').glob('*.png'))) == 6
    assert 'mIoU' in capsys.readouterr().out
    assert main(['export', '--run', str(run), '--out', str(tmp_path / 'again.safetensors')]) == 0
    assert (tmp_path / 'again.safetensors').read_bytes() == (run / 'student.safetensors').read_bytes()
    assert main(['export', '--run', str(run), '--out', str(tmp_path / 'scored.safetensors'), '--scores', str(out)]) == 0
    scores = read_info(tmp_path / 'scored.safetensors').scores
    assert [score.metric for score in scores] == ['mIoU', 'mIoU', 'accuracy'] and scores[2].value == report['accuracy']
    assert scores[2].data == 'semantickitti:data'
    capsys.readouterr()
    labelled = ['--out', str(tmp_path / 'labelled.safetensors'), '--calibrate', f'semantickitti:{root}']
    assert main(['export', '--run', str(run), *labelled]) == 0
    assert f'temperature {read_info(tmp_path / "labelled.safetensors").temperature:.3f} from' in capsys.readouterr().out
    small = tmp_path / 'small.safetensors'
    assert main(['export', '--run', str(run), '--out', str(small), '--half']) == 0
    assert small.stat().st_size < 0.6 * (run / 'student.safetensors').stat().st_size
    assert (Predictor.load(small).predict(scan).label == prediction.label).mean() > 0.99


@pytest.mark.parametrize('steps', [6, 7])  # at the end of an epoch, and within one
def test_an_interrupted_training_resumes_on_the_same_curve(recipe, tmp_path, steps):
    whole, parts = tmp_path / 'whole', tmp_path / 'parts'
    recipe += ['--trainer.max_epochs', '4']
    assert main([*recipe, '--run', str(whole)]) == 0
    interrupt = ['--trainer.callbacks+', 'streets.InterruptAfter', '--trainer.callbacks.steps', str(steps)]
    with pytest.raises(SystemExit):
        main([*recipe, *interrupt, '--run', str(parts)])
    assert max(_losses(parts)) < 7
    assert main([*recipe, '--run', str(parts), '--ckpt_path', 'last']) == 0
    expected = _losses(whole)
    found = _losses(parts)
    assert max(found) == max(expected) == 11
    assert found == pytest.approx({step: expected[step] for step in found}, rel=1e-4)
    assert main([*recipe, '--run', str(parts)]) == 1  # it would overwrite a run


def test_training_with_3d_labels_needs_no_teacher(recipe, tmp_path):
    recipe += ['--model.class_path', 'training.methods.supervised.Supervised', '--data.teacher', 'null', '--run',
               str(tmp_path / 'run'), '--trainer.max_epochs', '1']
    assert main(recipe) == 0
    assert (tmp_path / 'run/student.safetensors').is_file()


def test_a_recipe_names_a_preset_or_changes_one_value_of_its_student(recipe, tmp_path):
    recipe += ['--trainer.max_epochs', '1']
    for name, student in (('fast', ['--model.student', 'fast']), ('other', ['--model.student.inputs.voxel_size', '1'])):
        assert main([*recipe, *student, '--run', str(tmp_path / name)]) == 0
    fast, other = (read_info(tmp_path / name) for name in ('fast', 'other'))
    assert StudentSpec(fast.architecture, fast.width, fast.inputs) == PRESETS['fast']
    assert other.inputs.voxel_size == 1 and other.width == 0.25


def test_baseline_and_teacher_can_be_evaluated(recipe, tmp_path):
    data = f'semantickitti:{tmp_path}/data'
    assert main(['evaluate', '--constant', 'road', '--dataset', data, '--out', str(tmp_path / 'road.json')]) == 0
    road = json.loads((tmp_path / 'road.json').read_text())
    truth = np.concatenate([street(seed).scan.label for seed in range(6)])
    assert road['accuracy'] == pytest.approx((truth == 0).mean())
    assert road['mean_iou'] == pytest.approx((truth == 0).mean() / 2)
    assert main(['evaluate', '--teacher', str(tmp_path / 'tiny.yaml'), '--root', str(tmp_path / 'data'), '--dataset',
                 data, '--out', str(tmp_path / 'teacher.json')]) == 0
    teacher = json.loads((tmp_path / 'teacher.json').read_text())
    assert teacher['accuracy'] > 0.99 and 0 < teacher['points'] < 1800


def test_errors_say_what_was_expected(recipe, tmp_path, capsys):
    assert main([*recipe, '--data.teacher', 'null', '--run', str(tmp_path / 'run')]) == 1
    assert 'needs a teacher' in capsys.readouterr().err
    assert main(['evaluate', '--constant', 'tree', '--dataset', 'semantickitti:.']) == 1
    assert 'no class "tree"' in capsys.readouterr().err
    assert main(['dance']) == 2
    for name, value in (('batch_size', '0'), ('neighbours', '-1'), ('workers', '-1'), ('epoch_size', '0')):
        assert main([*recipe, f'--data.{name}', value]) == 1
        assert f'data.{name} is {value}: expected' in capsys.readouterr().err
    assert main(['export', '--run', str(tmp_path), '--out', 'x.safetensors']) == 1
    assert 'no best.ckpt or last.ckpt' in capsys.readouterr().err


def test_missing_packages_are_named_with_the_command_that_installs_them():
    code = ('import sys\nfor name in ("torch", "lightning"): sys.modules[name] = None\n'
            'from training.__main__ import main\nsys.exit(main(["fit"]))')
    done = subprocess.run([sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert '-m pip install torch lightning' in done.stderr and 'Traceback' not in done.stderr


def test_training_imports_no_ros():
    code = ('import sys, training.running.cli, training.scores.evaluate, training.methods.supervised\n'
            'import training.teachers.huggingface\n'
            'print([m for m in sys.modules if m.split(".")[0] in ("rclpy", "sensor_msgs", "rosidl_runtime_py")])')
    done = subprocess.run([sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == '[]'


def test_an_exported_recipe_tells_names_but_no_folders():
    recipe = 'train:\n- bag:{}monday?x=1\n- kitti_raw:{}drive\n- bag:tuesday\nmodel: nvidia/segformer\n'
    assert without_folders(recipe.format('/home/me/drives/', '~/data/')) == recipe.format('', '')


def test_relative_paths_of_a_recipe_start_at_the_root():
    assert under(Path('/data'), 'kitti_raw:drive?every=2') == 'kitti_raw:/data/drive?every=2'
    assert under(Path('/data'), 'kitti_raw:/elsewhere/drive') == 'kitti_raw:/elsewhere/drive'
    assert under(Path('/data'), 'simulated:?seed=1') == 'simulated:?seed=1'
    assert under(Path('/data'), 'drive') == '/data/drive'


def test_targets_are_made_once_and_found_again_on_disk(tmp_path):
    frames, asked = [street(0), street(1)], []

    class Maker:
        identity, width = 'counted', 12

        def __call__(self, frame, others=()):
            asked.append(frame.key)
            return Targets(np.array([3]), np.ones((1, 12), np.float16), np.ones(1, np.float32))

    for _ in range(2):
        prepared = PreparedFrames([('streets', frames)], Makers(classes=Maker()), cache=tmp_path)
        assert [prepared[i].known.classes.index.tolist() for i in (0, 1, 0)] == [[3], [3], [3]]
    assert asked == ['street0', 'street1']
    assert prepared[0].frame.views == ()


def test_soft_cross_entropy_is_the_weighted_mean_of_the_points():
    logits = torch.tensor([[2.0, 0.0], [0.0, 0.0]])
    target, weight = torch.tensor([[0.75, 0.25], [0.0, 1.0]]), torch.tensor([[1.0], [3.0]])
    first = -(0.75 * logits.log_softmax(1)[0, 0] + 0.25 * logits.log_softmax(1)[0, 1])
    assert soft_cross_entropy(logits, target, weight) == pytest.approx(float(first + 3 * np.log(2)) / 4)


def test_lovasz_beside_soft_labels_is_that_of_the_likeliest_classes():
    frame, method = street(3), SoftLabels('street-12', lovasz=2.0)
    rows = torch.arange(0, 600, 3)
    values = torch.rand(len(rows), len(method.taxonomy), generator=torch.Generator().manual_seed(0))
    batch = Batch((frame,), classes=PointTargets(rows, values / values.sum(1, keepdim=True), torch.ones(len(rows))))
    answer = method.answer(batch)
    found = method.losses(batch, answer)
    logits, inside = answer.at(rows)
    assert set(found) == {'classes', 'lovasz'}
    expected = lovasz_softmax(logits, values[inside].argmax(1)).item()
    assert found['lovasz'].item() == pytest.approx(2 * expected, rel=1e-4)


def test_rare_classes_weigh_more_and_the_mean_is_kept():
    mass = torch.tensor([0.8, 0.1, 0.1, 0.0])
    weight = balance(mass, 1 / 3)
    assert float(weight[1] / weight[0]) == pytest.approx(2)
    assert float((weight * mass).sum()) == pytest.approx(1)


def test_a_scan_without_points_in_range_is_validated_as_unanswered():
    frame, method = street(77), SoftLabels('street-12')
    empty = replace(frame, scan=replace(frame.scan, points=np.full_like(frame.scan.points, np.nan)))
    targets = PointTargets(torch.arange(5), torch.eye(len(method.taxonomy))[:5], torch.ones(5))
    method.on_validation_epoch_start()
    with torch.inference_mode():
        method.eval().validation_step(Batch((empty,), classes=targets), 0)
    counts = method._confusions[''].counts
    assert counts.sum() == counts[:, -1].sum() == 5 and method._calibration.fit() is None
