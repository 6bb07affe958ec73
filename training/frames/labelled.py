# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""Which frames of a data set have their 3D labels used: the k-shot protocol."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Sequence

import numpy as np


@dataclass(frozen=True)
class LabelSplit:
    """The frames whose 3D labels training sees.

    share: of the frames, 0..1; at least one frame unless 0. seed: of the draw; a larger share holds a smaller one's
    frames. file: a list of frames, one name a line, instead of a draw (the run's `labelled_frames.txt` is one).
    mixed: the share of a batch's frames that are labelled ones, if the method learns from others, too.
    """

    share: float = 1.0
    seed: int = 0
    file: str | None = None
    mixed: float = 0.5

    def __post_init__(self) -> None:
        if not (0 <= self.share <= 1 and 0 < self.mixed <= 1):
            raise ValueError(f'labels with share {self.share} and mixed {self.mixed}: expected shares between 0 and 1')

    def choose(self, names: Sequence[str]) -> np.ndarray:
        """Return bool [len(names)]: which frames are labelled.

        Raises ValueError for a list that is not there, or that names other frames.
        """
        if self.file is not None:
            file = Path(self.file).expanduser()
            if not file.is_file():
                raise ValueError(f'no list of labelled frames at {file.absolute()}: expected a text file with a name '
                                 f'like "{names[0] if names else "SPEC 0"}" a line, as labelled_frames.txt of a run')
            listed = {line.strip() for line in file.read_text().splitlines() if line.strip()}
            unknown = sorted(listed - set(names))
            if unknown:
                raise ValueError(f'{self.file} lists {len(unknown)} frames that are not among the training data, the '
                                 f'first is "{unknown[0]}": names are like "{names[0] if names else "SPEC 0"}"')
            return np.array([name in listed for name in names], bool)
        count = max(1, round(self.share * len(names))) if self.share else 0
        chosen = np.zeros(len(names), bool)
        chosen[np.random.default_rng(self.seed).permutation(len(names))[:count]] = True
        return chosen


def frame_name(specification: str, number: int) -> str:
    """Return the name of a frame, the same wherever the data lie: of its data set, as recipes write it, and its number
    there."""
    return f'{specification} {number}'


def order(labelled: np.ndarray, mixed: float | None, size: int, random: np.random.Generator) -> np.ndarray:
    """Return int64 [size]: the frames of an epoch, each once in a random order before any comes again.

    labelled: bool [N]. mixed: the share of labelled ones, spread evenly; None: all frames alike.
    """
    def drawn(among: np.ndarray, count: int) -> np.ndarray:
        rounds = -(-count // max(len(among), 1))
        return np.concatenate([random.permutation(among) for _ in range(rounds)] or [among])[:count]

    everything = np.arange(len(labelled))
    if mixed is None or labelled.all() or not labelled.any():
        return drawn(everything, size)
    # One in every 1 / mixed frames is labelled, so that each batch of that size holds one.
    place = np.floor((np.arange(size) + 1) * mixed) > np.floor(np.arange(size) * mixed)
    chosen = np.empty(size, np.int64)
    chosen[place] = drawn(everything[labelled], int(place.sum()))
    chosen[~place] = drawn(everything[~labelled], int((~place).sum()))
    return chosen
