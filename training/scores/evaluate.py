# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""Scores against 3D labels, over all and over parts of the points, as a table and as JSON."""

from __future__ import annotations

import argparse
import json
import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Collection

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from ros_kd.datasets import open_dataset
from ros_kd.frames import PairedFrame
from ros_kd.label_sets import get_taxonomy
from ros_kd.scores import Confusion
from ros_kd.taxonomy import IGNORE, Taxonomy
from training.frames.targets import reachable, truth
from training.scores.labellers import Constant, Labeller, ProjectedTeacher, Student, answers, translate
from training.scores.metrics import Calibration, frequency_weighted_iou, mean_over
from training.scores.subsets import subsets

PROTOCOL = ('mIoU: mean over the classes that have labelled points; reachable mIoU: over those of them that training '
            'could tell of. A labelled point without a prediction is an error. Points without a label are left out.')


@dataclass(frozen=True)
class SubsetScore:
    """points: labelled ones. mean_iou over the `classes` classes present there. accuracy: share of points."""

    points: int
    classes: int
    mean_iou: float
    accuracy: float


@dataclass(frozen=True)
class Report:
    """Scores as fractions. iou: by class name, None for a class without labelled points. reachable: the classes that
    labels could be, with the taxonomy and the teacher that they were taught with."""

    labeller: str
    datasets: list[str]
    taxonomy: str
    labels: str
    frames: int
    points: int
    test_time_augmentation: str
    mean_iou: float
    accuracy: float
    frequency_weighted_iou: float
    calibration_error: float
    iou: dict[str, float | None]
    support: dict[str, int]
    subsets: dict[str, SubsetScore] = field(default_factory=dict)
    reachable: list[str] = field(default_factory=list)
    reachable_mean_iou: float = math.nan
    protocol: str = PROTOCOL

    def to_json(self) -> str:
        """Return the report as text; what is not a number becomes null."""
        return json.dumps(_plain(asdict(self)), indent=1)


def _plain(value: object) -> object:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return None if isinstance(value, float) and math.isnan(value) else value


class Evaluation:
    """Collects scores over frames. taxonomy: what truth and labels are compared in."""

    def __init__(self, taxonomy: Taxonomy) -> None:
        self.taxonomy = taxonomy
        self.whole = Confusion.empty(len(taxonomy))
        self.parts: dict[str, Confusion] = {}
        self.calibration = Calibration.empty()
        self.frames = 0
        self._label_sets: set[str] = set()

    @property
    def label_sets(self) -> str:
        """Names of the taxonomies that the frames' labels are of."""
        return ', '.join(sorted(self._label_sets))

    def ask(self, labeller: Labeller, frame: PairedFrame) -> tuple[np.ndarray, np.ndarray | None]:
        """Count what a labeller answers; a teacher only where it does. Raises as `add` does.

        Returns labels uint8 [N], ids of the taxonomy, and bool [N], which points count (None: all).
        """
        prediction = labeller.label(frame)
        label = translate(prediction.label, labeller.taxonomy, self.taxonomy)
        only = prediction.label != IGNORE if isinstance(labeller, ProjectedTeacher) else None
        self.add(frame, label, prediction.confidence, only)
        return label, only

    def add(self, frame: PairedFrame, label: np.ndarray, confidence: np.ndarray,
            only: np.ndarray | None = None) -> None:
        """Count a frame's labels uint8 [N] (ids of the taxonomy); `only` bool [N] leaves the other points out.

        Raises ValueError if the frame has no 3D labels.
        """
        expected = truth(frame, self.taxonomy)
        if expected is None:
            raise ValueError(f'frame {frame.key} has no 3D labels to compare with: choose a dataset with labels')
        if only is not None:
            expected = np.where(only, expected, IGNORE)
        self.whole.add(expected, label)
        self.calibration.add(expected, label, confidence)
        for name, chosen in subsets(frame).items():
            part = self.parts.setdefault(name, Confusion.empty(len(self.taxonomy)))
            part.add(expected[chosen], label[chosen])
        self.frames += 1
        self._label_sets.add(frame.scan.taxonomy.name)

    def report(self, labeller: str, datasets: list[str], labels: str, augmentation: str,
               reached: Collection[int] | None = None) -> Report:
        """Return the scores so far. reached: ids of the classes that labels could be; None: all."""
        whole, names = self.whole, self.taxonomy.names
        iou = {name: None if np.isnan(value) else float(value) for name, value in zip(names, whole.iou) if name}
        support = {name: int(value) for name, value in zip(names, whole.support) if name}
        parts = {name: SubsetScore(part.total, int((part.support > 0).sum()), part.mean_iou, part.accuracy)
                 for name, part in self.parts.items() if part.total}
        among = [name for i, name in enumerate(names) if name and (reached is None or i in reached)]
        return Report(labeller, datasets, self.taxonomy.name, labels, self.frames, whole.total, augmentation,
                      whole.mean_iou, whole.accuracy, frequency_weighted_iou(whole), self.calibration.error, iou,
                      support, parts, among, mean_over(iou, among))


