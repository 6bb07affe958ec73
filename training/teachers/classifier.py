# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""The last, linear layer of an image network, which students may share."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np


@dataclass(frozen=True, eq=False)
class Classifier:
    """logits = weight f + bias of features f; weight float32 [K, D], bias float32 [K].

    The first rows are the classes of the teacher's taxonomy; further rows (background) are nobody's.
    """

    weight: np.ndarray
    bias: np.ndarray

    def __post_init__(self) -> None:
        if self.weight.ndim != 2 or self.bias.shape != self.weight.shape[:1]:
            raise ValueError(f'a classifier with weight {self.weight.shape} and bias {self.bias.shape}: expected '
                             '[K, D] and [K]')

    @classmethod
    @lru_cache(4)
    def load(cls, path: Path) -> Classifier:
        """Read "weight" and "bias" of an npz file. Raises ValueError naming the file and what it lacks."""
        if not path.is_file():
            raise ValueError(f'no classifier at {path}: expected an npz with "weight" [K, D] and "bias" [K]')
        with np.load(path, allow_pickle=False) as data:
            if not {'weight', 'bias'} <= set(data.files):
                raise ValueError(f'{path} has {data.files}, expected "weight" [K, D] and "bias" [K]')
            return cls(data['weight'].astype(np.float32), data['bias'].astype(np.float32))

    def probabilities(self, features: np.ndarray, temperature: float = 1.0) -> np.ndarray:
        """Return the softmax over the K classes, float32 [M, K], of features [M, D]."""
        logits = (features @ self.weight.T + self.bias) / np.float32(temperature)
        logits -= logits.max(1, keepdims=True)
        np.exp(logits, out=logits)
        return logits / logits.sum(1, keepdims=True)
