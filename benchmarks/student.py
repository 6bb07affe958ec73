# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Time from scan to labels of the shipped student on a simulated scan: median, and the share that is not the network."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import median
from time import perf_counter

from ros_kd.datasets import open_dataset
from ros_kd.students.predictor import Predictor

RUNS = 15


def main() -> None:
    """Print one JSON object a line."""
    predictor = Predictor.load(Path(__file__).parents[1] / 'config' / 'students' / 'simulated.safetensors')
    scan = open_dataset('simulated:?seed=200&frames=1&start=100')[0].scan
    whole, prepare = [], []
    for _ in range(RUNS + 2):  # the first two warm up; both are timed in turn, since machines are noisy
        started = perf_counter()
        predictor.info.inputs.prepare([scan])
        between = perf_counter()
        predictor.predict(scan)
        prepare.append(between - started)
        whole.append(perf_counter() - between)
    for name, seconds in (('student.predict_ms', whole), ('student.prepare_ms', prepare)):
        print(json.dumps({'name': name, 'value': round(1e3 * median(seconds[2:]), 1), 'unit': 'ms'}))
    print(json.dumps({'name': 'student.points', 'value': len(scan), 'unit': 'points'}))


if __name__ == '__main__':
    main()
