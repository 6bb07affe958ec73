# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""How many points images tell the class of, and how rightly: of the scan's moment alone, and of others, too.

A line for each way of looking and each place: the near ring, the sectors without a camera, the rest. Coverage: the share
of the points with 3D labels that have a target. Accuracy and mean IoU: of those. weight_right, weight_wrong: the mean
weight of the targets that are right, and wrong. cpu_ms: for a frame, of which teacher_ms are the teacher's.

The simulated drive has three cameras and a frame each half second; its teacher gives 5 % of the image blocks a random
class. Where ROS_KD_TEST_DATA names the folder of real frames, PandaSet's street follows (2.5 Hz, six cameras, a real
network that is often wrong; also its front camera alone).
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import process_time

import numpy as np

from ros_kd.datasets import open_dataset
from ros_kd.frames import CameraView, PairedFrame
from ros_kd.images import RawPixels
from ros_kd.label_sets import get_taxonomy
from ros_kd.scores import Confusion
from ros_kd.taxonomy import IGNORE, Taxonomy
from training.evidence import Moments
from training.frames.projected import ClassTargets, Projecting
from training.frames.targets import truth
from training.scores.subsets import NEAR, places
from training.teachers import Teacher
from training.teachers.files import LabelFiles
from training.teachers.frame_labels import FrameLabels

NEIGHBOURS = (0, 1, 3, 6)
SIMULATED = 'simulated:?seed=3&frames=18&step=5&width=480&height=270'
MOMENTS = Moments()
ABLATED = {'every pixel trusted': replace(MOMENTS, depth=None),
           'things that move not left out': replace(MOMENTS, still=0, seen_through=1.0, contradicted=1.0),
           'movable classes never from other moments': replace(MOMENTS, still=1000),
           'other moments overrule what moves': replace(MOMENTS, contradicted=1.0),
           'other moments never overrule what moves': replace(MOMENTS, contradicted=0.0)}


class Timed(Teacher):
    """Asks another teacher, and remembers how long that took."""

    def __init__(self, teacher: Teacher) -> None:
        self.teacher, self.taxonomy, self.seconds = teacher, teacher.taxonomy, 0.0

    @property
    def identity(self) -> str:
        """See Teacher."""
        return self.teacher.identity

    def probabilities(self, view: CameraView, uv: np.ndarray) -> np.ndarray:
        """See Teacher."""
        started = process_time()
        try:
            return self.teacher.probabilities(view, uv)
        finally:
            self.seconds += process_time() - started


@dataclass
class Tally:
    """What was found of the points of a place. weights: sums for wrong and right points."""

    confusion: Confusion
    labelled: int = 0
    weights: np.ndarray = field(default_factory=lambda: np.zeros(2))

    def add(self, expected: np.ndarray, label: np.ndarray, weight: np.ndarray) -> None:
        """Count points [N]: IGNORE in `label` is no target."""
        known = (expected != IGNORE) & (label != IGNORE)
        self.labelled += int((expected != IGNORE).sum())
        self.confusion.add(expected[known], label[known])
        right = (expected == label)[known]
        self.weights += [weight[known][~right].sum(), weight[known][right].sum()]

    def line(self) -> dict[str, float | int | None]:
        """Return the figures."""
        found, scores = self.confusion.total, self.confusion
        right = int(np.diagonal(scores.counts).sum())
        wrong, sure = (float(total / max(count, 1)) for total, count in zip(self.weights, (found - right, right)))
        return {'points': self.labelled, 'coverage_%': round(100 * found / max(self.labelled, 1), 1),
                'accuracy_%': round(100 * scores.accuracy, 1) if found else None,
                'miou_%': round(100 * scores.mean_iou, 1) if found else None,
                'weight_right': round(sure, 3), 'weight_wrong': round(wrong, 3)}


def measure(name: str, frames: list[PairedFrame], teacher: Teacher, taxonomy: Taxonomy, numbers: range) -> None:
    """Print the lines of a drive, of the frames `numbers`."""
    for neighbours in NEIGHBOURS:
        report(f'{name}, {neighbours} before and after', frames, teacher, taxonomy, numbers, neighbours, MOMENTS)
    for what, moments in ABLATED.items():
        report(f'{name}, 3 before and after, {what}', frames, teacher, taxonomy, numbers, 3, moments)


def report(name: str, frames: list[PairedFrame], teacher: Teacher, taxonomy: Taxonomy, numbers: range,
           neighbours: int, moments: Moments) -> None:
    """Print a line for each place."""
    timed = Timed(teacher)
    make = ClassTargets(timed, taxonomy, Projecting(moments=moments))
    tallies: dict[str, Tally] = {}
    seconds = 0.0
    for number in numbers:
        frame = frames[number]
        others = [*frames[max(number - neighbours, 0):number], *frames[number + 1:number + neighbours + 1]]
        started = process_time()
        targets = make(frame, others)
        seconds += process_time() - started
        expected, label = truth(frame, taxonomy), targets.hard(len(frame.scan))
        weight = np.zeros(len(label), np.float32)
        weight[targets.index] = targets.weight
        everywhere = {f'nearer than {NEAR:.0f} m': np.hypot(*frame.points[:, :2].T) < NEAR,
                      'everywhere': np.ones(len(label), bool)}
        for place, chosen in {**places(frame), **everywhere}.items():
            tally = tallies.setdefault(place, Tally(Confusion.empty(len(taxonomy))))
            tally.add(expected[chosen], label[chosen], weight[chosen])
    times = {'cpu_ms': round(1e3 * seconds / len(numbers)), 'teacher_ms': round(1e3 * timed.seconds / len(numbers))}
    for place, tally in tallies.items():
        print(json.dumps({'name': f'evidence.{name}', 'place': place, **tally.line(), **times}), flush=True)


def simulated() -> list[PairedFrame]:
    """Return the frames of a simulated drive with their label images, rendered once."""
    def rendered(view: CameraView) -> CameraView:
        return replace(view, label_pixels=RawPixels(view.labels()))
    return [replace(frame, views=tuple(map(rendered, frame.views))) for frame in open_dataset(SIMULATED)]


def main() -> None:
    """Print one JSON object a line."""
    measure('simulated', simulated(), FrameLabels('sim-12', errors=0.05), get_taxonomy('sim-12'), range(6, 12))
    root = os.environ.get('ROS_KD_TEST_DATA')
    if not root:
        return
    teacher = LabelFiles(Path(root) / 'teacher/dicenet/labels')
    for name, option in (('pandaset', ''), ('pandaset front camera', '?cameras=front_camera')):
        frames = list(open_dataset(f'pandaset:{root}/pandaset/002{option}'))
        measure(name, frames, teacher, get_taxonomy('street-12'), range(1, 9))


if __name__ == '__main__':
    main()
