# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""The order of an epoch's samples, and loaders that go on where a training was interrupted."""

from __future__ import annotations

from itertools import islice
from typing import Any, Callable, Iterator

import numpy as np
from torch.utils.data import DataLoader, Sampler

from training.labelled import order


class EpochOrder(Sampler):
    """(epoch, index, repetition) in an order that depends on the seed and the epoch alone."""

    def __init__(self, labelled: np.ndarray, mixed: float | None, size: int, seed: int,
                 epoch: Callable[[], int]) -> None:
        self.labelled, self.mixed, self.size, self.seed, self.epoch = labelled, mixed, size, seed, epoch

    def __len__(self) -> int:
        return self.size

    def __iter__(self) -> Iterator[tuple[int, int, int]]:
        epoch, seen = self.epoch(), np.zeros(len(self.labelled), int)
        for index in order(self.labelled, self.mixed, self.size, np.random.default_rng((self.seed, epoch))).tolist():
            yield epoch, index, int(seen[index])
            seen[index] += 1


class ResumableLoader(DataLoader):
    """A loader that goes on within an epoch where a checkpoint was written.

    start: asked when the first batch of an epoch is: how many of its batches were learnt from already. (Lightning
    itself restores a loader's state only after it has made the iterator, if the schedule asks for the number of steps.)
    """

    def __init__(self, *args: Any, start: Callable[[], int], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.start = start

    def __iter__(self) -> Iterator[Any]:
        yield from islice(super().__iter__(), self.start(), None)
