# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""From a scan to labels and confidences."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scans import lived

from ros_kd.frames import Scan
from ros_kd.label_sets import TAXONOMIES
from ros_kd.students.checkpoint import CheckpointInfo, save_checkpoint
from ros_kd.students.inputs import InputError, InputSpec
from ros_kd.students.nearest import BLOCK
from ros_kd.students.predictor import Predictor

SPEC = InputSpec(0.2, (-10, -10, -3), (10, 10, 3), ('x', 'y', 'z', 'intensity'))
INFO = CheckpointInfo('minkunet14', SPEC, TAXONOMIES['semantickitti-19'], 0.25)


class HeightClasses(torch.nn.Module):
    """A student whose answers are known: class 9 below the ground's height, class 13 above it, by a margin of 2."""

    def forward(self, batch):
        logits = torch.zeros(len(batch.tensor), len(INFO.taxonomy))
        logits[:, 0] = 100.0  # an id that the taxonomy does not use
        logits[torch.arange(len(logits)), torch.where(batch.tensor.coordinates[:, 2] < 0, 9, 13)] = 2.0
        return logits


def scan_of(points):
    points = np.asarray(points, np.float32).reshape(-1, 3)
    return Scan(0, points, np.zeros(len(points), np.float32))


def random_scan(points=3000, seed=0):
    generator = np.random.default_rng(seed)
    xyz = generator.uniform(-12, 12, (points, 3)).astype(np.float32) * np.float32([1, 1, 0.3])
    return Scan(0, xyz, generator.random(points, np.float32))


@pytest.fixture
def student():
    torch.manual_seed(0)
    return INFO.build()


def test_points_get_the_class_of_their_voxel_and_its_probability():
    prediction = Predictor(HeightClasses(), INFO, 'cpu').predict(scan_of([[1, 1, -1], [2, 2, 1], [1.01, 1.01, -0.99]]))
    assert prediction.label.dtype == np.uint8 and prediction.confidence.dtype == np.float32
    assert prediction.label.tolist() == [9, 13, 9]
    expected = np.exp(2) / (np.exp(2) + len(INFO.taxonomy) - 2)
    assert prediction.confidence == pytest.approx(expected)


def test_temperature_softens_confidence():
    scan = scan_of([[1, 1, -1]])
    soft = Predictor(HeightClasses(), replace(INFO, temperature=4.0), 'cpu').predict(scan)
    assert soft.confidence == pytest.approx(np.exp(0.5) / (np.exp(0.5) + len(INFO.taxonomy) - 2))


def test_points_that_do_not_exist_get_label_and_confidence_0():
    points = [[np.nan, 0, 0], [0, 0, 1], [np.inf, 0, 0], [0, -np.inf, 0], [0, 0, 0]]
    prediction = Predictor(HeightClasses(), INFO, 'cpu').predict(scan_of(points))
    assert prediction.label.tolist() == [0, 13, 0, 0, 0]
    assert prediction.confidence[1] > 0 and prediction.confidence[[0, 2, 3, 4]].tolist() == [0, 0, 0, 0]


def test_points_out_of_range_get_the_label_of_the_nearest_block():
    block = BLOCK * SPEC.voxel_size
    assert block == pytest.approx(3.2)
    inside = [[9, 9, -1], [9, -9, 1]]
    outside = [[11, 9, -1], [30, 30, -1], [11, -9, 1], [1e4, -1e4, 0], [3e38, 3e38, 0], [9, 9, -20]]
    prediction = Predictor(HeightClasses(), INFO, 'cpu').predict(scan_of(inside + outside))
    assert prediction.label.tolist() == [9, 13] + [9, 9, 13, 13, 9, 9]
    assert (prediction.confidence > 0).all()


def test_points_out_of_range_stay_unlabelled_if_the_checkpoint_says_so(tmp_path):
    info = replace(INFO, inputs=replace(SPEC, beyond='unlabelled'))
    points = scan_of([[9, 9, -1], [11, 9, -1], [9, 9, -20]])
    prediction = Predictor(HeightClasses(), info, 'cpu').predict(points)
    assert prediction.label.tolist() == [9, 0, 0] and prediction.confidence[1:].tolist() == [0, 0]
    path = save_checkpoint(tmp_path / 'student.safetensors', info.build(), info)
    assert (Predictor.load(path, 'cpu').predict(points).label != 0).tolist() == [True, False, False]


@pytest.mark.parametrize('points', [np.empty((0, 3)), [[99, 0, 0], [np.nan] * 3]])
def test_a_scan_without_points_in_range_is_answered(points):
    prediction = Predictor(HeightClasses(), INFO, 'cpu').predict(scan_of(points))
    assert prediction.label.tolist() == [0] * len(points) and prediction.confidence.tolist() == [0] * len(points)


def test_a_saved_student_predicts_what_it_did_before(tmp_path, student):
    path = save_checkpoint(tmp_path / 'student.safetensors', student, INFO)
    scan = random_scan()
    before, after = Predictor(student, INFO, 'cpu').predict(scan), Predictor.load(path, 'cpu').predict(scan)
    assert np.array_equal(before.label, after.label) and np.array_equal(before.confidence, after.confidence)
    assert 0 not in after.label


def test_predicting_leaves_batch_statistics_and_gradients_alone(student):
    before = {name: value.clone() for name, value in student.state_dict().items()}
    Predictor(student.train(), INFO, 'cpu').predict(random_scan())
    assert all(torch.equal(value, before[name]) for name, value in student.state_dict().items())
    assert all(parameter.grad is None for parameter in student.parameters())


