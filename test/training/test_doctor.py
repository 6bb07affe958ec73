# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""The doctor finds what is wrong before a training is begun, and leaves what is right in peace."""

from __future__ import annotations

import shutil
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from drives import car, drive_frame, pose
from streets import RECIPE, TO_OPTICAL, street, write_drive

from ros_kd.datasets.files import FrameList
from ros_kd.students.inputs import InputSpec
from ros_kd.students.presets import StudentSpec
from training.__main__ import main
from training.checks import Check, Grade, Part, costs
from training.checks.doctor import examine
from training.checks.rig import check_inputs
from training.checks.teaching import Answers, check_targets
from training.frames.augmentation import Augmentation
from training.frames.data import Frames
from training.frames.labelled import LabelSplit
from training.frames.projected import ClassTargets
from training.frames.targets import Makers
from training.methods.soft_labels import SoftLabels
from training.running.recipe import read_recipe
from training.teachers.frame_labels import FrameLabels


@pytest.fixture
def drive(tmp_path):
    """A small drive with labels and a teacher's answers, and its recipe."""
    data = write_drive(tmp_path, 3)
    (tmp_path / 'recipe.yaml').write_text(RECIPE)
    return data


def _examined(data, *arguments: str) -> list[Check]:
    recipe = read_recipe('doctor', ['--config', str(data.parent / 'recipe.yaml'), '--data.root', str(data), *arguments])
    return list(examine(recipe, 3))


def _of(checks: list[Check], what: str) -> Check:
    found = [check for check in checks if check.what == what]
    assert len(found) == 1, f'{what}: {found}'
    return found[0]


def test_a_good_drive_has_no_problem(drive):
    checks = _examined(drive)
    assert [check for check in checks if check.grade is Grade.PROBLEM] == []
    assert '3 frames, 600 points each; cameras: camera_2; 100 % of' in _of(checks, 'train data').found
    assert 'sees 21 % of the points; its images come +0.0 ms' in _of(checks, 'camera').found
    assert _of(checks, 'teacher').grade is Grade.OK and '100 % on average' in _of(checks, 'teacher').found
    assert _of(checks, 'points on pixels').grade is Grade.OK
    assert 'reaches 12 of the 12 classes' in _of(checks, 'class coverage').found
    assert _of(checks, 'classes: classes').found.startswith('building 5')
    assert 'no validation data' in _of(checks, 'split').found
    assert int(_of(checks, 'targets: classes').found.split()[0]) in range(15, 25)  # percent


def test_the_command_prints_a_table_and_its_status_tells_of_problems(drive, capsys, monkeypatch):
    monkeypatch.setenv('COLUMNS', '300')
    command = ['doctor', '--config', str(drive.parent / 'recipe.yaml'), '--data.root', str(drive), '--frames', '2']
    assert main(command) == 0
    said = capsys.readouterr().out
    assert 'ready, with warnings' in said and '3 frames, 600 points each' in said
    assert main([*command, '--data.val', '["semantickitti:elsewhere"]']) == 1
    said = capsys.readouterr().out
    assert 'not ready' in said and 'val data' in said and 'elsewhere' in said
    assert main([*command[:-1], '0']) == 1 and '--frames 0' in capsys.readouterr().err


def _calibrate(drive, lidar_to_camera: np.ndarray) -> None:
    path = drive / 'sequences/00/calib.txt'
    lines = [line for line in path.read_text().splitlines() if not line.startswith('Tr')]
    rows = ' '.join(map(str, lidar_to_camera[:3].ravel()))
    path.write_text('\n'.join([*lines, f'Tr: {rows}', '']))


def test_a_camera_that_sees_no_point_is_a_problem(drive):
    millimetres = TO_OPTICAL.copy()
    millimetres[2, 3] = -270.0
    _calibrate(drive, millimetres)
    checks = _examined(drive)
    assert _of(checks, 'camera').grade is Grade.PROBLEM
    assert 'sees 0 % of the points' in _of(checks, 'camera').found
    assert _of(checks, 'targets: classes').grade is Grade.PROBLEM


