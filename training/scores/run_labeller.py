# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""Labels from a run as it stands: what its student answers, with cameras where it needs them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from jsonargparse import ArgumentParser
from torch import Tensor

from ros_kd.frames import PairedFrame
from ros_kd.students.nearest import nearest_logits
from ros_kd.students.predictor import Prediction, Predictor, chosen_device
from training.frames.augmentation import Sample
from training.frames.batches import Batch
from training.frames.targets import Knowledge, Targets
from training.images.looking import look_all
from training.methods import Answer, Method
from training.running.export import find_run_checkpoint, student_of
from training.scores.labellers import Labeller
from training.teachers.recipe import teacher_of


def run_labeller(run: Path, root: Path | None = None, views: int = 1, device: str = 'auto') -> Labeller:
    """Return what the run of a folder answers with, by its checkpoint: the best, else the last.

    root: where relative paths of the recipe's teacher start (None: as its data.root says). views: test-time
    augmentation, see Predictor. Raises ValueError if it is no run, for a backbone, or for views of one with cameras.
    """
    recipe = run / 'recipe.yaml'
    if not recipe.is_file():
        raise ValueError(f'{run} is no run: expected the folder of a training, with its recipe.yaml')
    checkpoint = torch.load(find_run_checkpoint(run), map_location='cpu', weights_only=True)
    if 'student' not in checkpoint:
        raise ValueError(f'{run} has no student: expected the folder of `python -m training fit`; what fit-images '
                         'trained is scored by evaluate --teacher RECIPE')
    if not checkpoint['student']['cameras']:
        return LidarRun(run, checkpoint, views, device)
    if views > 1:
        raise ValueError(f'{views} turned views of scans for {run}, which needs cameras: expected 1')
    return CameraRun(run, checkpoint, root, device)


class LidarRun:
    """The student of a run, as its export answers: it needs neither images nor the teacher. See labellers.Labeller."""

    def __init__(self, run: Path, checkpoint: dict[str, Any], views: int, device: str) -> None:
        student, info = student_of(checkpoint)
        if info.backbone:
            raise ValueError(f'{run} is of a pre-trained backbone, whose head was never trained to label points: '
                             'fine-tune or probe it first (`student: FILE` in a recipe with 3D labels)')
        self.predictor = Predictor(student.eval(), info, device, precision='float32', tta=views)
        self.taxonomy, self.taught, self.name = info.taxonomy, info.taught, f'run {run}'

    def label(self, frame: PairedFrame) -> Prediction:
        """See Labeller."""
        return self.predictor.predict(frame.scan)


class CameraRun:
    """The method of a run, by its recipe.yaml and its checkpoint, with cameras. See labellers.Labeller."""

    def __init__(self, run: Path, checkpoint: dict[str, Any], root: Path | None, device: str) -> None:
        recipe = run / 'recipe.yaml'
        self.method = method_of(recipe)
        self.method.load_state_dict(checkpoint['state_dict'])
        self.method.to(chosen_device(device)).eval()
        self.temperature = checkpoint['student']['temperature']
        self.taxonomy, self.taught = self.method.taxonomy, checkpoint['student'].get('taught')
        self.name = f'run {run} (with its cameras)'
        named = bool(yaml.safe_load(recipe.read_text())['data'].get('teacher'))
        self._scores = self.method.makers(teacher_of(recipe, root) if named else None).classes
        self._offset = torch.tensor([0.0 if name else -torch.inf for name in self.taxonomy.names],
                                    device=self.method.device)

    @torch.inference_mode()
    def label(self, frame: PairedFrame) -> Prediction:
        """Return label uint8 [N] and confidence float32 [N], as Predictor.predict does for an exported student.

        Raises InputError if the scan lacks a column.
        """
        answer = self.method.answer(self._batch(frame).to(self.method.device))
        if not len(answer.logits):
            return Prediction(np.zeros(len(frame.scan), np.uint8), np.zeros(len(frame.scan), np.float32))
        voxel = answer.voxels.point_voxel
        logits = torch.cat([answer.logits, answer.logits.new_zeros(1, answer.logits.shape[1])])[voxel]
        known = voxel >= 0
        if self.method.spec.inputs.beyond == 'nearest':
            self._beyond(frame, answer, logits, known)
        confidence, label = (logits / self.temperature + self._offset).softmax(1).max(1)
        label, confidence = torch.where(known, label, 0), torch.where(known, confidence, 0)
        return Prediction(label.to(torch.uint8).cpu().numpy(), confidence.float().cpu().numpy())

    def _batch(self, frame: PairedFrame) -> Batch:
        width = len(self.taxonomy)
        scores = None if self._scores is None else self._scores(frame)
        looks = () if self.method.looking is None else look_all(frame, self.method.looking)
        return Batch.of([Sample(frame, Knowledge(labels=Targets.none(width), classes=scores), looks)])

    def _beyond(self, frame: PairedFrame, answer: Answer, logits: Tensor, known: Tensor) -> None:
        """Fill in the points out of range, as the nearest voxels are called."""
        points = torch.from_numpy(frame.points).to(logits.device)
        rows = (~known & torch.isfinite(points).all(1) & (points != 0).any(1)).nonzero().squeeze(1)
        if len(rows):
            tensor = answer.voxels.tensor
            logits[rows] = nearest_logits(points[rows], tensor.keys, answer.logits,
                                          self.method.spec.inputs.voxel_size, answer.voxels.backend)
            known[rows] = True


def method_of(recipe: Path) -> Method:
    """Return the method that a recipe names, untrained. Raises ValueError if it names none."""
    data = yaml.safe_load(recipe.read_text()) or {}
    if 'model' not in data:
        raise ValueError(f'{recipe} names no method: expected model with class_path and init_args')
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(Method, 'model')
    return parser.instantiate_classes(parser.parse_object({'model': data['model']})).model
