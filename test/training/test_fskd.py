# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""A student that shares an image network's classifier labels without a single 3D label, and learns more from a few."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from lightning.pytorch import Callback
from streets import BUILDING, RECIPE, ROAD, SKY, street, write_drive

from ros_kd.label_sets import get_taxonomy
from ros_kd.sparse import BACKENDS
from ros_kd.students.adapters import AdapterSpec
from ros_kd.students.checkpoint import CheckpointInfo, load_checkpoint, save_checkpoint
from ros_kd.students.inputs import InputSpec
from ros_kd.students.predictor import Predictor
from ros_kd.students.presets import StudentSpec
from training.__main__ import main
from training.frames.augmentation import Sample
from training.frames.batches import Batch
from training.frames.projected import Projecting
from training.frames.targets import Knowledge
from training.losses.lovasz import lovasz_softmax
from training.methods.fskd import FSKD, Terms
from training.methods.supervised import Supervised
from training.teachers import FeatureTeacher
from training.teachers.classifier import Classifier
from training.teachers.files import LabelFiles

WIDTH, ROWS = 8, 20  # 19 Cityscapes classes, and one that is nobody's
TAXONOMY = get_taxonomy('street-12')
STUDENT = StudentSpec('minkunet14', 0.25, InputSpec(0.5, (-20, -20, -4), (20, 20, 4), ('z', 'intensity')))


def prototypes() -> np.ndarray:
    """Return a feature for each row of the classifier, float32 [ROWS, WIDTH]."""
    random = np.random.default_rng(0).normal(size=(ROWS, WIDTH))
    return (3 * random / np.linalg.norm(random, axis=1, keepdims=True)).astype(np.float32)


class Painted(FeatureTeacher):
    """Shows the prototype of the frame's own label image, and classifies by likeness."""

    taxonomy = get_taxonomy('cityscapes')
    identity = 'painted'
    width = WIDTH
    classifier = Classifier(2 * prototypes(), np.linspace(0, 0.5, ROWS, dtype=np.float32))

    def __init__(self, temperature: float = 1.0) -> None:
        self.temperature = temperature

    def features(self, view, uv):
        """See FeatureTeacher."""
        pixel = np.rint(uv).astype(int)
        return prototypes()[view.labels()[pixel[:, 1], pixel[:, 0]]]


class Few(Painted):
    """Knows fewer classes than the student's taxonomy has."""

    taxonomy = get_taxonomy('nuimages-11')


@pytest.fixture(scope='module')
def drive(tmp_path_factory) -> Path:
    """A drive with the features of such a network beside it."""
    root = write_drive(folder := tmp_path_factory.mktemp('drive'), 4)
    for path in sorted((root / 'teacher/sequences').rglob('*.png')):
        labels = np.full((15, 20), ROAD)
        labels[:8] = BUILDING
        target = root / 'teacher/features' / path.relative_to(root / 'teacher').with_suffix('.npz')
        target.parent.mkdir(parents=True, exist_ok=True)
        np.savez(target, features=np.moveaxis(prototypes()[labels], -1, 0).astype(np.float16))
    np.savez(root / 'teacher/classifier.npz', weight=Painted.classifier.weight, bias=Painted.classifier.bias)
    return folder


def recipe(drive: Path, method: str, arguments: dict, **data: object) -> list[str]:
    """Return the arguments of `fit` for a method on the drive."""
    content = yaml.safe_load(RECIPE)
    content['model'] = {'class_path': f'training.methods.{method}', 'init_args': {
        **content['model']['init_args'], **arguments}}
    content['data'] |= {'teacher': {'class_path': 'training.teachers.files.FeatureFiles',
                                    'init_args': {'folder': 'teacher'}}, **data}
    path = drive / f'{method}.yaml'
    path.write_text(yaml.safe_dump(content))
    return ['fit', '--config', str(path), '--data.root', str(drive / 'data')]


def batch_of(method: FSKD, teacher: FeatureTeacher, *seeds: int) -> Batch:
    """Return streets with what the method wants to know."""
    makers = method.makers(teacher)
    samples = []
    for frame in map(street, seeds):
        known = {name: maker(frame) for name, maker in vars(makers).items() if maker is not None}
        samples.append(Sample(frame, Knowledge(**known)))
    return Batch.of(samples)


