# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""A checkpoint: one safetensors file whose header says everything that is needed to run the student."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from torch import nn

from ros_kd.label_sets import read_taxonomy
from ros_kd.students import build_student
from ros_kd.students import described
from ros_kd.students.adapters import AdapterSpec
from ros_kd.students.described import SUFFIX, CheckpointError, find_checkpoint
from ros_kd.students.inputs import InputSpec
from ros_kd.taxonomy import Taxonomy

__all__ = ['SUFFIX', 'CheckpointError', 'CheckpointInfo', 'Score', 'find_checkpoint', 'load_checkpoint', 'read_info',
           'save_checkpoint']
FORMAT_VERSION = 1
_STUDENT = described.Kind('ros_kd', FORMAT_VERSION, 'student', 'python -m training export')


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
    path = described.checked(path)
    described.compare(path, CheckpointInfo.from_json(info.to_json()).build(), student.state_dict())
    return described.write(path, student, _STUDENT, info.to_json())


def read_info(path: str | os.PathLike) -> CheckpointInfo:
    """Return what the checkpoint says about itself without reading its weights. Raises CheckpointError."""
    return described.read(find_checkpoint(path), _STUDENT, CheckpointInfo.from_json, weights=False)[1]


def load_checkpoint(path: str | os.PathLike) -> tuple[nn.Module, CheckpointInfo]:
    """Return the student, on the CPU and in evaluation mode, and what its file says about it.

    path: the file, or a folder that holds exactly one. Raises CheckpointError saying what is wrong with it.
    """
    path = find_checkpoint(path)
    weights, info = described.read(path, _STUDENT, CheckpointInfo.from_json, weights=True)
    try:
        student = info.build()
    except ValueError as error:
        raise CheckpointError(f'{path}: {error}: a newer ros_kd may know it') from None
    return described.load(path, student, weights), info
