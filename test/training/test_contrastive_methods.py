# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Pre-training by contrast learns to find pixels, leaves what it needs for that behind, and can be probed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning.pytorch import Trainer
from streets import street, write_drive
from torch.utils.data import DataLoader

from ros_kd.datasets import open_dataset
from ros_kd.projection import project
from ros_kd.students import STUDENTS
from ros_kd.students.adapters import AdapterSpec
from ros_kd.students.checkpoint import CheckpointError, load_checkpoint, read_info
from ros_kd.students.inputs import InputSpec
from ros_kd.students.predictor import Predictor
from ros_kd.students.presets import StudentSpec
from training.__main__ import main
from training.frames.augmentation import Sample
from training.frames.batches import Batch
from training.frames.projected import FeatureTargets
from training.frames.superpixels import Superpixels, at_pixels, superpixels
from training.frames.targets import Knowledge, Targets
from training.losses.contrast import retrieval
from training.methods.contrastive import Contrast, Contrastive
from training.methods.linear_probe import LinearProbe
from training.methods.ppkt import PPKT
from training.methods.udakd import UDAKD
from training.teachers.files import FeatureFiles, LabelFiles

WIDTH = 12
INPUTS = InputSpec(0.5, (-20, -20, -4), (20, 20, 4), ('x', 'y', 'z'))
STUDENT = StudentSpec('minkunet14', 0.25, INPUTS)


def write_features(teacher: Path) -> Path:
    """Write feature maps that tell where in the image a pixel is and what it shows, beside the label images."""
    random = np.random.default_rng(0)
    rows, columns = np.mgrid[:60, :80].astype(np.float32)
    waves = [wave(columns / 80 * scale) for scale in (2, 4, 8) for wave in (np.sin, np.cos)]
    waves += [wave(rows / 60 * scale) for scale in (2, 4) for wave in (np.sin, np.cos)]
    features = np.stack([*waves, 1.0 * (rows < 30), 1.0 * (rows >= 30)])
    for labels in sorted(teacher.rglob('*.png')):
        path = teacher / 'features' / labels.relative_to(teacher).with_suffix('.npz')
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, features=(features + random.normal(0, 0.01, features.shape)).astype(np.float16))
    np.savez(teacher / 'classifier.npz', weight=random.normal(0, 1, (19, WIDTH)), bias=np.zeros(19))
    return teacher


@pytest.fixture(scope='module')
def data(tmp_path_factory) -> Path:
    """A drive of six frames with a teacher that has features."""
    folder = write_drive(tmp_path_factory.mktemp('drive'), 6)
    write_features(folder / 'teacher')
    return folder


@pytest.fixture
def teacher(data) -> FeatureFiles:
    """That teacher."""
    return FeatureFiles(data / 'teacher')


def _batch(data: Path, maker: FeatureTargets, frames: int = 2) -> Batch:
    source = open_dataset(f'semantickitti:{data}?sequences=00')
    return Batch.of([Sample(source[i], Knowledge(features=maker(source[i]))) for i in range(frames)])


def _losses(method: Contrastive, batch: Batch, steps: int, rate: float = 0.01) -> list[float]:
    optimizer = torch.optim.AdamW([value for value in method.parameters() if value.requires_grad], rate)
    found = []
    for _ in range(steps):
        loss = torch.stack(list(method.losses(batch, method.answer(batch)).values())).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        found.append(float(loss.detach()))
    return found


def _pairs(method: Contrastive, batch: Batch, seed: int = 0):
    return method.pairs(batch, method.answer(batch), torch.Generator().manual_seed(seed))


@pytest.mark.parametrize('architecture', ['minkunet14', 'spvcnn', 'twodpass64'])
@pytest.mark.parametrize('kind', [PPKT, UDAKD])
def test_points_learn_to_find_their_pixels(data, teacher, architecture, kind):
    torch.manual_seed(0)
    method = kind('street-12', replace(STUDENT, architecture=architecture), contrast=Contrast(pairs=64))
    batch = _batch(data, method.makers(teacher).features)
    before = float(retrieval(_pairs(method, batch)))
    losses = _losses(method, batch, 16)
    assert losses[-1] < losses[0] - 1 and float(retrieval(_pairs(method, batch))) > before + 0.05


def test_all_students_have_a_test_or_are_of_a_kind_that_has():
    assert {name.rstrip('0123456789c') for name in STUDENTS} == {'minkunet', 'spvcnn', 'twodpass'}


@pytest.mark.parametrize('adapter', [AdapterSpec('none'), AdapterSpec('mlp', 1), AdapterSpec('da', 1, 2)],
                         ids=['none', 'mlp', 'da'])