def exported(method: FSKD, folder: Path) -> tuple[Path, CheckpointInfo]:
    """Return a checkpoint of the method's student and what it says."""
    info = CheckpointInfo('minkunet14', STUDENT.inputs, TAXONOMY, 0.25, adapter=method.spec.adapter,
                          taught=method.taught)
    return save_checkpoint(folder / 'fskd.safetensors', method.student, info), info


def test_a_student_labels_without_labels_and_runs_anywhere(drive, tmp_path, capsys):
    arguments = {'adapter': {'kind': 'da', 'layers': 1, 'ratio': 2}, 'optimisation': {'rate': 0.01}}
    run, scan = tmp_path / 'run', street(77).scan
    assert main([*recipe(drive, 'fskd.FSKD', arguments), '--run', str(run), '--trainer.max_epochs', '16']) == 0
    file = run / 'student.safetensors'
    student, info = load_checkpoint(file)
    assert info.adapter == AdapterSpec('da', 1, 2, WIDTH, info.adapter.classes) and len(info.adapter.classes) == ROWS
    assert torch.equal(student.head.classifier.weight, torch.from_numpy(Painted.classifier.weight))
    named = [TAXONOMY.names[i] for i in info.taught]
    assert 'road' in named and 'sidewalk' in named and info.adapter.classes[SKY] == -1
    exact = Predictor.load(file, precision='float32').predict(scan)
    assert (exact.label == scan.label).mean() > 0.9
    rough = Predictor.load(file, precision='bfloat16').predict(scan)
    assert (rough.label == exact.label).mean() > 0.99
    out = tmp_path / 'scores.json'
    assert main(['evaluate', '--checkpoint', str(file), '--dataset', f'semantickitti:{drive / "data"}', '--out',
                 str(out)]) == 0
    scores = json.loads(out.read_text())
    assert scores['reachable'] == named
    # The run itself, whose recipe knows nothing of the adapter, answers so, too; it needs no teacher for that.
    assert main(['evaluate', '--run', str(run), '--dataset', f'semantickitti:{drive / "data"}', '--out', str(out)]) == 0
    own = json.loads(out.read_text())
    assert own['iou'] == scores['iou'] and own['reachable'] == named


def test_a_training_goes_on_from_its_checkpoint_and_in_mixed_precision(drive, tmp_path, capsys):
    command = recipe(drive, 'fskd.FSKD', {'adapter': {'kind': 'da', 'layers': 1}},
                     val=['semantickitti:.?sequences=00&frames=1'])
    command += ['--run', str(tmp_path / 'run'), '--trainer.precision', 'bf16-mixed']
    command += ['--trainer.max_epochs', '2']
    with pytest.raises(SystemExit):
        main([*command, '--trainer.callbacks+', 'streets.InterruptAfter', '--trainer.callbacks.steps', '1'])
    checkpoint = tmp_path / 'run/checkpoints/last.ckpt'
    first = torch.load(checkpoint, weights_only=True)['state_dict']['student.adapter.out.weight']
    assert main([*command, '--ckpt_path', 'last']) == 0
    assert main(['validate', *command[1:], '--ckpt_path', 'last']) == 0
    assert 'val/miou' in capsys.readouterr().out
    last = torch.load(checkpoint, weights_only=True)
    assert last['global_step'] == 4 and last['student']['adapter']['width'] == WIDTH
    learnt = last['state_dict']['student.adapter.out.weight']
    assert not torch.equal(learnt, first) and bool(learnt.isfinite().all())


def test_a_few_labels_teach_all_but_the_classifier(drive, tmp_path):
    method = FSKD('street-12', STUDENT, adapter=AdapterSpec('mlp', 1))
    batch_of(method, Painted(), 1)
    file, info = exported(method, tmp_path)
    assert info.taught is not None
    run = tmp_path / 'run'
    arguments = recipe(drive, 'supervised.Supervised', {'student': str(file), 'optimisation': {'rate': 0.01}},
                       teacher=None)
    assert main([*arguments, '--run', str(run), '--trainer.max_epochs', '10']) == 0
    before, (after, tuned) = method.student.state_dict(), load_checkpoint(run / 'student.safetensors')
    same = [name for name, value in after.state_dict().items() if torch.equal(value, before[name])]
    assert [name for name in same if not name.endswith('num_batches_tracked')] == [
        'head.classifier.weight', 'head.classifier.bias']
    assert tuned.taught is None and tuned.adapter == info.adapter
    scan = street(77).scan
    assert (Predictor.load(run / 'student.safetensors').predict(scan).label == scan.label).mean() > 0.95


