# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""Data sets, calibration and time: do the points fall into the images, and where their edges are?"""

from __future__ import annotations

from dataclasses import replace
from typing import Iterator

import numpy as np

from ros_kd.frames import CameraView, PairedFrame
from ros_kd.inspection.dataset import inspect_dataset
from ros_kd.inspection.drawing import Style
from ros_kd.inspection.figures import Severity
from ros_kd.inspection.findings import judge
from ros_kd.projection import project
from ros_kd.students.inputs import InputError, InputSpec
from training.checks import Check, Grade, Part, percent, text_of

_SEEN_ENOUGH = 0.01  # of the points
_CUT_OFF = 0.2
_GRADES = {Severity.FAULT: Grade.PROBLEM, Severity.WARNING: Grade.WARNING, Severity.NOTE: Grade.OK}
_TOO_FEW = ': too few to learn from'  # of the sample, not of the data set


def check_data(part: Part) -> Iterator[Check]:
    """Judge whether frames can be read, and what is in them."""
    title = f'{part.part} data'
    if part.count == 0:
        yield Check(title, Grade.PROBLEM, f'{part.name} has no frames', 'check the path and the options')
        return
    if part.unread:
        yield Check(title, Grade.PROBLEM, f'{len(part.unread)} of {len(part.unread) + len(part)} frames looked at '
                    f'cannot be read, such as {part.unread[0]}', 'repair or leave them out')
    if not len(part):
        return
    points = int(np.median([len(frame.scan) for frame in part.frames]))
    labelled = [float((frame.scan.label is not None) and len(frame.scan) > 0) for frame in part.frames]
    labels = f'{percent(np.mean(labelled))} of the frames have 3D labels' if any(labelled) else 'no 3D labels'
    cameras = ', '.join(dict.fromkeys(view.name for frame in part.frames for view in frame.views)) or 'none'
    few = part.count < 10 and part.part == 'train'
    yield Check(title, Grade.WARNING if few or points == 0 else Grade.OK,
                f'{part.name}: {part.count} frames, {points} points each; cameras: {cameras}; {labels}',
                'a student needs varied scenes: add data' if few else 'scans are empty' if points == 0 else '')


def check_rig(part: Part, cameras_needed: bool) -> Iterator[Check]:
    """Judge cameras, their calibration and their time, as `inspect` does for bags."""
    if not len(part):
        return
    views: dict[str, list[tuple[PairedFrame, CameraView]]] = {}
    for frame in part.frames:
        for view in frame.views:
            views.setdefault(view.name, []).append((frame, view))
    if not views and cameras_needed:
        yield Check('cameras', Grade.PROBLEM, f'frames of {part.name} have no images', 'the teacher, or the '
                    'method itself, looks at images')
    for name, pairs in views.items():
        yield _camera(part, name, pairs)
    if views:
        figures = inspect_dataset(part, Style(), 0).figures
        if part.trajectory is None:  # single frames may be of several vehicles
            figures = replace(figures, mountings=())
        for finding in judge(figures)[0]:
            if finding.severity is not Severity.NOTE and _TOO_FEW not in finding.text:
                yield Check('calibration', _GRADES[finding.severity], f'{part.name}: {finding.text}',
                            'see it: ros2 run ros_kd inspect')


def _camera(part: Part, name: str, pairs: list[tuple[PairedFrame, CameraView]]) -> Check:
    seen = sum(len(project(frame.points, view, None).index) for frame, view in pairs)
    share = seen / max(sum(len(frame.scan) for frame, _ in pairs), 1)
    offsets = np.array([view.stamp - frame.stamp for frame, view in pairs], np.int64) / 1e6
    found = (f'{name} of {part.name} sees {percent(share)} of the points; its images come {np.median(offsets):+.1f} ms '
             f'after the scans, at most {np.abs(offsets).max():.1f} ms off')
    if seen == 0:
        return Check('camera', Grade.PROBLEM, found, 'lidar_to_camera leads from the LiDAR\'s axes (x forward) '
                     'to the optical ones (z forward): is it inverted, or of another frame?')
    return Check('camera', Grade.WARNING if share < _SEEN_ENOUGH else Grade.OK, found,
                 'does the camera look where the LiDAR does? check its extrinsics' if share < _SEEN_ENOUGH else '')


def check_poses(part: Part, neighbours: int) -> Iterator[Check]:
    """Judge whether images of other moments, of so many frames before and after, can be asked."""
    if not (neighbours and len(part)):
        return
    share = float(np.mean([frame.world_from_lidar is not None for frame in part.frames]))
    yield Check('other moments', Grade.OK if share == 1 else Grade.WARNING, f'{part.name}: {percent(share)} of the '
                f'frames have a pose, by which {neighbours} frames before and after tell of their points',
                '' if share == 1 else 'the others learn from their own images alone: give odometry, or set '
                'data.neighbours to 0')


def check_inputs(part: Part, inputs: InputSpec) -> Iterator[Check]:
    """Judge whether scans have what the student sees, and lie in its range."""
    try:
        for frame in part.frames:
            inputs.check(frame.scan)
    except InputError as error:
        yield Check('input columns', Grade.PROBLEM, f'{part.name}: {text_of(error)}', 'or leave intensity out of '
                    'student.inputs.columns')
        return
    batches = [inputs.prepare([frame.scan]) for frame in part.frames if len(frame.scan)]
    if not batches:
        return
    yield from _check_intensity(part, inputs)
    voxels = int(np.median([len(batch.tensor) for batch in batches]))
    inside = float(np.mean([(batch.point_voxel >= 0).float().mean() for batch in batches]))
    cut = 1 - inside > _CUT_OFF
    yield Check('range', Grade.WARNING if cut else Grade.OK, f'{part.name}: {percent(inside)} of the points lie in the '
                f'student\'s range, in {voxels} voxels a scan', f'check student.inputs.lower {list(inputs.lower)} and '
                f'upper {list(inputs.upper)}: metres in the LiDAR\'s frame' if cut else '')


def _check_intensity(part: Part, inputs: InputSpec) -> Iterator[Check]:
    if 'intensity' not in inputs.columns:
        yield Check('input columns', Grade.OK, ', '.join(inputs.columns))
        return
    values = np.concatenate([frame.scan.intensity for frame in part.frames])
    values = values[np.isfinite(values)]
    low, high = (float(values.min()), float(values.max())) if len(values) else (0.0, 0.0)
    wrong = 'is the same everywhere' if low == high else 'is not scaled to 0..1' if low < 0 or high > 1.001 else ''
    yield Check('input columns', Grade.WARNING if wrong else Grade.OK, f'{", ".join(inputs.columns)}; intensity from '
                f'{low:.2g} to {high:.2g}' + (f' {wrong}' if wrong else ''),
                'leave intensity out of student.inputs.columns, or read it otherwise' if wrong else '')
