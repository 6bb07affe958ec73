# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""A camera looking along x at a wall of points: small frames whose truth is known."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from lightning.pytorch import Callback, Trainer

from ros_kd.cameras import Camera
from ros_kd.frames import CameraView, PairedFrame, Scan
from ros_kd.images import RawPixels
from ros_kd.label_sets import get_taxonomy

TO_OPTICAL = np.array([[0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1.0]])
ROAD, BUILDING, SKY = 0, 2, 10


def street(seed: int = 0, points: int = 600, labels: bool = True) -> PairedFrame:
    """A road below and walls around; the lower half of the image is road, the upper building (Cityscapes)."""
    random = np.random.default_rng(seed)
    angle = random.uniform(-np.pi, np.pi, points)
    distance = random.uniform(4, 12, points)
    xyz = np.stack([distance * np.cos(angle), distance * np.sin(angle), np.full(points, -1.5)], 1)
    wall = random.random(points) < 0.5
    xyz[wall, 2] = random.uniform(0.2, 3, wall.sum())
    xyz[wall, :2] *= (14 / distance[wall])[:, None]
    label = np.where(wall, 3, 0).astype(np.uint16)
    scan = Scan(1000 + seed, xyz.astype(np.float32), random.random(points, np.float32),
                label=label if labels else None, taxonomy=get_taxonomy('street-12') if labels else None)
    camera = Camera(80, 60, np.array([[50, 0, 39.5], [0, 50, 29.5], [0, 0, 1.0]]))
    image = np.zeros((60, 80), np.uint8)
    image[:30], image[30:] = BUILDING, ROAD
    view = CameraView('front', 1000 + seed, camera, TO_OPTICAL, RawPixels(np.zeros((60, 80, 3), np.uint8)),
                      label_pixels=RawPixels(image), taxonomy=get_taxonomy('cityscapes'))
    return PairedFrame(scan, (view,), f'street{seed}')


@pytest.fixture
def frame() -> PairedFrame:
    """One such frame."""
    return street()


def write_drive(folder: Path, frames: int, first_seed: int = 0) -> Path:
    """Write streets as SemanticKITTI sequence 00 with images and labels, and a teacher's label images."""
    sequence, answers = folder / 'data/sequences/00', folder / 'data/teacher/sequences/00/image_2'
    for part in ('velodyne', 'labels', 'image_2'):
        (sequence / part).mkdir(parents=True)
    answers.mkdir(parents=True)
    for number in range(frames):
        frame = street(first_seed + number)
        scan, view, name = frame.scan, frame.views[0], f'{number:06}'
        np.column_stack([scan.points, scan.intensity]).astype(np.float32).tofile(sequence / f'velodyne/{name}.bin')
        np.where(scan.label == 3, 50, 40).astype(np.uint32).tofile(sequence / f'labels/{name}.label')
        cv2.imwrite(str(sequence / f'image_2/{name}.png'), view.image())
        cv2.imwrite(str(answers / f'{name}.png'), view.labels())
    projection = ' '.join(map(str, np.column_stack([view.camera.K, np.zeros(3)]).ravel()))
    rows = ' '.join(map(str, TO_OPTICAL[:3].ravel()))
    (sequence / 'calib.txt').write_text(''.join(f'P{i}: {projection}\n' for i in range(4)) + f'Tr: {rows}\n')
    return folder / 'data'


RECIPE = '''
model:
  class_path: training.methods.soft_labels.SoftLabels
  init_args:
    taxonomy: street-12
    student:
      width: 0.25
      inputs: {voxel_size: 0.5, lower: [-20, -20, -4], upper: [20, 20, 4], columns: [z, intensity]}
    optimisation: {rate: 0.01}
data:
  train: ['semantickitti:.?sequences=00']
  teacher:
    class_path: training.teachers.files.LabelFiles
    init_args: {folder: teacher}
  batch_size: 2
trainer: {accelerator: cpu, enable_progress_bar: false, enable_model_summary: false, log_every_n_steps: 1}
'''


class InterruptAfter(Callback):
    """Presses Ctrl-C at the end of a step."""

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def on_train_batch_end(self, trainer: Trainer, *_: object) -> None:
        """Interrupt."""
        if trainer.global_step == self.steps:
            raise KeyboardInterrupt