def test_a_camera_that_is_upside_down_is_a_problem(drive):
    _calibrate(drive, np.diag([-1.0, -1, 1, 1]) @ TO_OPTICAL)
    check = _of(_examined(drive), 'points on pixels')
    assert check.grade is Grade.PROBLEM and 'm above those it calls buildings' in check.found


def test_a_teacher_without_files_is_a_problem(drive):
    answers = drive / 'teacher/sequences/00/image_2'
    (answers / '000001.png').unlink()
    check = next(check for check in _examined(drive) if check.what == 'teacher')
    assert check.grade is Grade.PROBLEM and 'no answer for 1 of 3 images' in check.found and '000001' in check.found
    checks = _examined(drive, '--data.teacher.init_args.folder', 'nowhere')
    assert 'nowhere does not exist' in _of(checks, 'teacher').found
    assert _of(checks, 'memory of a step').grade is Grade.OK  # the rest is still looked at


def test_missing_labels_are_a_problem_for_a_method_that_needs_them(drive):
    shutil.rmtree(drive / 'sequences/00/labels')
    supervised = '--model', 'training.methods.supervised.Supervised', '--model.taxonomy', 'street-12'
    checks = _examined(drive, *supervised)
    check = _of(checks, 'targets: labels')
    assert check.grade is Grade.PROBLEM and 'has no 3D labels' in check.found
    assert 'no 3D labels' in _of(checks, 'train data').found
    assert [check for check in _examined(drive) if check.grade is Grade.PROBLEM] == []  # a teacher needs none


def test_only_frames_whose_labels_are_used_need_any(drive):
    supervised = ('--model', 'training.methods.supervised.Supervised', '--model.taxonomy', 'street-12',
                  '--data.labels.share', '0.4', '--data.labels.seed', '1')
    used = LabelSplit(0.4, 1).choose(['a', 'b', 'c'])
    for number in np.flatnonzero(~used):
        path = drive / f'sequences/00/labels/{number:06}.label'
        path.write_bytes(np.zeros(600, np.uint32).tobytes())  # not labelled
    checks = _examined(drive, *supervised)
    assert '3D labels of 1 of 3 frames are used' in _of(checks, 'labelled frames').found
    assert _of(checks, 'targets: labels').found == '100 % of the points are taught'
    checks = _examined(drive, *supervised[:-4], '--data.labels.share', '0')
    assert _of(checks, 'labelled frames').grade is Grade.PROBLEM
    checks = _examined(drive, *supervised[:-4], '--data.labels.file', str(drive / 'list.txt'))
    assert 'no list of labelled frames at' in _of(checks, 'labelled frames').found


def test_other_moments_need_poses(drive):
    neighbours = '--data.neighbours', '2'
    check = _of(_examined(drive, *neighbours), 'other moments')
    assert check.grade is Grade.WARNING and '0 % of the frames have a pose' in check.found
    sequence = drive / 'sequences/00'
    (sequence / 'poses.txt').write_text(f'{" ".join(map(str, np.eye(4)[:3].ravel()))}\n' * 3)
    (sequence / 'times.txt').write_text('0.0\n0.1\n0.2\n')
    assert _of(_examined(drive, *neighbours), 'other moments').grade is Grade.OK
    assert 'other moments' not in {check.what for check in _examined(drive)}


def test_what_other_moments_see_is_taught_too(method):
    frames = FrameList('drive', [partial(drive_frame, i, pose(4.0 * i), [car(9, 3), car(-8, -3)]) for i in range(3)])
    found = []
    for neighbours in (0, 1):
        makers = Makers(classes=ClassTargets(FrameLabels('street-12'), method.taxonomy))
        part = Part.of('drive', 'train', frames, [1], neighbours)
        share = _of(list(check_targets(method, makers, [part], [])), 'targets: classes').found
        found.append((len(part.others[0]), int(share.split()[0])))
    assert [others for others, _ in found] == [0, 2] and found[1][1] > 1.2 * found[0][1]  # percent


def test_a_damaged_scan_is_named(drive):
    with (drive / 'sequences/00/velodyne/000002.bin').open('ab') as file:
        file.write(b'12345')
    checks = [check for check in _examined(drive) if check.what == 'train data']
    assert checks[0].grade is Grade.PROBLEM and 'frame 2: ' in checks[0].found and '000002.bin' in checks[0].found
    assert checks[1].grade is not Grade.PROBLEM