def test_gradients_reach_all_but_the_head(data, teacher, adapter):
    method = UDAKD('street-12', STUDENT, adapter=adapter)
    _losses(method, _batch(data, method.makers(teacher).features), 1)
    learnt = {name for name, value in method.named_parameters() if value.grad is not None and value.grad.abs().sum()}
    expected = {name for name, _ in method.named_parameters() if not name.startswith('student.head.')}
    assert learnt == expected and 'projection.weight' in learnt
    assert sum(name.startswith('pseudo.layers.') for name in learnt) > 0 or adapter.kind == 'none'


def test_pairs_are_points_and_the_features_of_their_pixels(data, teacher):
    method = PPKT('street-12', STUDENT, contrast=Contrast(pairs=50), width=WIDTH)
    batch = _batch(data, method.makers(teacher).features)
    with torch.no_grad():
        method.projection.weight.copy_(torch.eye(WIDTH)), method.projection.bias.zero_()
        answer = method.answer(batch)
        pairs = _pairs(method, batch)
        expected = method.pseudo.out(answer.features, answer.voxels.backend)
    rows = [int((batch.features.values - pixel).abs().sum(1).argmin()) for pixel in pairs.pixels]
    assert len(set(rows)) == 50 and torch.allclose(batch.features.values[rows], pairs.pixels)
    voxels = answer.voxels.point_voxel[batch.features.index[rows]]
    assert torch.allclose(expected[voxels], pairs.points, atol=1e-5)


def test_points_that_do_not_count_or_are_out_of_range_are_no_pairs(data, teacher):
    near = replace(STUDENT, inputs=replace(INPUTS, lower=(-9, -9, -4), upper=(9, 9, 4)))
    method = PPKT('street-12', near, contrast=Contrast(pairs=5000))
    batch = _batch(data, method.makers(teacher).features)
    features = batch.features
    points = torch.from_numpy(np.concatenate([frame.points for frame in batch.frames]))[features.index]
    weight = torch.arange(len(features), dtype=torch.float32) % 3 / 2
    inside = (points.abs() < 9)[:, :2].all(1)
    pairs = _pairs(method, replace(batch, features=replace(features, weight=weight)))
    voxel = method.voxels(batch).point_voxel[features.index]
    apart = len(voxel[inside & (weight > 0)].unique())  # of a voxel's points one is taken
    assert 0 < len(pairs) == apart < len(voxel[inside].unique()) < len(features)
    assert len(pairs.points.unique(dim=0)) == len(pairs) and pairs.weight.min() > 0


def test_draws_depend_on_seed_and_step(data, teacher):
    method = PPKT('street-12', STUDENT, contrast=Contrast(pairs=20))
    batch = _batch(data, method.makers(teacher).features)
    method.eval()

    def loss() -> float:
        return method.losses(batch, method.answer(batch))['contrast'].item()

    torch.manual_seed(1)
    first = loss()
    torch.rand(3)  # what else was drawn meanwhile changes nothing
    assert loss() == first
    torch.manual_seed(2)
    assert loss() != first


def test_superpixels_pool_points_and_pixels(data, teacher):
    method = UDAKD('street-12', STUDENT, adapter=AdapterSpec('da', 1, 2),
                   contrast=Contrast(superpixels=Superpixels(20, 10.0)))
    maker = method.makers(teacher).features
    batch = _batch(data, maker)
    groups = len(batch.features.group.unique())
    assert 4 < groups < 80 and len(_pairs(method, batch)) == groups
    assert len(batch.features.group[batch.features.index < 600].unique()) < groups  # those of another frame are others
    losses = _losses(method, batch, 8)
    assert losses[-1] < losses[0] - 0.3
    plain = UDAKD('street-12', STUDENT).makers(teacher).features
    assert plain.identity != maker.identity and plain(batch.frames[0]).group is None


def test_groups_of_targets_are_superpixels_of_the_image(data, teacher):
    frame = open_dataset(f'semantickitti:{data}?sequences=00')[0]
    targets = FeatureTargets(teacher, cut=Superpixels(12, 10.0))
    found, view = targets(frame), frame.views[0]
    labels, seen = superpixels(view.image(), 12, 10.0), project(frame.points, view)
    assert len(found) > 50 and labels.max() > 4 and found.group.dtype == np.int32
    order = np.argsort(seen.index)
    assert np.array_equal(found.index, seen.index[order])
    assert np.array_equal(found.group, at_pixels(labels, seen.uv)[order])
    twice = targets(replace(frame, views=(view, view)))  # the second camera's numbers follow the first one's
    assert np.array_equal(twice.group, found.group + labels.max() + 1)
    assert np.allclose(twice.values, found.values, atol=1e-3)


def test_batches_without_points_in_view_change_nothing(data, teacher):
    method = UDAKD('street-12', STUDENT, adapter=AdapterSpec('da', 1, 2))
    batch = _batch(data, method.makers(teacher).features)
    empty = replace(batch.features, index=batch.features.index[:0], values=batch.features.values[:0],
                    weight=batch.features.weight[:0])
    assert _losses(method, replace(batch, features=empty), 1) == [0]
    assert all(value.grad is None or not value.grad.any() for value in method.parameters())


