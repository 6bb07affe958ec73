# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""Paired frames with their targets, as batches for training."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, Callable, Iterator, Sequence
from zipfile import BadZipFile

import numpy as np
import torch
from lightning.pytorch import LightningDataModule
from rich.progress import track
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from ros_kd.datasets import Dataset as FrameSource
from ros_kd.datasets import open_dataset
from ros_kd.frames import PairedFrame
from training.augmentation import Augmentation, Sample
from training.targets import TargetMaker, Targets, class_mass
from training.teachers import Teacher

_COUNTED = 256  # frames that class frequencies are counted over


@dataclass(frozen=True, eq=False)
class Batch:
    """Frames and the targets of their points.

    index: int64 [M], rows of all frames' points one after the other. values: float32 [M, D]. weight: float32 [M].
    """

    frames: tuple[PairedFrame, ...]
    index: Tensor
    values: Tensor
    weight: Tensor

    @classmethod
    def of(cls, samples: Sequence[Sample]) -> Batch:
        """Join samples."""
        starts = np.cumsum([0] + [len(sample.frame.scan) for sample in samples[:-1]])
        targets = [sample.targets for sample in samples]
        index = np.concatenate([target.index + start for target, start in zip(targets, starts)])
        values = np.concatenate([target.values for target in targets]).astype(np.float32)
        weight = np.concatenate([target.weight for target in targets]).astype(np.float32)
        return cls(tuple(sample.frame for sample in samples), *map(torch.from_numpy, (index, values, weight)))

    def to(self, device: torch.device | str) -> Batch:
        """Return the batch with its targets on another device; frames stay in memory."""
        return replace(self, index=self.index.to(device), values=self.values.to(device), weight=self.weight.to(device))


class PreparedFrames:
    """Frames whose targets are computed once: kept in memory, or in files under `cache` if that is given.

    neighbours: how many frames before and after each one also tell of its points. images: keep the frames' views.
    """

    def __init__(self, sources: Sequence[tuple[str, FrameSource]], maker: TargetMaker, neighbours: int = 0,
                 cache: Path | None = None, images: bool = False) -> None:
        self.sources, self.maker, self.neighbours = sources, maker, neighbours
        self.cache, self.images = cache, images
        self.places = [(number, i) for number, (_, source) in enumerate(sources) for i in range(len(source))]
        self._kept: dict[int, Sample] = {}

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: int) -> Sample:
        if index in self._kept:
            return self._kept[index]
        number, i = self.places[index]
        name, source = self.sources[number]
        frame = source[i]
        targets = self._stored(f'{name} {i} {frame.key} {len(frame.scan)}', lambda: self._make(source, frame, i))
        sample = Sample(frame if self.images else replace(frame, views=()), targets)
        if self.cache is None and not self.images:
            self._kept[index] = sample
        return sample

    def targets(self, most: int = _COUNTED) -> list[Targets]:
        """Return the targets of at most `most` frames, evenly spread, computing what is missing."""
        chosen = np.unique(np.linspace(0, len(self) - 1, min(most, len(self))).astype(int))
        return [self[int(i)].targets for i in track(chosen, 'Targets', transient=True)]

    def _make(self, source: FrameSource, frame: PairedFrame, i: int) -> Targets:
        near = range(max(i - self.neighbours, 0), min(i + self.neighbours + 1, len(source)))
        others = [source[j] for j in near if j != i] if frame.world_from_lidar is not None else []
        return self.maker(frame, others)

    def _stored(self, name: str, make: Callable[[], Targets]) -> Targets:
        if self.cache is None:
            return make()
        text = f'{name} {self.maker.identity} neighbours {self.neighbours}'
        path = self.cache / f'{hashlib.sha256(text.encode()).hexdigest()[:24]}.npz'
        try:
            with np.load(path, allow_pickle=False) as data:
                return Targets(data['index'], data['values'], data['weight'])
        except (FileNotFoundError, BadZipFile, KeyError, EOFError):
            targets = make()
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(f'.{os.getpid()}.npz')  # several processes may share the folder
        np.savez(part, index=targets.index, values=targets.values, weight=targets.weight)
        part.replace(path)
        return targets


class _Augmented(Dataset):
    """Samples by (epoch, index), each drawn from a generator of its own: the same however training was interrupted."""

    def __init__(self, frames: PreparedFrames, augmentation: Augmentation, seed: int) -> None:
        self.frames, self.augmentation, self.seed = frames, augmentation, seed

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, place: tuple[int, int]) -> Sample:
        epoch, index = place
        random = np.random.default_rng((self.seed, epoch, index))
        others = random.permutation(len(self.frames))[:self.augmentation.combined - 1]
        return self.augmentation([self.frames[index], *(self.frames[int(i)] for i in others)], random)