def test_classes_that_the_teacher_cannot_reach_are_named(drive):
    check = _of(_examined(drive, '--model.taxonomy', 'nuscenes-16'), 'class coverage')
    assert check.grade is Grade.WARNING and 'reaches 11 of the 16 classes of nuscenes-16' in check.found
    assert {'barrier', 'construction_vehicle', 'traffic_cone', 'trailer', 'other_flat'} == set(
        check.found.partition('not ')[2].split(', '))
    check = _of(_examined(drive, '--model.taxonomy', 'sim-12'), 'teacher')
    assert check.grade is Grade.PROBLEM and 'no map from labels "cityscapes" to "sim-12"' in check.found


def test_frames_that_are_trained_and_validated_on_are_told(drive):
    check = _of(_examined(drive, '--data.val', '["semantickitti:.?sequences=00"]'), 'split')
    assert check.grade is Grade.WARNING and 'is trained on and validated on' in check.found


def _part(*frames) -> Part:
    return Part('streets', 'train', len(frames), frames, others=[()] * len(frames))


def _graded(part: Part, **inputs: object) -> dict[str, Check]:
    spec = InputSpec(0.5, (-20, -20, -4), (20, 20, 4), ('z', 'intensity'))
    return {check.what: check for check in check_inputs(part, replace(spec, **inputs))}


def test_inputs_that_scans_lack_or_that_lie_out_of_range_are_told():
    frame = street()
    good = _graded(_part(frame))
    assert [check.grade for check in good.values()] == [Grade.OK, Grade.OK]
    without = replace(frame, scan=replace(frame.scan, intensity=None))
    assert _graded(_part(without))['input columns'].grade is Grade.PROBLEM
    assert _graded(_part(without), columns=('z',))['input columns'].grade is Grade.OK
    loud = replace(frame, scan=replace(frame.scan, intensity=frame.scan.intensity * np.float32(255)))
    assert 'not scaled to 0..1' in _graded(_part(loud))['input columns'].found
    low = _graded(_part(frame), lower=(-20, -20, 0.0))['range']  # the road is below
    assert low.grade is Grade.WARNING and 'of the points lie in the student' in low.found


@pytest.fixture
def method():
    inputs = InputSpec(0.2, (-20, -20, -4), (20, 20, 4), ('z', 'intensity'))
    return SoftLabels('street-12', StudentSpec(width=0.25, inputs=inputs))


def test_a_sector_tells_what_the_whole_scan_takes(method, monkeypatch):
    scan = street(points=20_000).scan
    whole = costs.measure(method, scan)
    monkeypatch.setattr(costs, '_SAMPLE', whole.voxels // 4)
    part = costs.measure(method, scan)
    assert part.voxels == whole.voxels and part.fixed == whole.fixed
    assert part.scan == pytest.approx(whole.scan, rel=0.15)
    channels = whole.scan / whole.voxels / 4
    assert 50 < channels < 5000  # floats of a voxel that a step keeps
    assert all(parameter.grad is None for parameter in method.parameters())
    assert whole.fits(whole.bytes(7) / 0.85 + 1) == 7


def _keeping(folder, part: Part, answer: Answers) -> dict[str, Check]:
    data = Frames([], augmentation=Augmentation(), cache=None if folder is None else str(folder))
    return {check.what: check for check in costs.check_keeping(data, [part], [answer], images=False)}


def test_what_does_not_fit_on_the_disk_or_in_memory_is_told_before(tmp_path):
    part = replace(_part(street()), count=28_000)
    assert _keeping(tmp_path / 'new', part, Answers(1, 0.5, 1e4))['cache'].grade is Grade.OK
    check = _keeping(tmp_path / 'new', part, Answers(1, 0.5, 1e12))
    assert check['cache'].grade is Grade.PROBLEM and '28000000.0 GB for 28000 frames' in check['cache'].found
    assert 'about 3.9 h for 28000 frames' in check["teacher's time"].found
    check = _keeping(None, part, Answers(1, 0.5, 1e12))['memory of the frames']
    assert check.grade is Grade.PROBLEM and '--data.cache' in check.advice
    assert not (tmp_path / 'new').exists()
