# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""The data of a training: which frames, in which order, changed how."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from lightning.pytorch import LightningDataModule
from torch.utils.data import DataLoader, Dataset

from ros_kd.datasets import Dataset as FrameSource
from ros_kd.datasets import open_dataset
from training.frames.augmentation import Augmentation, Sample
from training.frames.batches import Batch
from training.frames.labelled import LabelSplit, frame_name
from training.frames.loading import EachOnce, EpochOrder, ResumableLoader, training_seed
from training.frames.prepared import PreparedFrames
from training.frames.rig_errors import RigErrors, disturb
from training.frames.targets import Makers, Targets, class_mass
from training.images.looking import Looking, look, look_all
from training.teachers import Teacher


class _Augmented(Dataset):
    """Samples by (epoch, index, how often it came before in the epoch), each drawn from a generator of its own: the
    same however training was interrupted."""

    def __init__(self, frames: PreparedFrames, augmentation: Augmentation, seed: int, looking: Looking | None) -> None:
        self.frames, self.augmentation, self.seed, self.looking = frames, augmentation, seed, looking

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, place: tuple[int, int, int]) -> Sample:
        epoch, index, again = place
        random = np.random.default_rng((self.seed, epoch, index, again) if again else (self.seed, epoch, index))
        others = random.permutation(len(self.frames))[:self.augmentation.combined - 1]
        sample = self.augmentation([self.frames[index], *(self.frames[int(i)] for i in others)], random)
        return sample if self.looking is None else replace(sample, looks=look(sample.frame, self.looking, random))


class _Whole(Dataset):
    """Samples by (index, counts), as they are, with all that their cameras see; nothing is known of those that do not
    count."""

    def __init__(self, frames: PreparedFrames, looking: Looking | None) -> None:
        self.frames, self.looking = frames, looking

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, place: tuple[int, bool]) -> Sample:
        index, counts = place
        sample = self.frames[index]
        if not counts:
            scan = replace(sample.frame.scan, label=None, taxonomy=None)
            unknown = sample.known.map(lambda targets: Targets.none(targets.values.shape[1]))
            sample = Sample(replace(sample.frame, scan=scan), unknown)
        return sample if self.looking is None else replace(sample, looks=look_all(sample.frame, self.looking))


def under(root: Path, specification: str) -> str:
    """Return the dataset specification with a relative path taken to start at `root`."""
    base, mark, query = specification.partition('?')
    kind, colon, path = base.partition(':')
    if not colon:
        kind, path = '', base
    return f'{kind}{colon}{root / Path(path).expanduser() if path else path}{mark}{query}'


