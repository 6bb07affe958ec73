# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Weights in the form that a backend wants, kept until they change."""

from __future__ import annotations

from typing import Callable, Generic, TypeVar

from torch import Tensor

T = TypeVar('T')


class WeightCache(Generic[T]):
    """Belongs to one layer and keeps only what is not being trained: freeze a network for speed (see students.folding).

    It notices new values by the tensor's version, and is left behind by copies and pickles.
    """

    def __init__(self) -> None:
        self._kept: tuple[tuple, Tensor, T] | None = None  # in one piece, for threads that share a layer

    def get(self, weight: Tensor, form: str, make: Callable[[], T]) -> T:
        """Return make(), or what it gave before for this weight in this form."""
        trained = (weight if weight._base is None else weight._base).requires_grad
        if trained or weight.is_inference():  # they do not say when they change: fused optimisers leave no trace
            return make()
        key = (form, weight.data_ptr(), weight._version, weight.dtype, weight.device, weight.shape)
        kept = self._kept
        if kept is None or kept[0] != key:
            # The weight is held on to: another one, such as the next of autocast's, could get a freed one's memory.
            kept = self._kept = key, weight.detach(), make()
        return kept[2]

    def __deepcopy__(self, memo: dict) -> WeightCache:
        return WeightCache()

    def __reduce__(self) -> tuple:
        return WeightCache, ()
