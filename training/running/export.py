# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""From a run's checkpoint to the one file that a vehicle needs."""

from __future__ import annotations

import argparse
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ros_kd.label_sets import get_taxonomy
from ros_kd.students.adapters import AdapterSpec
from ros_kd.students.checkpoint import CheckpointInfo, Score, save_checkpoint
from ros_kd.students.inputs import InputSpec
from training.scores.calibration import calibrate

STUDENT = 'student.safetensors'


def find_run_checkpoint(path: Path) -> Path:
    """Return the checkpoint of a run's folder: the best by validation if there is one, else the last.

    Raises ValueError if there is none.
    """
    if path.is_file():
        return path
    folder = path / 'checkpoints'
    candidates = [folder / name for name in ('best.ckpt', 'last.ckpt')]
    found = next((file for file in candidates if file.is_file()), None)
    if found is None:
        raise ValueError(f'{path} is no run: no best.ckpt or last.ckpt in {folder}')
    return found


def export_run(run: Path, out: Path, scores: tuple[Score, ...] = (), half: bool = False,
               labelled: list[str] | None = None) -> Path:
    """Write the student of a run (a folder or a .ckpt file) to `out` and return that.

    scores: what is known beside the validation score, which is taken from the checkpoint. half: store float16, in half
    the space; it is loaded as float32. labelled: datasets with 3D labels to calibrate confidences with, instead of the
    recipe's validation targets. Raises ValueError if the checkpoint is none of ours, CheckpointError if `out` does not
    end in .safetensors.
    """
    path = find_run_checkpoint(run)
    checkpoint = torch.load(path, map_location='cpu', weights_only=True)
    described = checkpoint.get('student')
    if described is None:
        raise ValueError(f'{path} describes no student: expected a checkpoint of `python -m training fit`')
    if described.get('cameras'):
        raise ValueError(f'{path} is of a student that needs cameras when it runs: the segmenter sees LiDAR alone, so '
                         'that nothing is exported for it; score the run itself (`python -m training evaluate --run`)')
    student, info = student_of(checkpoint)
    info = replace(info, scores=(*info.scores, *scores))
    if labelled:
        calibrated = calibrate(student, info, labelled)
        info = replace(info, temperature=calibrated.temperature)
        print(f'temperature {calibrated.temperature:.3f} from {calibrated.points} labelled points: calibration error '
              f'{100 * calibrated.before:.1f} % -> {100 * calibrated.after:.1f} %')
    return save_checkpoint(out, student.half() if half else student, info)


def student_of(checkpoint: dict[str, Any]) -> tuple[nn.Module, CheckpointInfo]:
    """Return the student in a run's checkpoint, and what its file will say about it."""
    described = checkpoint['student']
    adapter = described.get('adapter')
    info = CheckpointInfo(described['architecture'], InputSpec(**described['inputs']),
                          get_taxonomy(described['taxonomy']), described['width'], described['recipe'],
                          _validation_score(checkpoint), described.get('temperature', 1.0),
                          None if adapter is None else AdapterSpec(**adapter), described.get('taught'),
                          described.get('backbone', False))
    student = info.build()
    student.load_state_dict(weights_of(checkpoint, 'student.'))
    return student, info


def weights_of(checkpoint: dict[str, Any], prefix: str) -> dict[str, Tensor]:
    """Return the weights of the module that a run's checkpoint keeps under the prefix, by their names in it."""
    return {name.removeprefix(prefix): value for name, value in checkpoint['state_dict'].items()
            if name.startswith(prefix)}


def _validation_score(checkpoint: dict[str, Any]) -> tuple[Score, ...]:
    callbacks = checkpoint.get('callbacks', {})
    best = next((state for name, state in callbacks.items()
                 if name.startswith('ModelCheckpoint') and state.get('monitor') is not None), {})
    if best.get('current_score') is None:
        return ()
    details = f'step {checkpoint["global_step"]}; agreement with the training targets, chosen for the best of it'
    metric = best['monitor'].removeprefix('val/')
    return (Score(float(best['current_score']), {'miou': 'mIoU'}.get(metric, metric), 'validation frames of the recipe',
                  details),)


def scores_of(report: Path) -> tuple[Score, ...]:
    """Return mIoU and accuracy from a report that `evaluate --out` wrote. Raises ValueError for another file."""
    try:
        data = json.loads(report.read_text())
        # Names of data, not where they lie on this machine.
        names = ', '.join(re.sub(r'(?<=:)[^?]*/(?=[^/?])', '', name) for name in data['datasets'])
        details = (f'{data["frames"]} frames, {data["points"]} points, labels {data["labels"]}, classes '
                   f'{data["taxonomy"]}, test-time augmentation {data["test_time_augmentation"]}')
        return (Score(data['mean_iou'], 'mIoU', names, details), Score(data['accuracy'], 'accuracy', names, details))
    except (KeyError, TypeError, json.JSONDecodeError) as error:
        raise ValueError(f'{report} is no report of `evaluate --out` ({type(error).__name__}: {error})') from None


def main(arguments: list[str]) -> int:
    """Run `export`. Returns the exit status."""
    parser = argparse.ArgumentParser('python -m training export', description='Write the student of a run as one file.')
    parser.add_argument('--run', type=Path, required=True, help='folder of a run, or one of its .ckpt files')
    parser.add_argument('--out', type=Path, required=True, help='the file to write, *.safetensors')
    parser.add_argument('--scores', type=Path, action='append', default=[], metavar='REPORT',
                        help='a report of evaluate --out to carry along; repeatable')
    parser.add_argument('--calibrate', action='append', metavar='SPEC',
                        help='a dataset with 3D labels to calibrate confidences with, instead of the temperature found '
                             'on the recipe\'s validation frames; repeatable')
    parser.add_argument('--half', action='store_true', help='store float16 weights: half the size')
    chosen = parser.parse_args(arguments)
    scores = tuple(score for report in chosen.scores for score in scores_of(report))
    print(export_run(chosen.run, chosen.out, scores, chosen.half, chosen.calibrate))
    return 0
