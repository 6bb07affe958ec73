# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""Teacher and classes: does it answer, how sure is it, which classes does it reach, and what do the points get?"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Iterator, Sequence

import numpy as np

from ros_kd.projection import project
from ros_kd.taxonomy import Taxonomy
from training.checks import BROKEN, Check, Grade, Part, percent, text_of
from training.frames.targets import Makers, TargetMaker, class_mass, reachable, truth
from training.methods import Method
from training.teachers import FeatureTeacher, Teacher

_UNSURE = 0.5  # mean probability of the likeliest class
_TAUGHT = 0.01  # of the points
_RARE = 1e-4  # of the mass
_GROUND = frozenset('road driveable_surface'.split())
_STANDING = frozenset('building manmade vegetation car truck bus person pedestrian pole fence wall static'.split())


@dataclass(frozen=True)
class Answers:
    """How a teacher answered. asked: images; seconds: for all of them. bytes: of a frame's targets, mean."""

    asked: int = 0
    seconds: float = 0.0
    bytes: float = 0.0


def check_teacher(teacher: Teacher, parts: Sequence[Part]) -> Iterator[Check]:
    """Judge whether a teacher answers for the images of some frames, and how sure it is."""
    known = [name for name in teacher.taxonomy.names if name is not None]
    sure, total, failed, asked, began = 0.0, 0, [], 0, time.monotonic()
    heights: dict[bool, list[np.ndarray]] = {True: [], False: []}
    for frame in (frame for part in parts for frame in part.frames):
        for view in frame.views:
            seen = project(frame.points, view)
            if not len(seen.index):
                continue
            asked += 1
            try:
                answer = teacher.probabilities(view, seen.uv) if known else _features(teacher, view, seen.uv)
            except BROKEN as error:
                failed.append(text_of(error))
                continue
            sure, total = sure + float(answer.max(1).sum()), total + len(answer)
            _collect_heights(heights, teacher.taxonomy, answer, frame.points[seen.index, 2])
    name = type(teacher).__name__
    if failed:
        yield Check('teacher', Grade.PROBLEM, f'{name} has no answer for {len(failed)} of {asked} images looked at: '
                    f'{failed[0]}', 'give the right folder, data.root or data set options')
    if total:
        each = f'{1e3 * (time.monotonic() - began) / asked:.0f} ms an image'
        if not known:
            yield Check('teacher', Grade.OK, f'{name} gives features, {each}')
            return
        mean = sure / total
        unsure = mean < _UNSURE
        yield Check('teacher', Grade.WARNING if unsure else Grade.OK, f'{name} answers, {each}; its likeliest class '
                    f'has {percent(mean)} on average', 'is it the right network, and are images like those that it was '
                    'trained on?' if unsure else '')
        yield from _check_heights(heights)


def _features(teacher: Teacher, view: object, uv: np.ndarray) -> np.ndarray:
    if not isinstance(teacher, FeatureTeacher):
        raise ValueError(f'{type(teacher).__name__} knows no classes and has no features')
    features = teacher.features(view, uv)
    if not np.isfinite(features).all():
        raise ValueError(f'{type(teacher).__name__} gives features that are not finite')
    return features


def _collect_heights(heights: dict[bool, list[np.ndarray]], taxonomy: Taxonomy, answer: np.ndarray,
                     height: np.ndarray) -> None:
    best = answer.argmax(1) if answer.shape[1] == len(taxonomy) else np.zeros(0, int)
    for ground, names in ((True, _GROUND), (False, _STANDING)):
        ids = [i for i, name in enumerate(taxonomy.names) if name in names]
        chosen = np.isin(best, ids)
        if chosen.any():
            heights[ground].append(height[chosen])


def _check_heights(heights: dict[bool, list[np.ndarray]]) -> Iterator[Check]:
    """What the teacher calls road lies below what it calls buildings and cars, if points meet their pixels."""
    low, high = (np.concatenate(heights[ground]) if heights[ground] else np.zeros(0) for ground in (True, False))
    if len(low) < 50 or len(high) < 50:
        return
    below = float(np.median(high) - np.median(low))
    yield Check('points on pixels', Grade.OK if below > 0 else Grade.PROBLEM, 'points that the teacher calls road lie '
                f'{abs(below):.1f} m {"below" if below > 0 else "above"} those it calls buildings, plants and cars '
                '(medians)', '' if below > 0 else 'points do not meet their pixels: check the extrinsics, the axes of '
                'the scan and of the camera')


