# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""ResNets as others release them, in torchvision's names and layout."""

from __future__ import annotations

import argparse

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional

from training.__main__ import main
from training.images.backbone import load_resnet
from training.teachers.backbone import Backbone


class Block(nn.Module):
    """torchvision's BasicBlock or, with `expansion` 4, its Bottleneck: the 3x3 convolution steps."""

    def __init__(self, before: int, width: int, stride: int, expansion: int) -> None:
        super().__init__()
        shapes = [(before, width, 3, stride), (width, width, 3, 1)] if expansion == 1 else \
            [(before, width, 1, 1), (width, width, 3, stride), (width, 4 * width, 1, 1)]
        for number, (own, out, size, step) in enumerate(shapes, 1):
            setattr(self, f'conv{number}', nn.Conv2d(own, out, size, step, size // 2, bias=False))
            setattr(self, f'bn{number}', nn.BatchNorm2d(out))
        self.count, self.downsample = len(shapes), None
        if before != expansion * width or stride != 1:
            self.downsample = nn.Sequential(nn.Conv2d(before, expansion * width, 1, stride, bias=False),
                                            nn.BatchNorm2d(expansion * width))

    def forward(self, x: Tensor) -> Tensor:
        """Convolutions, and what goes around them."""
        around, found = x if self.downsample is None else self.downsample(x), x
        for number in range(1, self.count + 1):
            found = getattr(self, f'bn{number}')(getattr(self, f'conv{number}')(found))
            found = functional.relu(found) if number < self.count else found
        return functional.relu(found + around)


class Released(nn.Module):
    """torchvision's ResNet, narrow."""

    def __init__(self, expansion: int, depths: tuple[int, ...] = (2, 1, 2, 1)) -> None:
        super().__init__()
        self.conv1, self.bn1, before = nn.Conv2d(3, 8, 7, 2, 3, bias=False), nn.BatchNorm2d(8), 8
        for stage, depth in enumerate(depths):
            width, blocks = 8 << stage, []
            for block in range(depth):
                blocks.append(Block(before, width, 2 if stage and not block else 1, expansion))
                before = expansion * width
            setattr(self, f'layer{stage + 1}', nn.Sequential(*blocks))
        self.fc = nn.Linear(before, 5)

    def maps(self, x: Tensor) -> list[Tensor]:
        """Return the features of each stage."""
        x = functional.max_pool2d(functional.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        found = []
        for stage in range(1, 5):
            x = getattr(self, f'layer{stage}')(x)
            found.append(x)
        return found


@pytest.fixture(params=[1, 4], ids=['basic', 'bottleneck'])
def released(request):
    """A network whose norms have seen something."""
    torch.manual_seed(0)
    network = Released(request.param)
    network.train().maps(torch.randn(4, 3, 64, 64))
    return network.eval()


def _import(path, tmp_path, *further) -> int:
    return main(['import-resnet', '--weights', str(path), '--out', str(tmp_path / 'resnet'), *further])


def test_an_imported_network_has_the_same_features(released, tmp_path, capsys):
    torch.save(released.state_dict(), tmp_path / 'resnet.pth')
    assert _import(tmp_path / 'resnet.pth', tmp_path) == 0
    assert 'left out: fc.weight, fc.bias' in capsys.readouterr().out
    images = torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        for own, expected in zip(load_resnet(str(tmp_path / 'resnet')).eval()(images), released.maps(images)):
            assert torch.allclose(own, expected, atol=1e-5)
    assert Backbone(str(tmp_path / 'resnet'), stride=8, device='cpu').width == released.fc.in_features


def test_the_trained_one_of_mocos_two_encoders_is_taken(released, tmp_path):
    slow = Released(1 if released.layer1[0].count == 2 else 4).state_dict()
    weights = {f'module.encoder_q.{name}': value for name, value in released.state_dict().items()}
    weights |= {f'module.encoder_k.{name}': value for name, value in slow.items()}
    torch.save({'epoch': 3, 'arch': 'resnet50', 'state_dict': weights, 'optimizer': {'lr': 0.1}},
               tmp_path / 'm.pth.tar')
    assert _import(tmp_path / 'm.pth.tar', tmp_path) == 0
    found = load_resnet(str(tmp_path / 'resnet')).network.embedder.embedder.convolution.weight
    assert torch.equal(found, released.conv1.weight)
    assert _import(tmp_path / 'm.pth.tar', tmp_path, '--prefix', 'module.encoder_k.') == 0
    found = load_resnet(str(tmp_path / 'resnet')).network.embedder.embedder.convolution.weight
    assert torch.equal(found, slow['conv1.weight'])


def test_what_is_no_resnet_is_refused(released, tmp_path, capsys):
    state = released.state_dict()
    torch.save({'state_dict': state, 'args': argparse.Namespace(lr=1)}, tmp_path / 'objects.pth')
    save_file({'weight': torch.zeros(2)}, tmp_path / 'other.safetensors')
    torch.save({f'{side}.{name}': value for side in 'ab' for name, value in state.items()}, tmp_path / 'two.pth')
    torch.save({**state, 'layer2.0.conv2.weight': torch.zeros(16, 4, 3, 3)}, tmp_path / 'grouped.pth')
    (tmp_path / 'cut.pth').write_bytes(b'PK cut off')
    for name, told in {'objects.pth': 'cannot be read as weights alone', 'other.safetensors': 'found 0', 'two.pth':
                       'choose one by --prefix', 'grouped.pth': 'not the layers of a plain ResNet', 'cut.pth':
                       'cannot be read as weights alone', 'none.pth': 'no weights at'}.items():
        assert _import(tmp_path / name, tmp_path) == 1
        assert told in capsys.readouterr().err, name
