# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""The segmenter's student, as its checkpoint has it, and the errors of running it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Sequence

import numpy as np

from ros_kd.nodes.labelled_cloud import Dropped, packed_palette
from ros_kd.nodes.segment_parameters import SegmentParameters

if TYPE_CHECKING:
    from ros_kd.frames import Scan
    from ros_kd.students.predictor import Prediction, Predictor
    from ros_kd.taxonomy import Taxonomy

SHIPPED = 'students/simulated.safetensors'
_NO_MEMORY = ("can't allocate memory", 'not enough memory', 'out of memory', 'bad_alloc')


@dataclass(frozen=True, eq=False)
class Model:
    """path: of the checkpoint. palette: packed colour by class id, float32 [256]."""

    path: Path
    predictor: Predictor
    palette: np.ndarray

    @property
    def taxonomy(self) -> Taxonomy:
        """The classes."""
        return self.predictor.info.taxonomy

    def predict(self, scan: Scan) -> Prediction:
        """Return the labels. Raises Dropped for a missing column, and when the memory does not suffice."""
        from ros_kd.students.inputs import InputError
        try:
            return self.predictor.predict(scan)
        except InputError as error:
            raise Dropped('missing field', str(error)) from None
        except (MemoryError, RuntimeError) as error:  # torch has a class of its own for the GPU only
            if isinstance(error, RuntimeError) and not any(text in str(error) for text in _NO_MEMORY):
                raise
            self._free()
            raise Dropped('out of memory', f'{len(scan)} points on {self.predictor.device}: {error}'.rstrip() +
                          '; use a student with larger voxels or a smaller range, or tta:=1') from None

    def _free(self) -> None:
        import torch
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def dropped(self, names: Sequence[str]) -> np.ndarray:
        """Return which class ids have one of the names, bool [256]. Raises ValueError for a name that is no class."""
        table = np.zeros(256, bool)
        for name in names:
            ids = [i for i, own in enumerate(self.taxonomy.names) if own == name]
            if not ids:
                raise ValueError(f'drop_classes names "{name}", which {self.path} has no class for; choose of '
                                 f'{[own for own in self.taxonomy.names if own is not None]}')
            table[ids] = True
        return table

    def line(self) -> str:
        """Return what it is in one line."""
        info = self.predictor.info
        classes = sum(name is not None for name in info.taxonomy.names)
        return (f'{self.path}: {info.architecture} with {classes} classes of "{info.taxonomy.name}", '
                f'voxels of {info.inputs.voxel_size} m, on {self.predictor.description}'
                + ''.join(f'; {score.metric} {score.value:.3f} on {score.data}' for score in info.scores))


def load_model(settings: SegmentParameters) -> Model:
    """Load the checkpoint that the parameters name. Raises ValueError or OSError if it cannot be used."""
    path = find_checkpoint(settings.checkpoint)
    # Read when torch's OpenMP runtime loads. Its threads spin for milliseconds after each layer otherwise, on cores
    # that drivers and the transport need: on a busy machine layers then take several times as long.
    os.environ.setdefault('OMP_WAIT_POLICY', 'passive')
    import torch  # the node starts, and says so, without it

    from ros_kd.students.predictor import Predictor
    if settings.threads:
        torch.set_num_threads(settings.threads)
    predictor = Predictor.load(path, settings.device, settings.backend, settings.precision, settings.tta)
    model = Model(path, predictor, packed_palette(predictor.info.taxonomy))
    model.dropped(settings.drop_classes)
    return model


def find_checkpoint(path: str) -> Path:
    """Return the checkpoint that was asked for, or the shipped one. Raises ValueError saying how to make one."""
    if path:
        return Path(path).expanduser()
    try:
        from ament_index_python.packages import get_package_share_directory
        shipped = Path(get_package_share_directory('ros_kd')) / SHIPPED
    except (ImportError, LookupError, OSError):  # no ROS index, not installed, or AMENT_PREFIX_PATH is not set
        shipped = Path(SHIPPED)
    if shipped.is_file():
        return shipped
    raise ValueError(f'no checkpoint: the parameter "checkpoint" is empty and there is no student at {shipped}. Name '
                     'one with checkpoint:=FILE.safetensors; "make demo" makes one in minutes, "python -m training" '
                     'one from your own recordings')
