# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Training image networks on tiny images, and the teachers that they become."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from streets import street
from test_image_datasets import write_cityscapes

from ros_kd.images import RawPixels
from ros_kd.label_sets import get_taxonomy
from ros_kd.students.checkpoint import CheckpointError, Score
from training.__main__ import main
from training.images.backbone import ResNet, ResNetSpec
from training.images.checkpoint import NetworkInfo, load_image_network, read_network_info, save_image_network
from training.images.data import LabelledBatch
from training.images.network import ImageNetwork, as_input
from training.images.segmentation import ImageSegmentation
from training.teachers.image_network import ImageNetworkTeacher
from training.teachers.recipe import teacher_of

transformers = pytest.importorskip('transformers')
ROOT = Path(__file__).parents[2]
TINY = ResNetSpec((1, 1, 1, 1), (4, 8, 8, 16), stem=4)
SIZE = (32, 48)
RECIPE = '''
model:
  taxonomy: cityscapes
  backbone: {backbone}
  width: 8
  optimisation: {{rate: 0.02}}
data:
  train: ['cityscapes:cityscapes?split=train']
  val: ['cityscapes:cityscapes?split=train&frames=1']
  size: [32, 48]
  batch_size: 2
  augmentation: {{scale: [0.9, 1.1]}}
trainer: {{max_epochs: 20, check_val_every_n_epoch: 10}}
'''


@pytest.fixture
def recipe(tmp_path) -> list[str]:
    """Arguments of `fit-images` for four tiny images and a tiny backbone from a folder."""
    write_cityscapes(tmp_path / 'cityscapes', images=4)
    torch.manual_seed(0)
    config = transformers.ResNetConfig(depths=list(TINY.depths), hidden_sizes=list(TINY.channels),
                                       embedding_size=TINY.stem, layer_type=TINY.block)
    transformers.ResNetForImageClassification(config).save_pretrained(tmp_path / 'backbone')
    (tmp_path / 'tiny.yaml').write_text(RECIPE.format(backbone=tmp_path / 'backbone'))
    return ['fit-images', '--config', str(tmp_path / 'tiny.yaml'), '--data.root', str(tmp_path)]


def _losses(run: Path) -> dict[int, float]:
    return {int(row['step']): float(row['loss_step']) for file in sorted(run.glob('logs/version_*/metrics.csv'))
            for row in csv.DictReader(file.open()) if row.get('loss_step')}


def _info() -> NetworkInfo:
    return NetworkInfo(TINY, 8, get_taxonomy('street-12'), SIZE, (0, 3), 'recipe', (Score(0.5, 'mIoU', 'here'),))


@pytest.fixture
def network_file(tmp_path) -> Path:
    """A network with random weights."""
    torch.manual_seed(0)
    return save_image_network(tmp_path / 'teacher.safetensors', _info().build(), _info())


def test_a_network_learns_and_becomes_a_teacher(recipe, tmp_path, capsys):
    run = tmp_path / 'run'
    assert main([*recipe, '--run', str(run), '--trainer.log_every_n_steps', '1']) == 0
    losses = _losses(run)
    assert len(losses) == 40 and losses[39] < 0.5 * losses[0]
    info = read_network_info(run / 'teacher.safetensors')
    assert info.size == SIZE and info.taught == (0, 10) and info.backbone == TINY and 'cityscapes' in info.recipe
    assert str(tmp_path) not in info.recipe
    assert info.scores[0].metric == 'pixel mIoU' and info.scores[0].value > 0.8
    assert info.scores[0].data == 'cityscapes train' and 'road' in info.scores[0].details
    assert 'val/miou' in capsys.readouterr().out

    teacher = ImageNetworkTeacher(run / 'teacher.safetensors', device='cpu')
    image = np.zeros((60, 80, 3), np.uint8)
    image[:30, :, 2] = image[30:, :, 0] = 200  # as write_cityscapes: a blue sky, a red road
    found = teacher.probabilities(replace(street().views[0], pixels=RawPixels(image)),
                                  np.array([[40, 5], [40, 55]], np.float32))
    assert found.argmax(1).tolist() == [10, 0]
    assert [name for name in teacher.taxonomy.names if name] == ['road', 'sky']  # it was shown nothing else


def test_an_interrupted_training_resumes_on_the_same_curve(recipe, tmp_path):
    recipe += ['--trainer.max_epochs', '3', '--trainer.log_every_n_steps', '1']
    assert main([*recipe, '--run', str(tmp_path / 'whole')]) == 0
    interrupt = ['--trainer.callbacks+', 'streets.InterruptAfter', '--trainer.callbacks.steps', '3']
    with pytest.raises(SystemExit):
        main([*recipe, *interrupt, '--run', str(tmp_path / 'parts')])
    assert not (tmp_path / 'parts/teacher.safetensors').exists()
    assert main([*recipe, '--run', str(tmp_path / 'parts'), '--ckpt_path', 'last']) == 0
    expected, found = _losses(tmp_path / 'whole'), _losses(tmp_path / 'parts')
    assert max(found) == 5 and found == pytest.approx({step: expected[step] for step in found}, rel=1e-4)


