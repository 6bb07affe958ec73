# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Safetensors files whose header describes the network that their weights are of."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, TypeVar

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

SUFFIX = '.safetensors'
Description = TypeVar('Description')


class CheckpointError(ValueError):
    """A checkpoint that cannot be used; the text says why and what to do."""


@dataclass(frozen=True)
class Kind:
    """A kind of file. key: of its description in the header. version: the newest format that is known. name: of what
    it holds. command: that writes it."""

    key: str
    version: int
    name: str
    command: str


def find_checkpoint(path: str | os.PathLike) -> Path:
    """Return the checkpoint file at `path` or the only one in that folder. Raises CheckpointError."""
    path = Path(path).expanduser()
    if path.is_dir():
        files = sorted(path.glob(f'*{SUFFIX}'))
        if len(files) != 1:
            found = ', '.join(file.name for file in files) or 'none'
            raise CheckpointError(f'{path}: expected one {SUFFIX} file in this folder, found {found}: name the file')
        path = files[0]
    if not path.is_file():
        raise CheckpointError(f'{path}: no such checkpoint')
    return path


def write(path: str | os.PathLike, network: nn.Module, kind: Kind, text: str) -> Path:
    """Write the network's weights and description, and return the path; an old file stays whole until the new one is.

    Raises CheckpointError if the suffix is not .safetensors.
    """
    path = checked(path)
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f'{path.name}.part')
    save_file(weights, partial, {kind.key: text})
    partial.chmod(0o644)  # safetensors writes files that only their owner may read
    os.replace(partial, path)
    return path


def checked(path: str | os.PathLike) -> Path:
    """Return the path to write to. Raises CheckpointError if the suffix is not .safetensors."""
    path = Path(path)
    if path.suffix != SUFFIX:
        raise CheckpointError(f'{path}: a checkpoint is one file that ends in "{SUFFIX}"')
    return path


def read(path: Path, kind: Kind, parse: Callable[[str], Description],
         weights: bool) -> tuple[dict[str, Tensor], Description]:
    """Return the weights, if asked for, and the description of a file of that kind. Raises CheckpointError."""
    _refuse_pickle(path, kind)
    try:
        with safe_open(path, 'pt') as file:
            text = (file.metadata() or {}).get(kind.key)
            tensors = {name: file.get_tensor(name) for name in file.keys()} if weights and text else {}
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f'{path}: not a readable safetensors file ({error}): copy or export it again') from None
    if text is None:
        raise CheckpointError(f'{path}: a safetensors file of another program, or of another kind: no {kind.name} of '
                              f'ros_kd is described in its header; write one with `{kind.command}`')
    try:
        version = int(json.loads(text)['format_version'])
        if version > kind.version:
            raise CheckpointError(f'{path}: written in format {version} by a newer ros_kd; this one reads up to '
                                  f'{kind.version}: update ros_kd')
        return tensors, parse(text)
    except CheckpointError:
        raise
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f'{path}: its description is broken ({type(error).__name__}: {error}): write it again '
                              f'with `{kind.command}`') from None


def load(path: Path, network: nn.Module, weights: dict[str, Tensor]) -> nn.Module:
    """Give the network its weights, and return it in evaluation mode. Raises CheckpointError if they are another's."""
    compare(path, network, weights)
    network.load_state_dict(weights)
    return network.eval()


def compare(path: Path, network: nn.Module, weights: dict[str, Tensor]) -> None:
    """Raise CheckpointError if the weights are not those of such a network."""
    expected = network.state_dict()
    wrong = [f'"{name}" is missing' for name in expected if name not in weights]
    wrong += [f'"{name}" is unknown' for name in weights if name not in expected]
    wrong += [f'"{name}" is {list(weights[name].shape)}, expected {list(tensor.shape)}'
              for name, tensor in expected.items() if name in weights and weights[name].shape != tensor.shape]
    if wrong:
        more = f' and {len(wrong) - 3} more' if len(wrong) > 3 else ''
        raise CheckpointError(f'{path}: weights and description do not belong together: {"; ".join(wrong[:3])}{more}')


def _refuse_pickle(path: Path, kind: Kind) -> None:
    with path.open('rb') as file:
        start = file.read(9)
    # A safetensors file may start with 0x80 too: its first 8 bytes are the length of the header, which starts with {.
    pickled = start[:1] == b'\x80' and start[8:] != b'{'
    if path.suffix in ('.pth', '.pt', '.ckpt', '.pkl', '.bin') or start[:4] == b'PK\x03\x04' or pickled:
        raise CheckpointError(f'{path}: this is a PyTorch pickle; export it with `{kind.command}`')
