# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Networks that segment images: shapes, weights of folders, and maps sampled at pixels."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from training.frames.sampling import Grid, bilinear
from training.images.backbone import RESNETS, ResNet, ResNetSpec, load_resnet
from training.images.network import ImageNetwork, as_input, one_input, sample

transformers = pytest.importorskip('transformers')
TINY = ResNetSpec((1, 1, 1, 1), (4, 8, 8, 16), stem=4)


@pytest.mark.parametrize('name', sorted(RESNETS))
def test_features_are_at_strides_4_to_32(name):
    network = ImageNetwork(name, 6, classes=5).eval()
    with torch.no_grad():
        features = network(torch.zeros(1, 3, 40, 70))
    assert [tuple(scale.shape) for scale in features.scales] == [
        (1, 6, 10, 18), (1, 6, 5, 9), (1, 6, 3, 5), (1, 6, 2, 3)]
    assert features.fused.shape == (1, 6, 10, 18) and features.logits.shape == (1, 5, 10, 18)


def test_resnets_have_the_parameters_of_the_paper():
    counts = {name: sum(p.numel() for p in load_resnet(name).parameters()) for name in RESNETS}
    # torchvision's counts without the last, fully connected layer of 1000 classes
    assert counts == {'resnet-18': 11_176_512, 'resnet-34': 21_284_672, 'resnet-50': 23_508_032}


def test_the_fused_map_is_the_sum_of_the_scales_at_each_pixel():
    network = ImageNetwork(ResNet(TINY), 4).eval()
    with torch.no_grad():
        features = network(torch.randn(2, 3, 64, 96))
    assert features.logits is None
    image, cells = torch.tensor([0, 1, 1]), torch.tensor([[3.0, 2.0], [23.0, 15.0], [11.0, 0.0]])
    uv = (cells + 0.5) * 4 - 0.5  # at the centres of the finest cells
    summed = sum(sample(scale, image, uv, (64, 96)) for scale in features.scales)
    assert torch.allclose(summed, sample(features.fused, image, uv, (64, 96)), atol=1e-5)


def test_a_backbone_is_read_from_a_folder(tmp_path):
    torch.manual_seed(0)
    config = transformers.ResNetConfig(depths=[1, 1, 1, 1], hidden_sizes=[4, 8, 8, 16], embedding_size=4,
                                       layer_type='basic')
    whole = transformers.ResNetForImageClassification(config).eval()
    whole.save_pretrained(tmp_path)
    found = load_resnet(str(tmp_path))
    assert all(module.training for module in found.modules())
    found.eval()
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(found(images)[3], whole.resnet(images).last_hidden_state)
    assert found.spec == TINY
    (tmp_path / 'model.safetensors').rename(tmp_path / 'model.bin')
    with pytest.raises(ValueError, match='in safetensors'):
        load_resnet(str(tmp_path))


def test_other_backbones_are_refused(tmp_path):
    with pytest.raises(ValueError, match="expected one of \\['resnet-18'"):
        load_resnet(str(tmp_path / 'nothing'))
    transformers.ViTConfig().save_pretrained(tmp_path)
    with pytest.raises(ValueError, match='is a vit, expected a resnet'):
        load_resnet(str(tmp_path))


def test_sampling_agrees_with_the_grid_of_teachers():
    random = np.random.default_rng(0)
    maps = random.normal(size=(3, 5, 7, 11)).astype(np.float32)
    uv = random.uniform(-3, 50, (40, 2)).astype(np.float32)
    image = random.integers(0, 3, 40)
    found = sample(*map(torch.from_numpy, (maps, image, uv)), (28, 44))
    for i in range(3):
        expected = bilinear(maps[i], uv[image == i], Grid.covering((11, 7), (44, 28)))
        assert np.allclose(found[image == i], expected, atol=1e-5)
    nothing = sample(torch.from_numpy(maps), torch.zeros(0, dtype=torch.int64), torch.zeros(0, 2), (28, 44))
    assert nothing.shape == (0, 5)


def test_gradients_of_sampling_reach_maps_and_pixels():
    torch.manual_seed(0)
    maps = torch.randn(2, 3, 5, 6, dtype=torch.float64, requires_grad=True)
    uv = (torch.rand(7, 2, dtype=torch.float64) * 15 + 3).requires_grad_()
    image = torch.tensor([0, 1, 1, 0, 1, 0, 0])
    assert torch.autograd.gradcheck(lambda m, p: sample(m, image, p, (20, 24)), (maps, uv))


def test_images_become_the_input_of_the_network():
    grey = torch.full((1, 4, 6), 128, dtype=torch.uint8)
    assert torch.equal(as_input(grey), as_input(grey[..., None].expand(-1, -1, -1, 3)))
    small = as_input(grey, (2, 3))
    assert small.shape == (1, 3, 2, 3)
    assert small[0, :, 0, 0].tolist() == pytest.approx(
        [(128 / 255 - mean) / deviation for mean, deviation in ((0.485, 0.229), (0.456, 0.224), (0.406, 0.225))])


def test_an_image_of_any_strides_is_taken_as_its_copy():
    image = np.random.default_rng(0).integers(0, 255, (6, 8, 3), np.uint8)[:, ::-1, ::-1]
    assert torch.equal(one_input(image, (3, 4)), as_input(torch.tensor(image.copy())[None], (3, 4)))
