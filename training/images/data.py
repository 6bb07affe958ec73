# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""Labelled images as batches for training."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Sequence

import numpy as np
import torch
from lightning.pytorch import LightningDataModule
from rich.progress import track
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ros_kd.inspection.samples import spread
from ros_kd.taxonomy import IGNORE, Taxonomy
from training.frames.data import under
from training.frames.loading import EachOnce, EpochOrder, ResumableLoader, training_seed
from training.images.augmentation import ImageAugmentation
from training.images.datasets import LabelledImage, LabelledImages, lookup, open_images
from training.images.network import as_input

_COUNTED = 256  # images that class frequencies are counted over


@dataclass(frozen=True, eq=False)
class LabelledBatch:
    """images: float32 [I, 3, h, w], normalised. labels: int64 [I, H, W]: class, K for none of the K classes, or 255."""

    images: Tensor
    labels: Tensor

    def to(self, device: torch.device | str, **options: bool) -> LabelledBatch:
        """Return it on another device."""
        return LabelledBatch(self.images.to(device, **options), self.labels.to(device, **options))


class ImagesOf:
    """The images of several sources, with labels of one taxonomy of K classes; K is none of them."""

    def __init__(self, sources: Sequence[LabelledImages], taxonomy: Taxonomy) -> None:
        self.sources = sources
        self._tables = [lookup(source.taxonomy, taxonomy) for source in sources]
        self._places = [(number, i) for number, source in enumerate(sources) for i in range(len(source))]

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index: int) -> LabelledImage:
        number, i = self._places[index]
        sample = self.sources[number][i]
        return LabelledImage(sample.image, self._tables[number][sample.labels])


@dataclass(frozen=True, eq=False)
class _Crops(Dataset):
    """Changed images by (epoch, index, repetition), each drawn from a generator of its own."""

    images: ImagesOf
    augmentation: ImageAugmentation
    size: tuple[int, int]
    seed: int

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, place: tuple[int, int, int]) -> LabelledImage:
        return self.augmentation(self.images[place[1]], self.size, np.random.default_rng((self.seed, *place)))


@dataclass(frozen=True, eq=False)
class _Whole(Dataset):
    """Whole images by (index, counts) at the network's size, with their labels at their own."""

    images: ImagesOf
    size: tuple[int, int]

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, place: tuple[int, bool]) -> LabelledBatch:
        index, counts = place
        sample = self.images[index]
        return _batch([sample.image], [sample.labels if counts else np.full_like(sample.labels, IGNORE)], self.size)


def _batch(images: Sequence[np.ndarray], labels: Sequence[np.ndarray], size: tuple[int, int] | None) -> LabelledBatch:
    return LabelledBatch(as_input(torch.from_numpy(np.stack(images)), size), torch.from_numpy(np.stack(labels)).long())


def _join(samples: Sequence[LabelledImage]) -> LabelledBatch:
    return _batch([one.image for one in samples], [one.labels for one in samples], None)


class ImageSets(LightningDataModule):
    """Labelled images for training and validation.

    train, val: specifications, as `cityscapes:cityscapes?split=train`; see images.datasets. size: (height, width) that
    the network is given whole images in. root: the folder that relative paths start at. augmentation: of training
    images. batch_size: images a step. workers: loader processes.
    """

    def __init__(self, train: list[str], size: tuple[int, int], val: list[str] | None = None, root: str = '.',
                 augmentation: ImageAugmentation = ImageAugmentation(), batch_size: int = 8, workers: int = 0) -> None:
        super().__init__()
        if min(size) < 32:
            raise ValueError(f'size of images is {tuple(size)} (height, width), expected at least 32 pixels each way')
        if batch_size < 1 or workers < 0:
            raise ValueError(f'data.batch_size is {batch_size} and data.workers {workers}: expected at least 1 and 0')
        self.train, self.val, self.root, self.size = train, val or [], Path(root).expanduser(), tuple(size)
        self.augmentation, self.batch_size, self.workers = augmentation, batch_size, workers
        self.seed = training_seed()
        self._images: dict[str, ImagesOf] = {}

    def setup(self, stage: str) -> None:
        """Open the sources of a stage. Raises DatasetError or ValueError saying what is missing."""
        taxonomy = self.trainer.lightning_module.taxonomy
        for part in ('train', 'val') if stage == 'fit' else ('val',):
            if part not in self._images:
                sources = [open_images(under(self.root, name)) for name in getattr(self, part)]
                self._images[part] = ImagesOf(sources, taxonomy)
        if stage == 'fit' and len(self._images['train']) < self.batch_size:
            raise ValueError(f'{len(self._images["train"])} images to train on in {self.train}, expected at least a '
                             f'batch of {self.batch_size}')

    @property
    def validated(self) -> str:
        """Names of the validation's sources."""
        return ', '.join(dict.fromkeys(source.name for source in self._images['val'].sources))

    def class_mass(self, classes: int) -> np.ndarray:
        """Return float64 [classes + 1]: the share of each class, and of none of them, in the training's pixels."""
        images = self._images['train']
        counts = sum(np.bincount(images[i].labels.ravel(), minlength=256)[:classes + 1]
                     for i in track(spread(len(images), _COUNTED), 'Classes', transient=True))
        return counts / max(counts.sum(), 1)

    def train_dataloader(self) -> DataLoader:
        """Return augmented batches; their order and contents depend on seed and epoch only."""
        images = self._images['train']
        order = EpochOrder(np.ones(len(images), bool), None, len(images), self.seed,
                           lambda: self.trainer.current_epoch, self.batch_size, self.trainer.global_rank,
                           self.trainer.world_size)
        crops = _Crops(images, self.augmentation, self.size, self.seed)
        return ResumableLoader(crops, self.batch_size, sampler=order, collate_fn=_join, num_workers=self.workers,
                               persistent_workers=self.workers > 0,
                               start=lambda: self.trainer.fit_loop.epoch_loop.batch_progress.current.ready)

    def val_dataloader(self) -> DataLoader | list:
        """Return whole images one by one, unchanged."""
        whole = _Whole(self._images['val'], self.size)
        once = EachOnce(len(whole), self.trainer.global_rank, self.trainer.world_size)
        return DataLoader(whole, None, sampler=once, num_workers=self.workers) if len(whole) else []
