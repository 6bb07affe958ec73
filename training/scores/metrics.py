# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""What a labelling is worth beside ros_kd.scores: frequency-weighted IoU and the calibration of confidences."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Iterable, Mapping

import numpy as np

from ros_kd.scores import Confusion
from ros_kd.taxonomy import IGNORE


def frequency_weighted_iou(confusion: Confusion) -> float:
    """Return the IoU weighted by the classes' labelled points; NaN without any."""
    support, iou = confusion.support, confusion.iou
    return float(np.nansum(iou * support) / support.sum()) if support.any() else float('nan')


def mean_over(iou: Mapping[str, float | None], names: Iterable[str]) -> float:
    """Return the mean IoU over those of the classes `names` that have labelled points; NaN without any."""
    values = [iou[name] for name in names if iou[name] is not None]
    return sum(values) / len(values) if values else float('nan')


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
        """Count points: class ids [N] and confidences 0..1 [N]; those with ignored truth or prediction are left out."""
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
