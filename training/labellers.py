# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""What can be evaluated: a student, a teacher, or one class for everything."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np
import torch

from ros_kd.frames import PairedFrame, Scan
from ros_kd.students.checkpoint import load_checkpoint
from ros_kd.students.predictor import Prediction, Predictor
from ros_kd.taxonomy import IGNORE, Taxonomy
from training.targets import Projecting, TeacherTargets
from training.teachers import Teacher


class Labeller(Protocol):
    """name: for reports. taxonomy: of the labels."""

    name: str
    taxonomy: Taxonomy

    def label(self, frame: PairedFrame) -> Prediction:
        """Return label uint8 [N] (IGNORE where there is none) and confidence float32 [N]."""


class Student:
    """An exported student. rotations: test-time augmentation, the number of directions about the vertical that class
    probabilities are averaged over (1: none)."""

    def __init__(self, path: Path, rotations: int = 1, device: str = 'auto') -> None:
        self.network, self.info = load_checkpoint(path)
        self.predictor = Predictor(self.network, self.info, device)
        self.rotations = rotations
        self.taxonomy = self.info.taxonomy
        self.name = f'student {path}'

    def label(self, frame: PairedFrame) -> Prediction:
        """See Labeller; points out of the student's range keep the predictor's answer, without augmentation."""
        plain = self.predictor.predict(frame.scan)
        if self.rotations == 1:
            return plain
        total, counted = torch.zeros(len(frame.scan), len(self.taxonomy)), torch.zeros(len(frame.scan))
        for step in range(self.rotations):
            probabilities, inside = self._probabilities(_turned(frame.scan, 2 * np.pi * step / self.rotations))
            total[inside] += probabilities
            counted[inside] += 1
        confidence, label = (total / counted.clamp(min=1)[:, None]).max(1)
        known = (counted > 0).numpy()
        return Prediction(np.where(known, label.numpy().astype(np.uint8), plain.label),
                          np.where(known, confidence.numpy(), plain.confidence))

    @torch.inference_mode()
    def _probabilities(self, scan: Scan) -> tuple[torch.Tensor, torch.Tensor]:
        batch = self.info.inputs.prepare([scan], self.predictor.device)
        inside = batch.point_voxel >= 0
        logits = self.network(batch.tensor).float() / self.info.temperature
        return logits.softmax(1)[batch.point_voxel[inside]].cpu(), inside.cpu()


def _turned(scan: Scan, angle: float) -> Scan:
    cosine, sine = np.cos(angle), np.sin(angle)
    turn = np.array([[cosine, sine, 0], [-sine, cosine, 0], [0, 0, 1]], np.float32)
    return Scan(scan.stamp, scan.points @ turn, scan.intensity, scan.time, scan.ring, frame_id=scan.frame_id)


class Constant:
    """One class for every point. Raises ValueError for a class that the taxonomy lacks."""

    def __init__(self, class_name: str, taxonomy: Taxonomy) -> None:
        if class_name not in taxonomy.names:
            raise ValueError(f'no class "{class_name}" in "{taxonomy.name}"; it has '
                             f'{[name for name in taxonomy.names if name]}')
        self.class_id = taxonomy.names.index(class_name)
        self.taxonomy = taxonomy
        self.name = f'{class_name} everywhere'

    def label(self, frame: PairedFrame) -> Prediction:
        """See Labeller."""
        size = len(frame.scan)
        return Prediction(np.full(size, self.class_id, np.uint8), np.ones(size, np.float32))


class ProjectedTeacher:
    """A teacher, at the points that the cameras see; all others get no label and are left out of its scores."""

    def __init__(self, teacher: Teacher, taxonomy: Taxonomy, projecting: Projecting = Projecting()) -> None:
        self.targets = TeacherTargets(teacher, taxonomy, projecting)
        self.taxonomy = taxonomy
        self.name = f'teacher, {teacher.identity}'

    def label(self, frame: PairedFrame) -> Prediction:
        """See Labeller."""
        targets = self.targets(frame)
        confidence = np.zeros(len(frame.scan), np.float32)
        confidence[targets.index] = targets.values.max(1, initial=0) if len(targets) else 0
        return Prediction(targets.hard(len(frame.scan)), confidence)


def translate(label: np.ndarray, source: Taxonomy, target: Taxonomy) -> np.ndarray:
    """Return labels uint8 [N] of `source` as ids of `target`, IGNORE where there is none."""
    table = source.lookup_to(target)
    table[IGNORE] = IGNORE
    return table[label]
