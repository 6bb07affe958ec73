# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""How well labels agree with the truth: one confusion matrix over all points."""

from __future__ import annotations

import numpy as np

from ros_kd.taxonomy import IGNORE, Taxonomy


class Confusion:
    """Counts of (truth, prediction) over points, after the official evaluators' rule.

    Points without true class are left out; a prediction that is no class counts as an error of the true class.
    counts: int64 [C, C + 1], rows truth, columns prediction, the last column for "no class".
    """

    def __init__(self, taxonomy: Taxonomy) -> None:
        self.taxonomy = taxonomy
        self.counts = np.zeros((len(taxonomy), len(taxonomy) + 1), np.int64)

    def add(self, truth: np.ndarray, predicted: np.ndarray) -> None:
        """Count class ids [N] against each other; ids outside the taxonomy (IGNORE) are "no class".

        Raises ValueError if the lengths differ.
        """
        if truth.shape != predicted.shape:
            raise ValueError(f'{len(predicted)} predictions for {len(truth)} labels: one for each point is needed')
        classes = len(self.taxonomy)
        known = truth < classes
        truth, predicted = truth[known].astype(np.int64), np.minimum(predicted[known].astype(np.int64), classes)
        self.counts += np.bincount(truth * (classes + 1) + predicted, minlength=self.counts.size).reshape(self.counts.shape)

    @property
    def points(self) -> np.ndarray:
        """True points of each class, int64 [C]."""
        return self.counts.sum(1)

    @property
    def iou(self) -> np.ndarray:
        """Intersection over union of each class, float64 [C]; NaN for a class without true points."""
        hits = np.diagonal(self.counts)
        union = self.points + self.counts[:, :-1].sum(0) - hits
        return np.where(self.points > 0, hits / np.maximum(union, 1), np.nan)

    @property
    def miou(self) -> float:
        """Mean IoU over the classes that the truth holds; NaN without any."""
        present = self.points > 0
        return float(self.iou[present].mean()) if present.any() else float('nan')

    @property
    def accuracy(self) -> float:
        """Share of points with the right class; NaN without any."""
        return float(np.diagonal(self.counts).sum() / total) if (total := self.counts.sum()) else float('nan')

    @property
    def fwiou(self) -> float:
        """IoU weighted by each class's share of the points; NaN without any."""
        present = self.points > 0
        return float((self.iou * self.points)[present].sum() / total) if (total := self.counts.sum()) else float('nan')


def to_class_ids(labels: np.ndarray, source: Taxonomy, target: Taxonomy) -> np.ndarray:
    """Return labels [N] of `source` as class ids of `target`, uint8, IGNORE where there is none. Raises ValueError."""
    return source.lookup_to(target)[labels]


__all__ = ['IGNORE', 'Confusion', 'to_class_ids']