@pytest.mark.parametrize('cut', [None, Superpixels(20)])
def test_frames_of_which_nothing_is_known_do_not_count_in_validation(data, teacher, cut):
    method = PPKT('street-12', STUDENT, contrast=Contrast(superpixels=cut))
    batch = _batch(data, method.makers(teacher).features, 1)
    nothing = Batch.of([Sample(batch.frames[0], Knowledge(features=Targets.none(WIDTH)))])
    trainer = Trainer(accelerator='cpu', logger=False, enable_progress_bar=False, enable_model_summary=False)
    one, two = (trainer.validate(method, DataLoader(batches, None), verbose=False)[0]
                for batches in ([batch], [batch, nothing]))
    assert one == pytest.approx(two) and one['val/loss'] > 0


def test_teachers_without_features_are_refused(data):
    method = PPKT('street-12', STUDENT)
    with pytest.raises(ValueError, match='PPKT needs a teacher with features .* got no teacher'):
        method.makers(None)
    with pytest.raises(ValueError, match='got LabelFiles, which has none'):
        method.makers(LabelFiles(data / 'teacher'))
    with pytest.raises(ValueError, match='1 pairs at temperature 0.07'):
        Contrast(pairs=1)


def test_a_probe_changes_the_head_alone():
    frames = [street(seed) for seed in range(2)]
    method = LinearProbe('street-12', STUDENT, lovasz=1.0)
    maker = method.makers(None).labels
    batch = Batch.of([Sample(frame, Knowledge(labels=maker(frame))) for frame in frames])
    before = {name: value.clone() for name, value in method.state_dict().items()}
    losses = _losses(method, batch, 15, 0.1)
    losses += _losses(method.eval().train(), batch, 15, 0.1)
    changed = {name for name, value in method.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {'student.head.weight', 'student.head.bias'} and losses[-1] < 0.5 * losses[0]


RECIPE = '''
model:
  class_path: training.methods.udakd.UDAKD
  init_args:
    taxonomy: street-12
    student:
      width: 0.25
      inputs: {voxel_size: 0.5, lower: [-20, -20, -4], upper: [20, 20, 4], columns: [x, y, z]}
    optimisation: {rate: 0.01}
    adapter: {kind: da, layers: 1, ratio: 2}
    contrast: {pairs: 64, superpixels: null}
data:
  train: ['semantickitti:.?sequences=00']
  val: ['semantickitti:.?sequences=00&frames=1']
  teacher:
    class_path: training.teachers.files.FeatureFiles
    init_args: {folder: teacher}
  batch_size: 2
trainer: {accelerator: cpu, max_epochs: 10, enable_progress_bar: false, enable_model_summary: false}
'''

PROBE = '''
model:
  class_path: training.methods.linear_probe.LinearProbe
  init_args:
    taxonomy: street-12
    optimisation: {rate: 0.1}
data:
  train: ['semantickitti:.?sequences=00']
  batch_size: 2
trainer: {accelerator: cpu, max_epochs: 12, enable_progress_bar: false, enable_model_summary: false}
'''


def test_pre_train_probe_and_label(data, tmp_path, capsys):
    (tmp_path / 'udakd.yaml').write_text(RECIPE)
    (tmp_path / 'probe.yaml').write_text(PROBE)
    run = tmp_path / 'run'
    assert main(['fit', '--config', str(tmp_path / 'udakd.yaml'), '--data.root', str(data), '--run', str(run)]) == 0
    file = run / 'student.safetensors'
    info = read_info(file)
    assert info.backbone and info.adapter is None and [score.metric for score in info.scores] == ['loss']
    with pytest.raises(CheckpointError, match='backbone'):
        Predictor.load(file)
    assert main(['evaluate', '--run', str(run), '--dataset', f'semantickitti:{data}']) == 1
    assert 'is of a pre-trained backbone' in capsys.readouterr().err
    probe = tmp_path / 'probe'
    assert main(['fit', '--config', str(tmp_path / 'probe.yaml'), '--data.root', str(data), '--run', str(probe),
                 '--model.init_args.student', str(file)]) == 0
    pre_trained, probed = load_checkpoint(file)[0].state_dict(), load_checkpoint(probe / 'student.safetensors')[0]
    same = {name for name, value in probed.state_dict().items() if torch.equal(value, pre_trained[name])}
    assert same == {name for name in pre_trained if not name.startswith('head.')}
    assert not read_info(probe / 'student.safetensors').backbone
    scan = street(77).scan
    assert (Predictor.load(probe / 'student.safetensors').predict(scan).label == scan.label).mean() > 0.9