def test_a_taxonomy_that_the_classifier_was_not_folded_to_gets_a_head_of_its_own(tmp_path):
    method = FSKD('street-12', STUDENT, adapter=AdapterSpec('da', 1))
    batch_of(method, Painted(), 1)
    file, info = exported(method, tmp_path)
    other = Supervised('nuscenes-16', str(file))
    assert other.spec.adapter == replace(info.adapter, classes=()) and other.student.head.weight.shape[1] == WIDTH
    assert torch.equal(other.student.adapter.out.weight, method.student.adapter.out.weight)


@pytest.mark.parametrize('kind', ['none', 'mlp', 'da'])
@pytest.mark.parametrize('architecture', ['minkunet14', 'spvcnn', 'twodpass64'])
def test_losses_are_the_papers_with_every_student_and_adapter(architecture, kind):
    torch.manual_seed(0)
    terms = Terms(feature=2.0, distance='squared', semantic=3.0, temperature=1.5)
    student = replace(STUDENT, architecture=architecture)
    method = FSKD('nuscenes-16', student, adapter=AdapterSpec(kind, 1), terms=terms)
    batch = batch_of(method, Painted(), 1, 2)
    answer = method.answer(batch)
    found = method.losses(batch, answer)
    voxel = answer.voxels.point_voxel[batch.features.index]
    ours, theirs = answer.features[voxel[voxel >= 0]], batch.features.values[voxel >= 0]
    weight, bias = map(torch.from_numpy, (Painted.classifier.weight, Painted.classifier.bias))
    teacher = theirs @ weight.T + bias
    worth = teacher.softmax(1)[:, torch.tensor(method.spec.adapter.classes) >= 0].sum(1)
    distance = (ours - theirs).square().mean(1)
    p, log_q = (teacher / 1.5).softmax(1), ((ours @ weight.T + bias) / 1.5).log_softmax(1)
    divergence = (p * (p.log() - log_q)).sum(1)
    assert found['feature'].item() == pytest.approx(2 * _mean(distance, worth), rel=1e-4)
    assert found['semantic'].item() == pytest.approx(3 * 1.5 ** 2 * _mean(divergence, worth), rel=1e-4)
    sum(found.values()).backward()
    still = {name for name, p in method.student.named_parameters() if p.grad is None}
    assert still == {'head.classifier.weight', 'head.classifier.bias', 'head.others.weight', 'head.others.bias'}


def _mean(values: torch.Tensor, weight: torch.Tensor) -> float:
    return float((weight * values).sum().detach() / weight.sum())


def test_points_that_show_the_sky_and_doubtful_ones_teach_nothing():
    method = FSKD('street-12', STUDENT, projecting=Projecting(confidence=0.6))
    method.makers(Painted())
    road, sky, building = (method.student.head.logits(torch.from_numpy(prototypes()[[i]]), BACKENDS['torch'])
                           for i in (ROAD, SKY, BUILDING))
    doubtful = torch.full((1, ROWS), -20.0)
    doubtful[0, [ROAD, BUILDING]] = 5.0
    worth = method.worth(method.mass(torch.cat([road, sky, building, doubtful])))
    assert worth[0] > 0.9 and worth[2] > 0.9 and worth[1] == 0 and worth[3] == 0


class KeepsWeights(Callback):
    """Keeps what classes weigh, and how frequent they are."""

    seen: list[tuple[np.ndarray, np.ndarray]] = []

    def on_train_start(self, trainer, method):
        """Look."""
        mass = trainer.datamodule.class_mass('classes', len(TAXONOMY))
        self.seen.append((method.class_weight.numpy().copy(), mass))


