# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""How well labels agree with the truth: one confusion matrix over all points."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass
class Confusion:
    """counts: int64 [C, C + 1], labelled points by true class and predicted class; the last column is "ignore".

    Points whose truth is ignored are left out. A labelled point that is predicted as "ignore" is an error of its class,
    as the official evaluators of SemanticKITTI and nuScenes count.
    """

    counts: np.ndarray

    @classmethod
    def empty(cls, classes: int) -> Confusion:
        """Return a confusion of nothing."""
        return cls(np.zeros((classes, classes + 1), np.int64))

    def add(self, truth: np.ndarray, predicted: np.ndarray) -> None:
        """Count points: truth and predicted class ids [N]; ids of no class (255) mean ignore.

        Raises ValueError if the lengths differ.
        """
        if truth.shape != predicted.shape:
            raise ValueError(f'{len(predicted)} predictions for {len(truth)} labels: one for each point is needed')
        classes = len(self.counts)
        labelled = truth < classes
        rows = truth[labelled].astype(np.int64)
        columns = np.minimum(predicted[labelled].astype(np.int64), classes)
        pairs = np.bincount(rows * (classes + 1) + columns, minlength=self.counts.size)
        self.counts += pairs.reshape(self.counts.shape)

    @property
    def total(self) -> int:
        """Labelled points."""
        return int(self.counts.sum())

    @property
    def support(self) -> np.ndarray:
        """Labelled points of each class, int64 [C]."""
        return self.counts.sum(1)

    @property
    def iou(self) -> np.ndarray:
        """TP / (TP + FP + FN) of each class, float64 [C]; NaN for a class without labelled points."""
        true = np.diagonal(self.counts)
        union = self.support + self.counts[:, :-1].sum(0) - true
        return np.where(self.support > 0, true / np.maximum(union, 1), np.nan)

    @property
    def mean_iou(self) -> float:
        """Mean IoU over the classes that have labelled points; NaN without any."""
        present = self.support > 0
        return float(self.iou[present].mean()) if present.any() else float('nan')

    @property
    def accuracy(self) -> float:
        """Share of labelled points with the right class; NaN without any."""
        return float(np.diagonal(self.counts).sum() / self.total) if self.total else float('nan')
