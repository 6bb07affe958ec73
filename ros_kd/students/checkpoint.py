# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""A checkpoint: one safetensors file whose header says everything that is needed to run the student."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from ros_kd.label_sets import read_taxonomy
from ros_kd.students import build_student
from ros_kd.students.adapters import AdapterSpec
from ros_kd.students.inputs import InputSpec
from ros_kd.taxonomy import Taxonomy

FORMAT_VERSION = 1
SUFFIX = '.safetensors'
_KEY = 'ros_kd'


class CheckpointError(ValueError):
    """A checkpoint that cannot be used; the text says why and what to do."""


@dataclass(frozen=True)
class Score:
    """How good a student is. value: as a fraction for IoU and accuracies. data: what it was measured on, with split."""

    value: float
    metric: str
    data: str
    details: str = ''


@dataclass(frozen=True)
class CheckpointInfo:
    """What a checkpoint says about itself.

    architecture, width, adapter: see students.build_student. taxonomy: class ids are the indices of the logits.
    recipe: how it was trained, as text (YAML). temperature: logits are divided by it for calibrated confidences.
    taught: ids of the classes that its training could tell of (a teacher need not know all); None: all of them.
    backbone: its features are trained but its head is not: to start training from, not to label with.
    """

    architecture: str
    inputs: InputSpec
    taxonomy: Taxonomy
    width: float = 1.0
    recipe: str = ''
    scores: tuple[Score, ...] = ()
    temperature: float = 1.0
    adapter: AdapterSpec | None = None
    taught: tuple[int, ...] | None = None
    backbone: bool = False
    format_version: int = FORMAT_VERSION

    def __post_init__(self) -> None:
        if not self.temperature > 0:
            raise ValueError(f'temperature {self.temperature}: must be positive (1 leaves confidences as they are)')

    @property
    def answers(self) -> tuple[int, ...]:
        """Ids of the classes that may be an answer: those with a name that training could tell of."""
        return tuple(i for i, name in enumerate(self.taxonomy.names)
                     if name is not None and (self.taught is None or i in self.taught))

    def build(self) -> nn.Module:
        """Return an untrained student of this kind. Raises ValueError for an unknown architecture."""
        return build_student(self.architecture, len(self.inputs.columns), len(self.taxonomy), self.width, self.adapter)

    def to_json(self) -> str:
        """Return the text that the file's header carries."""
        data = {**asdict(self), 'taxonomy': json.loads(self.taxonomy.to_json())}
        return json.dumps(data)

    @classmethod
    def from_json(cls, text: str) -> CheckpointInfo:
        """Read `to_json`'s text; unknown keys are left aside. Raises ValueError or KeyError for other text."""
        data = json.loads(text)
        inputs, adapter, taught = data['inputs'], data.get('adapter'), data.get('taught')
        return cls(
            architecture=str(data['architecture']), width=float(data['width']),
            inputs=InputSpec(inputs['voxel_size'], inputs['lower'], inputs['upper'], inputs['columns'],
                             inputs.get('beyond', 'nearest')),
            taxonomy=read_taxonomy(json.dumps(data['taxonomy'])), recipe=str(data.get('recipe', '')),
            scores=tuple(Score(float(s['value']), s['metric'], s['data'], s.get('details', ''))
                         for s in data.get('scores', ())),
            temperature=float(data.get('temperature', 1.0)),
            adapter=None if adapter is None else AdapterSpec(**{f.name: adapter[f.name] for f in fields(AdapterSpec)}),
            taught=None if taught is None else tuple(map(int, taught)), backbone=bool(data.get('backbone', False)),
            format_version=int(data['format_version']))


def save_checkpoint(path: str | os.PathLike, student: nn.Module, info: CheckpointInfo) -> Path:
    """Write one file and return its path; the old file stays whole until the new one is.

    Raises CheckpointError if the suffix is not .safetensors or the student is not of the kind that `info` describes.
    """
    path = Path(path)
    if path.suffix != SUFFIX:
        raise CheckpointError(f'{path}: a checkpoint is one file that ends in "{SUFFIX}"')
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in student.state_dict().items()}
    restored = CheckpointInfo.from_json(info.to_json())
    _compare(path, restored.build().state_dict(), {name: tuple(w.shape) for name, w in weights.items()})
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f'{path.name}.part')
    save_file(weights, partial, {_KEY: info.to_json()})
    partial.chmod(0o644)  # safetensors writes files that only their owner may read
    os.replace(partial, path)
    return path


def read_info(path: str | os.PathLike) -> CheckpointInfo:
    """Return what the checkpoint says about itself without reading its weights. Raises CheckpointError."""
    return _read(find_checkpoint(path), weights=False)[1]


def load_checkpoint(path: str | os.PathLike) -> tuple[nn.Module, CheckpointInfo]:
    """Return the student, on the CPU and in evaluation mode, and what its file says about it.

    path: the file, or a folder that holds exactly one. Raises CheckpointError saying what is wrong with it.
    """
    path = find_checkpoint(path)
    weights, info = _read(path, weights=True)
    try:
        student = info.build()
    except ValueError as error:
        raise CheckpointError(f'{path}: {error}: a newer ros_kd may know it') from None
    _compare(path, student.state_dict(), {name: tuple(w.shape) for name, w in weights.items()})
    student.load_state_dict(weights)
    return student.eval(), info


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


def _read(path: Path, weights: bool) -> tuple[dict[str, Tensor], CheckpointInfo]:
    _refuse_pickle(path)
    try:
        with safe_open(path, 'pt') as file:
            text = (file.metadata() or {}).get(_KEY)
            tensors = {name: file.get_tensor(name) for name in file.keys()} if weights and text else {}
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f'{path}: not a readable safetensors file ({error}): copy or export it again') from None
    if text is None:
        raise CheckpointError(f'{path}: a safetensors file of another program, without the description of a ros_kd '
                              'student in its header: export it with `python -m training export`')
    try:
        version = int(json.loads(text)['format_version'])
        if version > FORMAT_VERSION:
            raise CheckpointError(f'{path}: written in format {version} by a newer ros_kd; this one reads up to '
                                  f'{FORMAT_VERSION}: update ros_kd')
        return tensors, CheckpointInfo.from_json(text)
    except CheckpointError:
        raise
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f'{path}: its description is broken ({type(error).__name__}: {error}): '
                              'export it again') from None


def _refuse_pickle(path: Path) -> None:
    with path.open('rb') as file:
        start = file.read(9)
    # A safetensors file may start with 0x80 too: its first 8 bytes are the length of the header, which starts with {.
    pickled = start[:1] == b'\x80' and start[8:] != b'{'
    if path.suffix in ('.pth', '.pt', '.ckpt', '.pkl', '.bin') or start[:4] == b'PK\x03\x04' or pickled:
        raise CheckpointError(f'{path}: this is a PyTorch pickle; export it with `python -m training export`')


def _compare(path: Path, expected: dict[str, Tensor], found: dict[str, tuple[int, ...]]) -> None:
    wrong = [f'"{name}" is missing' for name in expected if name not in found]
    wrong += [f'"{name}" is unknown' for name in found if name not in expected]
    wrong += [f'"{name}" is {list(found[name])}, expected {list(tensor.shape)}'
              for name, tensor in expected.items() if name in found and found[name] != tuple(tensor.shape)]
    if wrong:
        more = f' and {len(wrong) - 3} more' if len(wrong) > 3 else ''
        raise CheckpointError(f'{path}: weights and description do not belong together: {"; ".join(wrong[:3])}{more}')
