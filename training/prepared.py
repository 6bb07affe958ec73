# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""Frames of data sets with what a method wants to know of them, computed once."""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from pathlib import Path
from typing import Callable, Sequence
from zipfile import BadZipFile

import numpy as np
from rich.progress import track

from ros_kd.datasets import Dataset as FrameSource
from ros_kd.frames import PairedFrame
from ros_kd.images import RawPixels
from training.augmentation import Sample
from training.targets import Knowledge, Makers, TargetMaker, Targets

COUNTED = 256  # frames that class frequencies are counted over


class PreparedFrames:
    """Frames whose targets are computed once: all kept in memory, or targets in files under `cache` if that is given.

    neighbours: how many frames before and after each one also tell of its points. images: keep the frames' views, with
    decoded images where frames are kept in memory. labelled: bool [frames], which of them have their 3D labels used;
    None: all.
    """

    def __init__(self, sources: Sequence[tuple[str, FrameSource]], makers: Makers, neighbours: int = 0,
                 cache: Path | None = None, images: bool = False) -> None:
        self.sources, self.makers, self.neighbours = sources, makers, neighbours
        self.cache, self.images = cache, images
        self.places = [(number, i) for number, (_, source) in enumerate(sources) for i in range(len(source))]
        self.labelled = np.ones(len(self.places), bool)
        self._kept: dict[int, Sample] = {}

    @property
    def names(self) -> list[str]:
        """A name for each frame: its data set's specification and its number there."""
        return [f'{self.sources[number][0]} {i}' for number, i in self.places]

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: int) -> Sample:
        if index in self._kept:
            return self._kept[index]
        number, i = self.places[index]
        name, source = self.sources[number]
        frame = source[i]
        stored = f'{name} {i} {frame.key} {len(frame.scan)}'
        known = Knowledge(*(self._targets(maker, kind, stored, source, frame, i, index)
                            for kind, maker in vars(self.makers).items()))
        if not self.images:
            frame = replace(frame, views=())
        elif self.cache is None:
            frame = replace(frame, views=tuple(replace(view, pixels=RawPixels(view.image()), label_pixels=None)
                                               for view in frame.views))
        sample = Sample(frame, known)
        if self.cache is None:
            self._kept[index] = sample
        return sample

    def known(self, among: np.ndarray, most: int = COUNTED) -> list[Knowledge]:
        """Return what is known of at most `most` of the frames int [F], evenly spread, computing what is missing."""
        chosen = among[np.unique(np.linspace(0, len(among) - 1, min(most, len(among))).astype(int))]
        return [self[int(i)].known for i in track(chosen, 'Targets', transient=True)]

    def _targets(self, maker: TargetMaker | None, kind: str, name: str, source: FrameSource, frame: PairedFrame, i: int,
                 index: int) -> Targets | None:
        if maker is None:
            return None
        if kind == 'labels':
            return maker(frame) if self.labelled[index] else Targets.none(maker.width)
        return self._stored(f'{name} {maker.identity} neighbours {self.neighbours}',
                            lambda: maker(frame, self._others(source, frame, i)))

    def _others(self, source: FrameSource, frame: PairedFrame, i: int) -> list[PairedFrame]:
        near = range(max(i - self.neighbours, 0), min(i + self.neighbours + 1, len(source)))
        return [source[j] for j in near if j != i] if frame.world_from_lidar is not None else []

    def _stored(self, text: str, make: Callable[[], Targets]) -> Targets:
        if self.cache is None:
            return make()
        path = self.cache / f'{hashlib.sha256(text.encode()).hexdigest()[:24]}.npz'
        try:
            with np.load(path, allow_pickle=False) as data:
                return Targets(data['index'], data['values'], data['weight'], data['group'] if 'group' in data else None)
        except (FileNotFoundError, BadZipFile, KeyError, EOFError):
            targets = make()
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(f'.{os.getpid()}.npz')  # several processes may share the folder
        np.savez(part, **{name: value for name, value in vars(targets).items() if value is not None})
        part.replace(path)
        return targets
