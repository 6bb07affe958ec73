# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Weights in the form that a backend wants, kept until they change."""

from __future__ import annotations

from typing import Callable, Generic, TypeVar

from torch import Tensor

T = TypeVar('T')


class WeightCache(Generic[T]):
    """Belongs to one layer. It notices new values by the tensor's version, and is left behind by copies and pickles."""

    def __init__(self) -> None:
        self._key: tuple | None = None
        self._value: T | None = None

    def get(self, weight: Tensor, form: str, make: Callable[[], T]) -> T:
        """Return make(), or what it gave before for this weight in this form."""
        if weight.is_inference():  # such a tensor does not say when it changes
            return make()
        key = (form, weight.data_ptr(), weight._version, weight.dtype, weight.device, weight.shape)
        if key != self._key:
            self._key, self._value = key, make()
        return self._value

    def __deepcopy__(self, memo: dict) -> WeightCache:
        return WeightCache()

    def __reduce__(self) -> tuple:
        return WeightCache, ()
