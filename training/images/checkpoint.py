# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""An image network's file: safetensors, with a header that says all that is needed to run it."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from ros_kd.label_sets import read_taxonomy
from ros_kd.students import described
from ros_kd.students.checkpoint import Score, find_checkpoint
from ros_kd.taxonomy import Taxonomy
from training.images.backbone import ResNet, ResNetSpec
from training.images.network import ImageNetwork

FORMAT_VERSION = 1
_NETWORK = described.Kind('ros_kd_images', FORMAT_VERSION, 'image network', 'python -m training fit-images')


@dataclass(frozen=True)
class NetworkInfo:
    """What an image network's file says about it.

    backbone, width: see ImageNetwork. taxonomy: its classes are the first logits; one more is of what is none of them.
    size: (height, width) that images are resized to. taught: ids of the classes that its training images showed.
    recipe: how it was trained, as text (YAML).
    """

    backbone: ResNetSpec
    width: int
    taxonomy: Taxonomy
    size: tuple[int, int]
    taught: tuple[int, ...]
    recipe: str = ''
    scores: tuple[Score, ...] = ()
    format_version: int = FORMAT_VERSION

    def build(self) -> ImageNetwork:
        """Return an untrained network of this kind."""
        return ImageNetwork(ResNet(self.backbone), self.width, len(self.taxonomy) + 1)

    def to_json(self) -> str:
        """Return the text that the file's header carries."""
        return json.dumps({**asdict(self), 'taxonomy': json.loads(self.taxonomy.to_json())})

    @classmethod
    def from_json(cls, text: str) -> NetworkInfo:
        """Read `to_json`'s text; unknown keys are left aside. Raises ValueError or KeyError for other text."""
        data = json.loads(text)
        backbone = data['backbone']
        height, width = map(int, data['size'])
        return cls(
            ResNetSpec(backbone['depths'], backbone['channels'], int(backbone['stem']), backbone['block']),
            int(data['width']), read_taxonomy(json.dumps(data['taxonomy'])), (height, width),
            tuple(map(int, data['taught'])), str(data.get('recipe', '')),
            tuple(Score(float(s['value']), s['metric'], s['data'], s.get('details', ''))
                  for s in data.get('scores', ())), int(data['format_version']))


def save_image_network(path: str | os.PathLike, network: ImageNetwork, info: NetworkInfo) -> Path:
    """Write one file and return its path; an old file stays whole until the new one is.

    Raises CheckpointError if the suffix is not .safetensors or the network is not of the kind that `info` describes.
    """
    path = described.checked(path)
    described.compare(path, NetworkInfo.from_json(info.to_json()).build(), network.state_dict())
    return described.write(path, network, _NETWORK, info.to_json())


def read_network_info(path: str | os.PathLike) -> NetworkInfo:
    """Return what the file says about its network without reading the weights. Raises CheckpointError."""
    return described.read(find_checkpoint(path), _NETWORK, NetworkInfo.from_json, weights=False)[1]


def load_image_network(path: str | os.PathLike) -> tuple[ImageNetwork, NetworkInfo]:
    """Return the network, on the CPU and in evaluation mode, and what its file says about it.

    path: the file, or a folder that holds exactly one. Raises CheckpointError saying what is wrong with it.
    """
    path = find_checkpoint(path)
    weights, info = described.read(path, _NETWORK, NetworkInfo.from_json, weights=True)
    return described.load(path, info.build(), weights), info