class _EpochOrder(Sampler):
    """(epoch, index) pairs in an order that depends on the seed and the epoch alone."""

    def __init__(self, size: int, seed: int, epoch: Callable[[], int]) -> None:
        self.size, self.seed, self.epoch = size, seed, epoch

    def __len__(self) -> int:
        return self.size

    def __iter__(self) -> Iterator[tuple[int, int]]:
        epoch = self.epoch()
        order = np.random.default_rng((self.seed, epoch)).permutation(self.size)
        return iter([(epoch, int(i)) for i in order])


class _ResumableLoader(DataLoader):
    """A loader that goes on within an epoch where a checkpoint was written.

    start: asked when the first batch of an epoch is: how many of its batches were learnt from already. (Lightning
    itself restores a loader's state only after it has made the iterator, if the schedule asks for the number of steps.)
    """

    def __init__(self, *args: Any, start: Callable[[], int], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.start = start

    def __iter__(self) -> Iterator[Batch]:
        yield from islice(super().__iter__(), self.start(), None)


def under(root: Path, specification: str) -> str:
    """Return the dataset specification with a relative path taken to start at `root`."""
    base, mark, query = specification.partition('?')
    kind, colon, path = base.partition(':')
    if not colon:
        kind, path = '', base
    return f'{kind}{colon}{root / Path(path).expanduser() if path else path}{mark}{query}'


class Frames(LightningDataModule):
    """Datasets for training and validation, and the teacher that says what their images show.

    train, val: dataset specifications, as `kitti_object:kitti_object?split=training`. root: the folder that their
    relative paths, and the teacher's, start at. teacher: not needed by methods that learn from 3D labels.
    augmentation: of training samples. batch_size: scans a step. neighbours: for sources with poses, how many frames
    before and after also tell of a frame's points (they fill the near ring and the directions without a camera).
    cache: a folder that keeps the targets between runs; without it, frames and targets stay in memory.
    workers: loader processes.
    """

    def __init__(self, train: list[str], val: list[str] | None = None, root: str = '.', teacher: Teacher | None = None,
                 augmentation: Augmentation = Augmentation(), batch_size: int = 1, neighbours: int = 0,
                 cache: str | None = None, workers: int = 0) -> None:
        super().__init__()
        self.train, self.val, self.root = train, val or [], Path(root).expanduser()
        self.teacher, self.augmentation, self.batch_size = teacher, augmentation, batch_size
        self.neighbours, self.workers = neighbours, workers
        self.cache = None if cache is None else Path(cache).expanduser()
        self.seed = int(os.environ.get('PL_GLOBAL_SEED', 0))
        self._frames: dict[str, PreparedFrames] = {}

    def setup(self, stage: str) -> None:
        """Open the datasets of a stage and compute what is needed at once. Raises DatasetError or ValueError."""
        method = self.trainer.lightning_module
        if self.teacher is not None and not self._frames:
            self.teacher.locate(self.root)
        maker = method.targets(self.teacher)
        for part in ('train', 'val') if stage == 'fit' else ('val',):
            if part in self._frames:
                continue
            names = [under(self.root, name) for name in getattr(self, part)]
            sources = [(name, open_dataset(name)) for name in names]
            # Others only fill what training lacks; validation asks about this frame's own cameras.
            neighbours = self.neighbours if part == 'train' else 0
            self._frames[part] = PreparedFrames(sources, maker, neighbours, self.cache, method.needs_images)
            if self.cache is None and not method.needs_images:
                self._frames[part].targets(len(self._frames[part]))  # before loader processes would each make their own
        if stage == 'fit' and not len(self._frames['train']):
            raise ValueError(f'no frames to train on in {self.train}')

    def class_mass(self, classes: int) -> np.ndarray:
        """Return float64 [classes], the share of each class in the training targets."""
        return class_mass(self._frames['train'].targets(), classes)

    def train_dataloader(self) -> DataLoader:
        """Return augmented batches; their order and contents depend on seed and epoch only."""
        frames = self._frames['train']
        order = _EpochOrder(len(frames), self.seed, lambda: self.trainer.current_epoch)
        samples = _Augmented(frames, self.augmentation, self.seed)
        return _ResumableLoader(samples, self.batch_size, sampler=order, collate_fn=Batch.of, num_workers=self.workers,
                                drop_last=len(frames) >= self.batch_size, start=self._batches_done,
                                persistent_workers=self.workers > 0)

    def _batches_done(self) -> int:
        return self.trainer.fit_loop.epoch_loop.batch_progress.current.ready

    def val_dataloader(self) -> DataLoader | list:
        """Return whole frames one by one, unchanged."""
        frames = self._frames['val']
        return DataLoader(frames, 1, collate_fn=Batch.of, num_workers=0) if len(frames) else []

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        """Move the targets; scans become voxels on the device itself."""
        return batch.to(device)