def test_stages_are_timed(student):
    times = Predictor(student, INFO, 'cpu').predict(random_scan()).times
    assert times.prepare > 0 and times.network > times.prepare and times.assign > 0


def test_what_computes_is_described_and_chosen(student):
    plain = Predictor(student, INFO, 'cpu', backend='torch')
    assert plain.description == 'cpu, backend torch, float32' and plain.precision == 'float32'
    forced = Predictor(student, INFO, 'cpu', backend='torch', precision='bfloat16', tta=3)
    assert forced.description == 'cpu, backend torch, bfloat16, 3 views of each scan'
    best = Predictor(student, INFO, 'cpu')
    assert best.precision == ('bfloat16' if getattr(best.backend, 'bfloat16_in_hardware', False) else 'float32')
    with pytest.raises(ValueError, match=r'precision "half"; choose one of .*bfloat16'):
        Predictor(student, INFO, 'cpu', precision='half')


def test_bfloat16_gives_nearly_the_labels_of_float32():
    torch.manual_seed(0)
    student = lived(INFO.build(), SPEC)
    half, full = (Predictor(student, INFO, 'cpu', precision=precision).predict(random_scan())
                  for precision in ('bfloat16', 'float32'))
    assert (half.label == full.label).mean() > 0.97
    assert np.abs(half.confidence - full.confidence).max() < 0.1


@pytest.mark.parametrize('tta', [2, 3, 12])
def test_augmentation_averages_the_probabilities_of_turned_and_mirrored_views(student, tta):
    scan = random_scan()
    found = Predictor(student, INFO, 'cpu', precision='float32', tta=tta).predict(scan)
    total, seen = np.zeros((len(scan), len(INFO.taxonomy))), np.zeros((len(scan), 1))
    for step in range(tta):
        angle = 2 * np.pi * step / tta
        points = scan.points * (np.float32([1, -1, 1]) if step % 2 else np.float32(1))
        turn = np.array([[np.cos(angle), np.sin(angle), 0], [-np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
        batch = SPEC.prepare([replace(scan, points=(points @ turn).astype(np.float32))])
        inside = (batch.point_voxel >= 0).numpy()
        logits = student.eval()(batch).detach()
        logits[:, [i for i, name in enumerate(INFO.taxonomy.names) if name is None]] = -np.inf
        total[inside] += logits.softmax(1)[batch.point_voxel[inside]].numpy()
        seen += inside[:, None]
    known = seen[:, 0] > 0
    assert known.mean() > 0.5
    mean = total[known] / seen[known]
    assert (found.label[known] == mean.argmax(1)).mean() > 0.995  # points at the edge of two voxels may differ
    close = np.isclose(found.confidence[known], mean.max(1), atol=1e-3)
    assert close.mean() > 0.99 and (found.confidence > 0).all()


def test_augmentation_with_a_range_on_one_side_answers_for_every_point():
    info = replace(INFO, inputs=replace(SPEC, lower=(0, -10, -3)))
    scan = scan_of([[5, 1, -1], [-5, 1, -1], [-30, 0, 1], [np.nan, 0, 0]])
    prediction = Predictor(HeightClasses(), info, 'cpu', tta=2).predict(scan)
    assert prediction.label.tolist()[:2] == [9, 9] and prediction.label[3] == 0 and prediction.confidence[2] > 0
    behind = Predictor(HeightClasses(), info, 'cpu', tta=2).predict(scan_of([[-5, 1, 1]]))  # for the second view only
    assert behind.label.tolist() == [13]
    with pytest.raises(ValueError, match='tta 0'):
        Predictor(HeightClasses(), INFO, 'cpu', tta=0)


def test_threads_may_share_a_predictor(student):
    predictor = Predictor(student, INFO, 'cpu')
    scans = [random_scan(seed=i) for i in range(4)]
    alone = [predictor.predict(scan) for scan in scans]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(predictor.predict, scans))
    assert all(np.array_equal(a.label, b.label) for a, b in zip(alone, together))


def test_a_scan_without_intensity_is_refused(student):
    with pytest.raises(InputError, match='"intensity"'):
        Predictor(student, INFO, 'cpu').predict(Scan(0, np.zeros((1, 3), np.float32)))


def test_an_unknown_device_is_refused_with_the_choices(student):
    with pytest.raises(ValueError, match='choose "auto", "cpu" or "cuda"'):
        Predictor(student, INFO, 'gpu')
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match='no CUDA GPU'):
            Predictor(student, INFO, 'cuda')
    with pytest.raises(ValueError, match='backend "magic"'):
        Predictor(student, INFO, 'cpu', backend='magic')


def test_the_vehicle_needs_none_of_the_training_servers_libraries():
    code = ('import sys, ros_kd.students.predictor\n'
            'heavy = {"lightning", "pytorch_lightning", "transformers", "trimesh", "rclpy", "scipy", "cv2"}\n'
            'print(sorted(heavy & set(sys.modules)))')
    result = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True,
                            cwd=Path(__file__).parents[2])
    assert result.stdout.strip() == '[]', result.stdout


def test_a_real_scan_is_labelled_whole(student, real_data):
    file = next((real_data / 'semantickitti/sequences/00/velodyne').glob('*.bin'))
    values = np.fromfile(file, np.float32).reshape(-1, 4)
    scan = Scan(0, np.ascontiguousarray(values[:, :3]), np.ascontiguousarray(values[:, 3]))
    prediction = Predictor(student, replace(INFO, inputs=InputSpec(columns=SPEC.columns)), 'cpu').predict(scan)
    assert len(prediction.label) > 100_000 and (prediction.confidence > 1 / len(INFO.taxonomy)).all()
    assert 0 not in prediction.label
