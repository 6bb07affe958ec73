# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

from ros_kd.datasets import open_dataset
from ros_kd.scores import Confusion
from ros_kd.students.predictor import Predictor

SHIPPED = Path(__file__).parents[2] / 'config' / 'students' / 'simulated.safetensors'


def test_the_shipped_student_knows_its_way_in_a_town_it_never_saw():
    scan = open_dataset('simulated:?seed=200&frames=1&start=100')[0].scan
    predictor = Predictor.load(SHIPPED)
    assert any(score.value > 0.5 and 'seed=200' in score.data for score in predictor.info.scores)
    confusion = Confusion.empty(len(scan.taxonomy))
    confusion.add(scan.label, predictor.predict(scan).label)
    assert confusion.accuracy > 0.8 and confusion.mean_iou > 0.4
