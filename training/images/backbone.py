# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""ResNets (He et al. 2016) of Hugging Face transformers, untrained or with the weights of a folder or hub."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

STRIDES = (4, 8, 16, 32)
_STAGES = ['stage1', 'stage2', 'stage3', 'stage4']


@dataclass(frozen=True)
class ResNetSpec:
    """The size of a ResNet.

    depths: blocks of each stage. channels: of each stage's features. stem: channels of the first convolution.
    block: "basic" (two 3x3 convolutions) or "bottleneck" (1x1, 3x3, 1x1).
    """

    depths: tuple[int, ...]
    channels: tuple[int, ...]
    stem: int = 64
    block: str = 'basic'

    def __post_init__(self) -> None:
        object.__setattr__(self, 'depths', tuple(map(int, self.depths)))
        object.__setattr__(self, 'channels', tuple(map(int, self.channels)))
        if len(self.depths) != len(STRIDES) or len(self.channels) != len(STRIDES):
            raise ValueError(f'a ResNet of depths {self.depths} and channels {self.channels}: expected {len(STRIDES)} '
                             'stages')
        if self.block not in ('basic', 'bottleneck'):
            raise ValueError(f'a ResNet of block "{self.block}": expected basic or bottleneck')

    @classmethod
    def of_config(cls, config: Any) -> ResNetSpec:
        """Read a transformers.ResNetConfig. Raises ValueError if its features are not at strides 4, 8, 16 and 32."""
        if config.downsample_in_first_stage or getattr(config, 'downsample_in_bottleneck', False):
            raise ValueError('a ResNet that halves its maps elsewhere than the usual: expected one with features at '
                             f'strides {STRIDES}, such as microsoft/resnet-50')
        return cls(config.depths, config.hidden_sizes, config.embedding_size, config.layer_type)


_WIDE = (256, 512, 1024, 2048)
RESNETS = {
    'resnet-18': ResNetSpec((2, 2, 2, 2), (64, 128, 256, 512)),
    'resnet-34': ResNetSpec((3, 4, 6, 3), (64, 128, 256, 512)),
    'resnet-50': ResNetSpec((3, 4, 6, 3), _WIDE, block='bottleneck'),
}


class ResNet(nn.Module):
    """An encoder: images [I, 3, h, w] to features at strides 4, 8, 16 and 32, [I, channels[s], h_s, w_s] each.

    h_s is h / stride rounded up. channels: of each stride's features.
    """

    def __init__(self, spec: ResNetSpec, network: nn.Module | None = None) -> None:
        super().__init__()
        self.spec, self.channels = spec, spec.channels
        self.network = untrained(spec) if network is None else network

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Return the features, finest first."""
        return tuple(self.network(images).feature_maps)


def load_resnet(name: str) -> ResNet:
    """Return an untrained ResNet ("resnet-18", "resnet-34", "resnet-50"), or a trained one.

    name: a trained one is named by its local folder or by its name on the hub, such as microsoft/resnet-34; its
    weights are read from safetensors only. Raises ValueError saying what is wrong with it.
    """
    if name in RESNETS:
        return ResNet(RESNETS[name])
    import transformers

    try:
        config = transformers.AutoConfig.from_pretrained(name)
    except (OSError, ValueError) as error:
        raise ValueError(f'no image backbone "{name}" ({str(error).splitlines()[0]}): expected one of '
                         f'{sorted(RESNETS)} (untrained), a local folder or a name on the hub such as '
                         'microsoft/resnet-34') from None
    if config.model_type != 'resnet':
        raise ValueError(f'image backbone "{name}" is a {config.model_type}, expected a resnet')
    try:
        network, report = transformers.ResNetBackbone.from_pretrained(
            name, out_features=_STAGES, use_safetensors=True, output_loading_info=True)
    except (OSError, ValueError) as error:  # ValueError: it looks for a folder without them on the hub
        raise ValueError(f'no weights of image backbone "{name}" in safetensors ({str(error).splitlines()[0]}): '
                         'expected a file model.safetensors') from None
    if missing := sorted(report['missing_keys']):
        raise ValueError(f'image backbone "{name}" lacks weights: {missing[:3]} and {max(len(missing) - 3, 0)} more')
    return ResNet(ResNetSpec.of_config(config), network.train())  # it was loaded to be asked


def untrained(spec: ResNetSpec) -> nn.Module:
    """Return a network of this size (transformers.ResNetBackbone) that gives the features of all stages."""
    import transformers

    config = transformers.ResNetConfig(depths=list(spec.depths), hidden_sizes=list(spec.channels),
                                       embedding_size=spec.stem, layer_type=spec.block, out_features=_STAGES)
    return transformers.ResNetBackbone(config)