def evaluate(labeller: Labeller, datasets: list[str], taxonomy: Taxonomy, augmentation: str = 'none',
             pictures: Path | None = None, reached: Collection[int] | None = None, worst: int | None = None) -> Report:
    """Score a labeller on all frames of datasets given by specification.

    pictures: a folder that gets a page with truth and labels of the `worst` frames (None: of all), see Gallery. A
    teacher is scored only where it answers. reached: ids of `taxonomy` that reachable mIoU is over; None: those that
    the labeller was taught. Raises DatasetError or ValueError.
    """
    evaluation, gallery = Evaluation(taxonomy), None
    if pictures is not None:
        from training.scores.gallery import Gallery
        gallery = Gallery(pictures, taxonomy, worst)
    for specification in datasets:
        for frame in track(open_dataset(specification), f'Evaluating {specification}', transient=True):
            label, only = evaluation.ask(labeller, frame)
            if gallery is not None:
                gallery.add(specification, frame, label, only)
    if gallery is not None:
        gallery.write(labeller.name, evaluation.whole)
    reached = answers(labeller, taxonomy) if reached is None else reached
    return evaluation.report(labeller.name, datasets, evaluation.label_sets, augmentation, reached)


def show(report: Report, console: Console) -> None:
    """Print a report as tables."""
    console.print(f'[bold]{report.labeller}[/] on {", ".join(report.datasets)}: {report.frames} frames, '
                  f'{report.points} points labelled in "{report.labels}", classes {report.taxonomy}, '
                  f'test-time augmentation: {report.test_time_augmentation}')
    reachable_of = f'{len(report.reachable)} of {len(report.iou)}'
    scores = Table('mIoU %', f'mIoU %, {reachable_of} classes reachable', 'accuracy %', 'fwIoU %', 'ECE %')
    scores.add_row(*(f'{100 * value:.1f}' for value in (
        report.mean_iou, report.reachable_mean_iou, report.accuracy, report.frequency_weighted_iou,
        report.calibration_error)))
    classes = Table('class', 'IoU %', 'points')
    for name, value in report.iou.items():
        shown = name if name in report.reachable else f'{name} (not reachable)'
        classes.add_row(shown, '-' if value is None else f'{100 * value:.1f}', str(report.support[name]))
    parts = Table('part of the points', 'mIoU %', 'accuracy %', 'classes', 'points')
    for name, part in report.subsets.items():
        parts.add_row(name, f'{100 * part.mean_iou:.1f}', f'{100 * part.accuracy:.1f}', str(part.classes),
                      str(part.points))
    console.print(scores, classes, parts, report.protocol)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser('python -m training evaluate', description='Score labels against 3D labels.')
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument('--checkpoint', type=Path, help='a student: .safetensors file')
    what.add_argument('--run', type=Path, metavar='DIR',
                      help='a run as it stands, with cameras if its method needs them (PointPainting, MultiBranch)')
    what.add_argument('--constant', metavar='CLASS', help='one class for every point, as a baseline')
    what.add_argument('--teacher', type=Path, metavar='RECIPE',
                      help='the teacher of a recipe (or of a run\'s recipe.yaml), at the points that cameras see')
    parser.add_argument('--root', type=Path, help='folder that the paths of the recipe\'s teacher start at')
    parser.add_argument('--dataset', action='append', required=True, metavar='SPEC',
                        help='kind:path?options; repeatable')
    parser.add_argument('--taxonomy', help='classes to compare in (default: the student\'s, street-12 without one)')
    parser.add_argument('--reachable', metavar='LABELS', help='reachable classes are those that this label set maps '
                        'to (default: those that the student, or the teacher, was taught); compares a student that saw '
                        'all classes with one that could not')
    parser.add_argument('--tta', type=int, default=1, metavar='N', help='average over N turned views (default: 1)')
    parser.add_argument('--out', type=Path, help='write the report as JSON')
    parser.add_argument('--pictures', type=Path, metavar='DIR',
                        help='write a picture of each frame, and a page with them, the worst first')
    parser.add_argument('--worst', type=int, metavar='N', help='with --pictures: only the N frames that went worst')
    parser.add_argument('--device', default='auto')
    return parser


def _labeller(chosen: argparse.Namespace, taxonomy: Taxonomy) -> Labeller:
    if chosen.checkpoint:
        return Student(chosen.checkpoint, chosen.tta, chosen.device)
    if chosen.run:
        from training.scores.run_labeller import run_labeller
        return run_labeller(chosen.run, chosen.root, chosen.tta, chosen.device)
    if chosen.constant:
        return Constant(chosen.constant, taxonomy)
    from training.teachers.recipe import teacher_of
    return ProjectedTeacher(teacher_of(chosen.teacher, chosen.root), taxonomy)


def main(arguments: list[str]) -> int:
    """Run `evaluate`. Returns the exit status."""
    parser = _parser()
    chosen = parser.parse_args(arguments)
    if chosen.tta < 1:
        parser.error(f'--tta {chosen.tta}: expected 1 or more views')
    if chosen.worst is not None and (chosen.worst < 1 or chosen.pictures is None):
        parser.error(f'--worst {chosen.worst}: expected 1 or more frames, and --pictures DIR to draw them to')
    augmented = (chosen.checkpoint or chosen.run) and chosen.tta > 1
    if chosen.tta > 1 and not augmented:
        parser.error(f'--tta {chosen.tta}: views of a student are averaged; nothing else has any')
    augmentation = f'{chosen.tta} rotations about the vertical, every second one mirrored' if augmented else 'none'
    given = get_taxonomy(chosen.taxonomy or 'street-12')
    labeller = _labeller(chosen, given)
    taxonomy = given if chosen.taxonomy else labeller.taxonomy
    reached = reachable(get_taxonomy(chosen.reachable), taxonomy) if chosen.reachable else None
    report = evaluate(labeller, chosen.dataset, taxonomy, augmentation, chosen.pictures, reached, chosen.worst)
    show(report, Console())
    if chosen.pictures:
        print(f'pictures: {chosen.pictures / "index.html"}')
    if chosen.out:
        chosen.out.parent.mkdir(parents=True, exist_ok=True)
        chosen.out.write_text(report.to_json())
    return 0
