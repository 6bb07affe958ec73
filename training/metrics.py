# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""What a labelling is worth: confusion, IoU, accuracy and the calibration of confidences."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ros_kd.taxonomy import IGNORE


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
        """Count points: truth and predicted class ids [N]; ids of no class (255) mean ignore."""
        classes = len(self.counts)
        labelled = truth < classes
        rows = truth[labelled].astype(np.int64)
        columns = np.minimum(predicted[labelled].astype(np.int64), classes)
        self.counts += np.bincount(rows * (classes + 1) + columns, minlength=classes * (classes + 1)).reshape(
            classes, classes + 1)

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
        true = np.diag(self.counts)
        union = self.support + self.counts[:, :-1].sum(0) - true
        return np.where(self.support > 0, true / np.maximum(union, 1), np.nan)

    @property
    def mean_iou(self) -> float:
        """Mean IoU over the classes that have labelled points; NaN without any."""
        present = self.support > 0
        return float(self.iou[present].mean()) if present.any() else float('nan')

    @property
    def accuracy(self) -> float:
        """Share of labelled points that are right."""
        return float(np.diag(self.counts).sum() / self.total) if self.total else float('nan')

    @property
    def frequency_weighted_iou(self) -> float:
        """IoU weighted by the classes' labelled points."""
        return float(np.nansum(self.iou * self.support) / self.total) if self.total else float('nan')


@dataclass
class Calibration:
    """How far confidences are from the truth, in bins of equal width (Guo et al. 2017).

    counts, confidence, right: float64 [bins], number of points, sum of confidences, number of right answers.
    """

    counts: np.ndarray
    confidence: np.ndarray
    right: np.ndarray

    @classmethod
    def empty(cls, bins: int = 15) -> Calibration:
        """Return a calibration of nothing."""
        return cls(np.zeros(bins), np.zeros(bins), np.zeros(bins))

    def add(self, truth: np.ndarray, predicted: np.ndarray, confidence: np.ndarray) -> None:
        """Count points: class ids [N] and confidences 0..1 [N]; points with ignored truth or prediction are left out."""
        known = (truth != IGNORE) & (predicted != IGNORE)
        bins = len(self.counts)
        place = np.clip((confidence[known] * bins).astype(np.int64), 0, bins - 1)
        self.counts += np.bincount(place, minlength=bins)
        self.confidence += np.bincount(place, confidence[known].astype(np.float64), bins)
        self.right += np.bincount(place, truth[known] == predicted[known], bins)

    @property
    def error(self) -> float:
        """Expected calibration error: mean over points of |accuracy - mean confidence| of the bin."""
        total = self.counts.sum()
        return float(np.abs(self.right - self.confidence).sum() / total) if total else float('nan')
