# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""The order of an epoch's samples, and loaders that go on where a training was interrupted."""

from __future__ import annotations

import os
from typing import Any, Callable, Iterator

import numpy as np
from torch.utils.data import DataLoader, DistributedSampler

from training.frames.labelled import order


def training_seed() -> int:
    """Return the seed of a training (--seed_everything), which Lightning keeps in the environment, also for the other
    processes of a training."""
    return int(os.environ.get('PL_GLOBAL_SEED', 0))


class EpochOrder(DistributedSampler):
    """(epoch, index, repetition) in an order that depends on the seed and the epoch alone.

    size: samples an epoch. batch_size: of one process. rank, processes: of a step's samples this process takes its own
    batch, so that all of them together see at each step what one would with batches that much larger, and labelled
    frames that are spread evenly reach all of them. An epoch has whole batches only, unless it is smaller than one.
    begun: so many of this process's samples, the first ones, are left out. (Lightning would put another order in the
    place of one that is not a DistributedSampler.)
    """

    def __init__(self, labelled: np.ndarray, mixed: float | None, size: int, seed: int, epoch: Callable[[], int],
                 batch_size: int = 1, rank: int = 0, processes: int = 1) -> None:
        self.labelled, self.mixed, self.seed, self.now = labelled, mixed, seed, epoch
        self.rank, self.num_replicas = rank, processes
        step = batch_size * processes
        self.size = size - size % step if size >= step else -(-size // processes) * processes
        self.block = min(batch_size, self.size // processes)
        self.begun = 0

    def __len__(self) -> int:
        return self.size // self.num_replicas

    def __iter__(self) -> Iterator[tuple[int, int, int]]:
        epoch, seen, mine = self.now(), np.zeros(len(self.labelled), int), 0
        chosen = order(self.labelled, self.mixed, self.size, np.random.default_rng((self.seed, epoch)))
        for place, index in enumerate(chosen.tolist()):
            if place // self.block % self.num_replicas == self.rank:
                mine += 1
                if mine > self.begun:
                    yield epoch, index, int(seen[index])
            seen[index] += 1


class EachOnce(DistributedSampler):
    """(index, counts) of `size` samples in order, every `processes`-th of them.

    All processes must take part in each step: those that have run out get a sample again that does not count.
    """

    def __init__(self, size: int, rank: int = 0, processes: int = 1) -> None:
        self.size, self.rank, self.num_replicas = size, rank, processes

    def __len__(self) -> int:
        return -(-self.size // self.num_replicas)

    def __iter__(self) -> Iterator[tuple[int, bool]]:
        for place in range(self.rank, len(self) * self.num_replicas, self.num_replicas):
            yield min(place, self.size - 1), place < self.size


class ResumableLoader(DataLoader):
    """A loader, with an EpochOrder, that goes on within an epoch where a checkpoint was written.

    start: asked when the first batch of an epoch is: how many of its batches were learnt from already; they are not
    read again. (Lightning itself restores a loader's state only after it has made the iterator, if the schedule asks
    for the number of steps.)
    """

    def __init__(self, *args: Any, start: Callable[[], int], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.start = start

    def __iter__(self) -> Iterator[Any]:
        self.sampler.begun = self.start() * self.batch_size
        yield from super().__iter__()