def test_rare_classes_weigh_more_if_balanced(drive, tmp_path):
    arguments = {'adapter': {'kind': 'none'}, 'terms': {'balance': 0.5}}
    watch = ['--trainer.callbacks+', 'test_fskd.KeepsWeights', '--run', str(tmp_path / 'run')]
    assert main([*recipe(drive, 'fskd.FSKD', arguments), *watch, '--trainer.max_epochs', '1']) == 0
    weight, mass = KeepsWeights.seen[-1]
    road, building = (TAXONOMY.names.index(name) for name in ('road', 'building'))
    assert mass[road] != mass[building] and min(mass[road], mass[building]) > 0.1
    assert weight[road] / weight[building] == pytest.approx((mass[building] / mass[road]) ** 0.5, rel=1e-4)


def test_lovasz_is_of_the_students_classes_at_the_points_that_count():
    torch.manual_seed(0)
    method = FSKD('street-12', STUDENT, adapter=AdapterSpec('none'), terms=Terms(feature=0, semantic=0, lovasz=2.0))
    batch = batch_of(method, Painted(), 1)
    answer = method.answer(batch)
    found = method.losses(batch, answer)
    logits, inside = answer.at(batch.classes.index)  # those of the sky are no targets
    expected = lovasz_softmax(logits, batch.classes.values[inside].argmax(1))
    assert list(found) == ['lovasz'] and found['lovasz'].item() == pytest.approx(2 * expected.item(), rel=1e-4)


def test_3d_labels_at_hand_teach_too():
    torch.manual_seed(0)
    method = FSKD('street-12', STUDENT, adapter=AdapterSpec('none'), terms=Terms(feature=0, semantic=0, labels=2.0))
    batch = batch_of(method, Few(), 1)
    assert len(batch.labels) == len(batch.frames[0].scan) and method.taught is None
    answer = method.answer(batch)
    found = method.losses(batch, answer)
    logits, inside = answer.at(batch.labels.index)
    expected = torch.nn.functional.cross_entropy(logits, batch.labels.values[inside].argmax(1))
    assert list(found) == ['labels'] and found['labels'].item() == pytest.approx(2 * expected.item(), rel=1e-5)
    found['labels'].backward()
    assert method.student.head.others.weight.grad is not None


def test_a_batch_of_which_nothing_is_known_changes_nothing():
    method = FSKD('street-12', STUDENT, terms=Terms(labels=1.0))
    batch = batch_of(method, Painted(), 1)
    empty = {name: replace(targets, index=targets.index[:0], values=targets.values[:0], weight=targets.weight[:0])
             for name in ('labels', 'classes', 'features') for targets in [getattr(batch, name)]}
    losses = method.losses(batch := replace(batch, **empty), method.answer(batch))
    total = sum(losses.values())
    total.backward()
    assert float(total) == 0
    assert all(p.grad is None or not bool(p.grad.any()) for p in method.parameters())


@pytest.mark.parametrize(('teacher', 'text'), [
    (None, 'got no teacher'), (LabelFiles('labels'), 'got LabelFiles, which has none'),
    (type('Blind', (Painted,), {'classifier': None})(), 'got Blind, which has none')])
def test_a_teacher_without_classifier_is_refused(teacher, text):
    with pytest.raises(ValueError, match=text):
        FSKD('street-12', STUDENT).makers(teacher)


@pytest.mark.parametrize(('options', 'text'), [
    ({'distance': 'l1'}, 'distance "l1"'), ({'feature': -1.0}, 'none below 0'),
    ({'temperature': 0.0}, 'temperature 0')])
def test_terms_that_make_no_sense_are_refused(options, text):
    with pytest.raises(ValueError, match=text):
        Terms(**options)


def test_starting_again_from_an_fskd_student_keeps_its_adapter(tmp_path):
    torch.manual_seed(0)
    method = FSKD('street-12', STUDENT, adapter=AdapterSpec('da', 1))
    batch_of(method, Painted(), 1)
    file, _ = exported(method, tmp_path)
    again = FSKD('street-12', str(file), adapter=AdapterSpec('da', 1))
    again.makers(Painted())
    for name, value in method.student.state_dict().items():
        assert torch.equal(value, again.student.state_dict()[name])
