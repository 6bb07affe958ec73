# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""Scores of many students on the same frames, which are read once."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from ros_kd.datasets import Dataset, open_dataset
from ros_kd.frames import PairedFrame
from ros_kd.label_sets import get_taxonomy
from training.frames.data import under
from training.grid.plan import Scoring
from training.scores.evaluate import Evaluation, Report
from training.scores.labellers import Labeller


@lru_cache(maxsize=64)
def _frame(specification: str, index: int) -> PairedFrame:
    return _dataset(specification)[index]


@lru_cache(maxsize=16)
def _dataset(specification: str) -> Dataset:
    return open_dataset(specification)


def score(labeller: Labeller, scoring: Scoring, root: Path) -> Report:
    """Score a student on all frames of the datasets, whose relative paths start at `root`.

    Up to 64 frames stay in memory for the next student. Raises DatasetError or ValueError.
    """
    evaluation = Evaluation(get_taxonomy(scoring.taxonomy))
    for specification in scoring.datasets:
        placed = under(root, specification)
        for index in range(len(_dataset(placed))):
            evaluation.ask(labeller, _frame(placed, index))
    augmentation = f'{scoring.tta} turned views' if scoring.tta > 1 else 'none'
    return evaluation.report(labeller.name, list(scoring.datasets), evaluation.label_sets, augmentation)
