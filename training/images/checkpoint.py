# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""An image network's file: safetensors, with a header that says all that is needed to run it."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from ros_kd.label_sets import read_taxonomy
from ros_kd.students.checkpoint import SUFFIX, CheckpointError, Score, find_checkpoint
from ros_kd.taxonomy import Taxonomy
from training.images.backbone import ResNet, ResNetSpec
from training.images.network import ImageNetwork

FORMAT_VERSION = 1
_KEY = 'ros_kd_images'


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
    path = Path(path)
    if path.suffix != SUFFIX:
        raise CheckpointError(f'{path}: an image network is one file that ends in "{SUFFIX}"')
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    _load(path, NetworkInfo.from_json(info.to_json()), weights)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f'{path.name}.part')
    save_file(weights, partial, {_KEY: info.to_json()})
    partial.chmod(0o644)  # safetensors writes files that only their owner may read
    os.replace(partial, path)
    return path


def read_network_info(path: str | os.PathLike) -> NetworkInfo:
    """Return what the file says about its network without reading the weights. Raises CheckpointError."""
    return _read(find_checkpoint(path), weights=False)[1]


def load_image_network(path: str | os.PathLike) -> tuple[ImageNetwork, NetworkInfo]:
    """Return the network, on the CPU and in evaluation mode, and what its file says about it.

    path: the file, or a folder that holds exactly one. Raises CheckpointError saying what is wrong with it.
    """
    path = find_checkpoint(path)
    weights, info = _read(path, weights=True)
    return _load(path, info, weights), info


def _load(path: Path, info: NetworkInfo, weights: dict) -> ImageNetwork:
    network = info.build()
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        raise CheckpointError(f'{path}: weights and description do not belong together: '
                              f'{" ".join(str(error).split())[:300]}') from None
    return network.eval()


def _read(path: Path, weights: bool) -> tuple[dict, NetworkInfo]:
    try:
        with safe_open(path, 'pt') as file:
            text = (file.metadata() or {}).get(_KEY)
            tensors = {name: file.get_tensor(name) for name in file.keys()} if weights and text else {}
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f'{path}: not a readable safetensors file ({error}): expected an image network, as '
                              '`python -m training fit-images` writes it') from None
    if text is None:
        raise CheckpointError(f'{path}: no image network is described in its header: expected a file that `python -m '
                              'training fit-images` wrote (not a student, nor one of another program)')
    try:
        version = int(json.loads(text)['format_version'])
        if version > FORMAT_VERSION:
            raise CheckpointError(f'{path}: written in format {version} by a newer ros_kd; this one reads up to '
                                  f'{FORMAT_VERSION}: update ros_kd')
        return tensors, NetworkInfo.from_json(text)
    except CheckpointError:
        raise
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f'{path}: its description is broken ({type(error).__name__}: {error}): train or export '
                              'it again') from None
