# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""The command `import-resnet`: a ResNet's weights, as torchvision names them, become a folder of transformers.

Self-supervised ResNets are released so: MoCo (He et al. 2020), SwAV, Barlow Twins, DINO and VICReg.
"""

from __future__ import annotations

import argparse
import pickle
import re
from pathlib import Path
from typing import Any, Mapping

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from training.images.backbone import ResNetSpec, untrained

_PARTS = {'conv': 'convolution', 'bn': 'normalization'}
_INSIDE = ('state_dict', 'model', 'backbone')  # where checkpoints of trainings keep their weights
_SLOW = ('_k.', 'momentum')  # the averaged copies of MoCo's encoders


def read_weights(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a safetensors file or a PyTorch checkpoint, which is read without unpickling objects.

    Raises ValueError saying what is wrong with the file.
    """
    if not path.is_file():
        raise ValueError(f'no weights at {path}: expected a file of PyTorch (.pth, .pth.tar) or safetensors')
    try:
        found: Any = load_file(path) if path.suffix == '.safetensors' else torch.load(path, 'cpu', weights_only=True)
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        raise ValueError(f'{path} cannot be read as weights alone: {str(error).splitlines()[0]}') from None
    for name in _INSIDE:
        found = found.get(name, found) if isinstance(found, Mapping) else found
    tensors = {name: value for name, value in found.items() if isinstance(value, Tensor)} \
        if isinstance(found, Mapping) else {}
    if not tensors:
        raise ValueError(f'{path} holds no weights by name: expected a state_dict')
    return tensors


def prefix_of(names: Mapping[str, Tensor]) -> str:
    """Return what stands before the names of the ResNet's layers, such as "module.encoder_q.".

    Raises ValueError if there is no ResNet, or if there are several.
    """
    stems = [name.removesuffix('conv1.weight') for name in names if re.search(r'(^|\.)conv1\.weight$', name)]
    found = [stem for stem in stems if f'{stem}layer1.0.conv1.weight' in names]
    found = [stem for stem in found if not any(part in stem for part in _SLOW)] or found
    if len(found) != 1:
        raise ValueError(f'expected the layers of one ResNet (conv1, bn1, layer1 to layer4), found {len(found)}: '
                         f'{found[:4] or list(names)[:4]}; choose one by --prefix')
    return found[0]


def translated(name: str) -> str | None:
    """Return transformers' name for one of torchvision's; None for what is behind the features."""
    if match := re.fullmatch(r'(conv|bn)1\.(\w+)', name):
        return f'embedder.embedder.{_PARTS[match[1]]}.{match[2]}'
    if match := re.fullmatch(r'layer(\d)\.(\d+)\.(conv|bn)(\d)\.(\w+)', name):
        stage, block, part, place, value = match.groups()
        return f'encoder.stages.{int(stage) - 1}.layers.{block}.layer.{int(place) - 1}.{_PARTS[part]}.{value}'
    if match := re.fullmatch(r'layer(\d)\.(\d+)\.downsample\.([01])\.(\w+)', name):
        part = 'normalization' if match[3] == '1' else 'convolution'
        return f'encoder.stages.{int(match[1]) - 1}.layers.{match[2]}.shortcut.{part}.{match[4]}'
    return None


def spec_of(weights: Mapping[str, Tensor]) -> ResNetSpec:
    """Return the size of the ResNet with these weights, named as torchvision does."""
    last = 'conv3' if 'layer1.0.conv3.weight' in weights else 'conv2'
    blocks = [re.match(r'layer(\d)\.(\d+)\.', name) for name in weights]
    depths = [1 + max([int(block[2]) for block in blocks if block and int(block[1]) == stage], default=-1)
              for stage in range(1, 5)]
    if 0 in depths:
        raise ValueError(f'the ResNet has stages of {depths} blocks: expected four stages, layer1 to layer4')
    channels = [len(weights[f'layer{stage}.0.{last}.weight']) for stage in range(1, 5)]
    return ResNetSpec(depths, channels, len(weights['conv1.weight']), 'bottleneck' if last == 'conv3' else 'basic')


def imported(tensors: Mapping[str, Tensor], prefix: str | None = None) -> tuple[Any, list[str]]:
    """Return the network and the names that are no part of it. Raises ValueError for other networks than ResNets."""
    prefix = prefix_of(tensors) if prefix is None else prefix
    weights = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
    if 'conv1.weight' not in weights:
        raise ValueError(f'no conv1.weight behind --prefix "{prefix}"; names are like {list(tensors)[:3]}')
    names = {name: translated(name) for name in weights}
    network = untrained(spec_of(weights))
    state = {name: value for name, value in network.state_dict().items() if name.endswith('num_batches_tracked')}
    state |= {new: weights[name] for name, new in names.items() if new is not None}
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise ValueError(f'not the layers of a plain ResNet: {" ".join(str(error).split())[:300]}') from None
    return network, [name for name, new in names.items() if new is None]


def main(arguments: list[str]) -> int:
    """Run `import-resnet`. Returns the exit status."""
    parser = argparse.ArgumentParser('python -m training import-resnet', description='Make a ResNet\'s weights as '
                                     'torchvision names them a folder that recipes and teachers take.')
    parser.add_argument('--weights', type=Path, required=True, help='a .pth, .pth.tar or .safetensors file')
    parser.add_argument('--out', type=Path, required=True, metavar='DIR', help='the folder, config and safetensors')
    parser.add_argument('--prefix', help='what stands before "conv1.weight" (default: found in the file)')
    chosen = parser.parse_args(arguments)
    network, others = imported(read_weights(chosen.weights), chosen.prefix)
    network.save_pretrained(chosen.out)
    left = f'; left out: {", ".join(others[:4])}' if others else ''
    print(f'{chosen.out}: a ResNet of {sum(parameter.numel() for parameter in network.parameters()) / 1e6:.1f} M '
          f'parameters{left}')
    return 0