@pytest.mark.parametrize('name', ['image_simulated', 'image_cityscapes', 'image_nuimages'])
def test_recipes_run_a_step(name, recipe, tmp_path):
    tiny = ['--model.backbone', str(tmp_path / 'backbone'), '--data.root', str(tmp_path), '--data.batch_size', '2',
            '--data.workers', '0', '--data.size', '[64,96]', '--data.augmentation.crop', '[32,48]', '--data.val', '[]',
            '--data.train', '["simulated:?seed=300&frames=1&width=96&height=64"]', '--trainer.fast_dev_run', '1',
            '--trainer.precision', '32-true']
    if name != 'image_simulated':
        tiny += ['--model.taxonomy', 'cityscapes', '--data.train', '["cityscapes:cityscapes"]']
    config = ROOT / f'training/recipes/{name}.yaml'
    assert main(['fit-images', '--config', str(config), *tiny, '--run', str(tmp_path / name)]) == 0


def test_errors_say_what_was_expected(recipe, tmp_path, capsys):
    assert main([*recipe, '--run', str(tmp_path / 'run'), '--data.batch_size', '9']) == 1
    assert '4 images to train on' in capsys.readouterr().err
    assert main([*recipe, '--data.batch_size', '0']) == 1
    assert 'data.batch_size is 0' in capsys.readouterr().err
    assert main([*recipe, '--run', str(tmp_path / 'run'), '--model.taxonomy', 'sim-12']) == 1
    assert 'no map from labels "cityscapes" to "sim-12"' in capsys.readouterr().err


def test_only_labelled_pixels_count_in_the_loss():
    torch.manual_seed(0)
    method = ImageSegmentation('street-12', 'resnet-18', 4)
    method.network, method.log = ImageNetwork(ResNet(TINY), 4, 13).eval(), lambda *_, **__: None
    images, labels = torch.randn(1, 3, 32, 32), torch.full((1, 32, 32), 255)
    assert method.training_step(LabelledBatch(images, labels), 0).item() == 0
    labels[0, 4, 7], labels[0, 20, 9] = 3, 12
    method.class_weight[12] = 3
    loss = method.training_step(LabelledBatch(images, labels), 0).item()
    logits = torch.nn.functional.interpolate(method.network(images).logits, (32, 32), mode='bilinear')[0]
    both = [-logits[:, 4, 7].log_softmax(0)[3].item(), -logits[:, 20, 9].log_softmax(0)[12].item()]
    assert loss == pytest.approx((both[0] + 3 * both[1]) / 4, rel=1e-5)
    assert method.seen.nonzero().flatten().tolist() == [3, 12]


def test_a_file_gives_the_same_network_and_description(network_file):
    network, info = load_image_network(network_file)
    assert info == _info()
    torch.manual_seed(0)
    images = torch.randn(1, 3, *SIZE)
    torch.manual_seed(0)
    with torch.no_grad():
        assert torch.equal(network(images).logits, _info().build().eval()(images).logits)


def test_files_that_are_no_image_network_are_refused(network_file, tmp_path):
    other = tmp_path / 'other.safetensors'
    save_file({'weight': torch.zeros(1)}, other)
    with pytest.raises(CheckpointError, match='no image network of ros_kd is described'):
        load_image_network(other)
    other.write_bytes(b'PK\x03\x04 a pickle')
    with pytest.raises(CheckpointError, match='PyTorch pickle; export it with `python -m training fit-images`'):
        load_image_network(other)
    with pytest.raises(CheckpointError, match='do not belong together'):
        save_image_network(other, ImageNetwork(ResNet(TINY), 4, 13), _info())
    with pytest.raises(CheckpointError, match='newer ros_kd'):
        save_image_network(network_file, _info().build(), replace(_info(), format_version=99))
        load_image_network(network_file)


def test_a_teacher_interpolates_features_before_the_softmax(network_file):
    teacher = ImageNetworkTeacher(network_file.name, temperature=2.0, device='cpu')
    teacher.locate(network_file.parent)
    image = np.random.default_rng(0).integers(0, 255, (60, 80, 3), dtype=np.uint8)
    view = replace(street().views[0], pixels=RawPixels(image))
    uv = np.array([[3, 4], [40.3, 30.8], [79, 59]], np.float32)
    network, _ = load_image_network(network_file)
    with torch.no_grad():
        features = network(as_input(torch.from_numpy(image)[None], SIZE))
        grid = torch.from_numpy((uv + 0.5) / np.array([80, 60], np.float32) * 2 - 1)[None, None]
        at = [torch.nn.functional.grid_sample(maps, grid, padding_mode='border', align_corners=False)[0, :, 0].T
              for maps in (features.fused, features.logits)]
    assert np.allclose(teacher.features(view, uv), at[0], atol=1e-4) and teacher.width == 8
    expected = (at[1] / 2).softmax(1)[:, :12]
    assert np.allclose(teacher.probabilities(view, uv), expected, atol=1e-4)
    assert teacher.classifier.weight.shape == (13, 8)


def test_a_teacher_is_known_by_its_weights_and_found_by_a_recipe(network_file, tmp_path):
    first = ImageNetworkTeacher(network_file).identity
    torch.manual_seed(1)
    save_image_network(network_file, _info().build(), _info())
    assert ImageNetworkTeacher(network_file).identity != first
    (tmp_path / 'recipe.yaml').write_text('data:\n  teacher:\n    class_path: '
                                          'training.teachers.image_network.ImageNetworkTeacher\n    init_args:\n'
                                          f'      file: {network_file.name}\n')
    assert teacher_of(tmp_path / 'recipe.yaml', tmp_path).taxonomy.name == 'street-12'
    with pytest.raises(CheckpointError, match='no such checkpoint'):
        ImageNetworkTeacher('nothing.safetensors').locate(tmp_path)
