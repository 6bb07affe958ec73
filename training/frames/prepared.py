# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""Frames of data sets with what a method wants to know of them, computed once."""

from __future__ import annotations

import zlib
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path
from typing import Iterator, Sequence

import numpy as np
from rich.progress import track

from ros_kd.datasets import Dataset as FrameSource
from ros_kd.frames import PairedFrame
from ros_kd.images import RawPixels
from ros_kd.inspection.samples import spread
from training.frames.augmentation import Sample
from training.frames.cache import TargetCache
from training.frames.targets import Knowledge, Makers, TargetMaker, Targets

COUNTED = 256  # frames that class frequencies are counted over


class PreparedFrames:
    """Frames whose targets are computed once: all kept in memory, or targets in a TargetCache at `cache` if given.

    sources: data sets, each with the name that its targets are kept under. neighbours: how many frames before and after
    each one also tell of its points. images: keep the frames' views, with decoded images where frames are kept in
    memory. labelled: bool [frames], which of them have their 3D labels used: all, unless it is set.
    """

    def __init__(self, sources: Sequence[tuple[str, FrameSource]], makers: Makers, neighbours: int = 0,
                 cache: Path | None = None, images: bool = False) -> None:
        self.sources, self.makers, self.neighbours = sources, makers, neighbours
        self.cache, self.images = None if cache is None else TargetCache(cache), images
        self.places = [(number, i) for number, (_, source) in enumerate(sources) for i in range(len(source))]
        self.labelled = np.ones(len(self.places), bool)
        self._kept: dict[int, Sample] = {}
        self._paths: dict[int, int] = {}  # CRC-32 of where each source's vehicle went
        self._recent: OrderedDict[tuple[int, int], PairedFrame] = OrderedDict()

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: int) -> Sample:
        if index in self._kept:
            return self._kept[index]
        frame = self._read(*self.places[index])
        known = Knowledge(*(self._targets(maker, kind, frame, index) for kind, maker in vars(self.makers).items()))
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
        return [self[int(i)].known for i in track(among[spread(len(among), most)], 'Targets', transient=True)]

    def fill(self, rank: int = 0, world: int = 1) -> Iterator[int]:
        """Compute what the cache lacks of every `world`-th frame from `rank` on, keeping nothing in memory.

        Yields for each frame how many targets were computed. Raises CacheError.
        """
        makers = [maker for kind, maker in vars(self.makers).items() if maker is not None and kind != 'labels']
        for index in range(rank, len(self), world):
            frame = self._read(*self.places[index])
            before = self.cache.added
            for maker in makers:
                self._kept_targets(maker, frame, index)
            yield self.cache.added - before

    def _targets(self, maker: TargetMaker | None, kind: str, frame: PairedFrame, index: int) -> Targets | None:
        if maker is None:
            return None
        if kind == 'labels':
            return maker(frame) if self.labelled[index] else Targets.none(maker.width)
        return self._kept_targets(maker, frame, index)

    def _kept_targets(self, maker: TargetMaker, frame: PairedFrame, index: int) -> Targets:
        def make() -> Targets:
            try:
                return maker(frame, self._others(frame, *self.places[index]))
            except RuntimeError as error:
                if 'forked subprocess' not in str(error):
                    raise
                raise ValueError('a teacher on a GPU cannot answer in a loader process: let it answer before (python '
                                 '-m training cache, the same arguments), or set data.workers to 0') from None
        return make() if self.cache is None else self.cache.get_or_make(self._text(maker, frame, index), make)

    def _text(self, maker: TargetMaker, frame: PairedFrame, index: int) -> str:
        """Everything that the targets of a frame depend on, but for the contents of images and of answers on disk."""
        number, i = self.places[index]
        return (f'{self.sources[number][0]} {i} {frame.key} {len(frame.scan)} points {_digest(frame):08x} '
                f'{maker.identity} neighbours {self.neighbours}{self._drive(number, i)}')

    def _drive(self, number: int, i: int) -> str:
        """Which frames are around one, and where the vehicle went: known without reading them."""
        if not self.neighbours:
            return ''
        near = self._near(number, i)
        if number not in self._paths:
            path = self.sources[number][1].trajectory
            self._paths[number] = 0 if path is None else zlib.crc32(path.poses, zlib.crc32(path.stamps))
        return f' of {near.start} to {near.stop - 1} path {self._paths[number]:08x}'

    def _near(self, number: int, i: int) -> range:
        return around(i, self.neighbours, len(self.sources[number][1]))

    def _others(self, frame: PairedFrame, number: int, i: int) -> list[PairedFrame]:
        return [self._read(number, j) for j in others_of(frame, i, self._near(number, i))]

    def _read(self, number: int, i: int) -> PairedFrame:
        """Return frame i of a source. The frames around the next one are kept: reading them again would cost more than
        their targets, and teachers know an image again by its `pixels`."""
        frame = self._recent.pop((number, i), None)
        if frame is None:
            frame = self.sources[number][1][i]
        if self.neighbours:
            self._recent[number, i] = frame
            while len(self._recent) > 2 * self.neighbours + 1:
                self._recent.popitem(last=False)
        return frame


def _digest(frame: PairedFrame) -> int:
    """The CRC-32 of where a frame's points, cameras and vehicle are: a rig that was calibrated anew is another one."""
    pose = [] if frame.world_from_lidar is None else [frame.world_from_lidar]
    total = zlib.crc32(repr([(view.name, view.stamp, view.camera.width, view.camera.height, view.camera.model,
                              view.camera.distortion) for view in frame.views]).encode())
    for place in [frame.points, *pose, *(part for view in frame.views for part in (view.lidar_to_camera,
                                                                                  view.camera.K))]:
        total = zlib.crc32(np.ascontiguousarray(place), total)
    return total


def others_of(frame: PairedFrame, i: int, near: range) -> list[int]:
    """Return which of the frames `near` frame i also tell of its points: none if it has no pose."""
    return [] if frame.world_from_lidar is None else [j for j in near if j != i]


def around(i: int, neighbours: int, count: int) -> range:
    """Return the numbers of frame i of `count` frames and of up to `neighbours` before and after it."""
    return range(max(i - neighbours, 0), min(i + neighbours + 1, count))