def check_coverage(method: Method, makers: Makers, teacher: Teacher | None) -> Iterator[Check]:
    """Judge which classes the teacher reaches."""
    if teacher is None or makers.classes is None or not any(teacher.taxonomy.names):
        return
    taxonomy = method.taxonomy
    reached = set(reachable(teacher.taxonomy, taxonomy))
    wanted = [i for i, name in enumerate(taxonomy.names) if name is not None]
    missing = [str(taxonomy.names[i]) for i in wanted if i not in reached]
    alone = makers.labels is None
    yield Check('class coverage', Grade.WARNING if missing and alone else Grade.OK, f'the teacher reaches '
                f'{len(reached)} of the {len(wanted)} classes of {taxonomy.name}'
                + (f', not {", ".join(missing)}' if missing else ''),
                'no student can learn those from it: report mIoU over the reachable classes, too, or add a teacher '
                '(MultiTeacher)' if missing and alone else '')


def check_targets(method: Method, makers: Makers, parts: Sequence[Part], answers: list[Answers]) -> Iterator[Check]:
    """Judge what the points of training frames get; appends to `answers` what that took."""
    for kind, maker in vars(makers).items():
        if maker is not None:
            yield from _check_kind(kind, maker, method.taxonomy, parts, answers)


def _check_kind(kind: str, maker: TargetMaker, taxonomy: Taxonomy, parts: Sequence[Part],
                answers: list[Answers]) -> Iterator[Check]:
    made, points, asked, again, began = [], 0, 0, 0, time.monotonic()
    for frame, others in (pair for part in parts for pair in zip(part.frames, part.others, strict=True)):
        try:
            made.append(maker(frame, others))
        except BROKEN as error:
            advice = 'see the teacher above' if kind != 'labels' else 'take data with labels, or a method without'
            yield Check(f'targets: {kind}', Grade.PROBLEM, text_of(error), advice)
            return
        points, asked = points + len(frame.scan), asked + len(frame.views)
        again += sum(len(other.views) for other in others)
    if not made:
        return
    if kind != 'labels':
        size = sum(array.nbytes for one in made for array in vars(one).values() if array is not None) / len(made)
        # Training asks once about an image, also where it tells of several frames.
        answers.append(Answers(asked, (time.monotonic() - began) * asked / max(asked + again, 1), size))
    share = sum(map(len, made)) / max(points, 1)
    few = share < _TAUGHT
    yield Check(f'targets: {kind}', Grade.PROBLEM if share == 0 else Grade.WARNING if few else Grade.OK,
                f'{percent(share)} of the points are taught', 'check calibration and teacher above, and '
                'projecting.confidence and mapped of the method' if few else '')
    if kind != 'features' and share:
        yield _check_mass(kind, class_mass(made, len(taxonomy)), taxonomy)


def _check_mass(kind: str, mass: np.ndarray, taxonomy: Taxonomy) -> Check:
    order = [i for i in np.argsort(-mass) if taxonomy.names[i] is not None]
    present = ', '.join(f'{taxonomy.names[i]} {percent(mass[i])}' for i in order if mass[i] >= _RARE)
    absent = [str(taxonomy.names[i]) for i in order if mass[i] < _RARE]
    one = mass.max() > 0.95
    return Check(f'classes: {kind}', Grade.WARNING if one or len(absent) > len(order) / 2 else Grade.OK,
                 present + (f'; never or hardly: {", ".join(absent)}' if absent else ''),
                 'nearly everything is one class' if one else 'most classes do not appear in the frames looked at: '
                 'look at more (--frames), or add data' if len(absent) > len(order) / 2 else '')


def check_labels(part: Part, taxonomy: Taxonomy) -> Iterator[Check]:
    """Judge whether the 3D labels of validation frames can be compared with."""
    labelled = [frame for frame in part.frames if frame.scan.label is not None]
    if not labelled or part.part != 'val':
        return
    try:
        known = np.concatenate([truth(frame, taxonomy) for frame in labelled])
    except BROKEN as error:
        yield Check('validation labels', Grade.PROBLEM, f'{part.name}: {text_of(error)}', 'choose data or a taxonomy '
                    'with a map between them')
        return
    found = {int(i) for i in np.unique(known)} & set(range(len(taxonomy)))
    absent = [name for i, name in enumerate(taxonomy.names) if name is not None and i not in found]
    yield Check('validation labels', Grade.OK, f'{part.name}: {len(found)} classes of {taxonomy.name} in '
                f'{len(labelled)} frames looked at' + (f', not {", ".join(absent)}' if absent else ''))