def has_poses(source: FrameSource) -> bool:
    """Tell whether a data set knows where the vehicle was, by a frame in its middle."""
    return len(source) > 0 and source[len(source) // 2].world_from_lidar is not None


class Frames(LightningDataModule):
    """Datasets for training and validation, and the teacher that says what their images show.

    train, val: dataset specifications, as `kitti_object:kitti_object?split=training`. root: the folder that their
    relative paths, and those of a teacher's files, start at (networks in folders are found from where the command
    runs, as those on a hub have names, not paths). teacher: not needed by methods that learn from 3D labels.
    augmentation: of training samples. batch_size: scans a step. neighbours: for sources with poses, how many frames
    before and after also tell of a frame's points (of the near ring, and of directions without a camera).
    labels: which training frames have their 3D labels used. epoch_size: samples an epoch; None: each frame once.
    cache: a folder that keeps the targets between runs; without it, frames and targets stay in memory.
    workers: loader processes. rig_errors: falsify the extrinsics of training frames, to see what a method bears.
    Raises ValueError for numbers that make no sense.
    """

    def __init__(self, train: list[str], val: list[str] | None = None, root: str = '.', teacher: Teacher | None = None,
                 augmentation: Augmentation = Augmentation(), batch_size: int = 1, neighbours: int = 0,
                 labels: LabelSplit = LabelSplit(), epoch_size: int | None = None, cache: str | None = None,
                 workers: int = 0, rig_errors: RigErrors | None = None) -> None:
        super().__init__()
        least = {'batch_size': 1, 'neighbours': 0, 'workers': 0, 'epoch_size': 1}
        for name, value in zip(least, (batch_size, neighbours, workers, epoch_size)):
            if value is not None and value < least[name]:
                raise ValueError(f'data.{name} is {value}: expected {least[name]} or more')
        self.train, self.val, self.root = train, val or [], Path(root).expanduser()
        self.teacher, self.augmentation, self.batch_size = teacher, augmentation, batch_size
        self.neighbours, self.labels, self.epoch_size, self.workers = neighbours, labels, epoch_size, workers
        self.cache = None if cache is None else Path(cache).expanduser()
        self.rig_errors = rig_errors
        self.seed = training_seed()
        self._frames: dict[str, PreparedFrames] = {}

    def setup(self, stage: str) -> None:
        """Open the datasets of a stage and compute what is needed at once. Raises DatasetError or ValueError."""
        method = self.trainer.lightning_module
        if method.looking is not None and self.augmentation.sector:
            raise ValueError(f'augmentation.sector is {self.augmentation.sector}: scans made of sectors have no images,'
                             f' but {type(method).__name__} looks at images: set it to 0')
        if self.teacher is not None and not self._frames:
            self.teacher.locate(self.root)
        makers = method.makers(self.teacher)
        for part in ('train', 'val') if stage == 'fit' else ('val',):
            if part in self._frames:
                continue
            frames = self._frames[part] = self.open(part, makers, method.looking is not None)
            if part == 'train':
                self._prepare(frames)
            if self.cache is None:
                frames.known(np.arange(len(frames)), len(frames))  # before loader processes would each make their own
        if stage == 'fit' and not len(self._frames['train']):
            raise ValueError(f'no frames to train on in {self.train}')

    def _prepare(self, frames: PreparedFrames) -> None:
        """Choose the labelled ones of the training frames; say so if nothing comes of what was asked for."""
        if frames.makers.labels is not None:
            frames.labelled = self.labels.choose(self._names)
        if self.neighbours and not any(map(has_poses, (source for _, source in frames.sources))):
            logging.getLogger(__name__).warning('data.neighbours is %d, but no frame of %s has a pose: images of other '
                                                'moments tell nothing; give odometry, or set it to 0', self.neighbours,
                                                self.train)

    def open(self, part: str, makers: Makers, images: bool = False) -> PreparedFrames:
        """Return the frames of "train" or "val" with what the makers know of them. Raises DatasetError."""
        sources = [(name, open_dataset(under(self.root, name))) for name in getattr(self, part)]
        if part == 'train' and self.rig_errors is not None:
            sources = [(f'{name} {self.rig_errors}', disturb(source, self.rig_errors)) for name, source in sources]
        # Others only fill what training lacks; validation asks about this frame's own cameras.
        neighbours = self.neighbours if part == 'train' else 0
        return PreparedFrames(sources, makers, neighbours, self.cache, images)

    @property
    def labelled_frames(self) -> list[str]:
        """Names of the training frames whose 3D labels are used; none if the method does not ask for labels."""
        frames = self._frames['train']
        if frames.makers.labels is None:
            return []
        return [name for name, labelled in zip(self._names, frames.labelled) if labelled]

    @property
    def _names(self) -> list[str]:
        return [frame_name(self.train[number], i) for number, i in self._frames['train'].places]

    def class_mass(self, kind: str, classes: int) -> np.ndarray:
        """Return float64 [classes], the share of each class in the training's "labels" or "classes"."""
        frames = self._frames['train']
        among = np.flatnonzero(frames.labelled) if kind == 'labels' else np.arange(len(frames))
        return class_mass([getattr(known, kind) for known in frames.known(among)], classes)

    def train_dataloader(self) -> DataLoader:
        """Return augmented batches; their order and contents depend on seed and epoch only."""
        frames, method = self._frames['train'], self.trainer.lightning_module
        # A method that cannot learn from frames without labels sees none of them.
        mixed = self.labels.mixed if method.learns_without_labels else 1.0
        size = self.epoch_size or (len(frames) if method.learns_without_labels else int(frames.labelled.sum()))
        order = EpochOrder(frames.labelled, mixed, size, self.seed, lambda: self.trainer.current_epoch, self.batch_size,
                           self.trainer.global_rank, self.trainer.world_size)
        samples = _Augmented(frames, self.augmentation, self.seed, method.looking)
        return ResumableLoader(samples, self.batch_size, sampler=order, collate_fn=Batch.of, num_workers=self.workers,
                               start=self._batches_done, persistent_workers=self.workers > 0)

    def _batches_done(self) -> int:
        return self.trainer.fit_loop.epoch_loop.batch_progress.current.ready

    def val_dataloader(self) -> DataLoader | list:
        """Return whole frames one by one, unchanged."""
        samples = _Whole(self._frames['val'], self.trainer.lightning_module.looking)
        once = EachOnce(len(samples), self.trainer.global_rank, self.trainer.world_size)
        return DataLoader(samples, 1, sampler=once, collate_fn=Batch.of, num_workers=0) if len(samples) else []

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        """Move the targets; scans become voxels on the device itself."""
        return batch.to(device)
