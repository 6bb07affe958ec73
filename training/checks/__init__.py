# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""What the doctor looks at, one file for each part of a training; each yields checks."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Sequence

from ros_kd.datasets import Dataset
from ros_kd.extrinsics import Trajectory
from ros_kd.frames import PairedFrame
from training.frames.prepared import around, others_of

# What data, teachers and methods raise where something is wrong with what they were given.
BROKEN = (ValueError, OSError, KeyError)


class Grade(str, Enum):
    """How a check ended."""

    OK = 'ok'
    WARNING = 'warning'
    PROBLEM = 'problem'


@dataclass(frozen=True)
class Check:
    """A line of the doctor's: what was looked at, how that is, what was found, and what to do about it."""

    what: str
    grade: Grade
    found: str
    advice: str = ''


@dataclass(frozen=True)
class Part:
    """Some frames of a data set, read once. name: its specification. part: "train" or "val". count: all of its frames.
    It is itself a data set, of the frames read. others: for each of them, the frames whose images also tell of its
    points."""

    name: str
    part: str
    count: int
    frames: Sequence[PairedFrame]
    trajectory: Trajectory | None = None
    unread: Sequence[str] = field(default=())
    others: Sequence[Sequence[PairedFrame]] = field(default=())

    @classmethod
    def of(cls, name: str, part: str, dataset: Dataset, numbers: Sequence[int], neighbours: int = 0) -> Part:
        """Read the frames `numbers` of a data set; of those that cannot be read, why is kept.

        neighbours: how many frames before and after each are read, too, if it has a pose.
        """
        frames, unread, others = [], [], []
        for number in numbers:
            try:
                frame = dataset[number]
                near = around(number, neighbours, len(dataset))
                others.append([dataset[other] for other in others_of(frame, number, near)])
                frames.append(frame)
            except BROKEN as error:
                unread.append(f'frame {number}: {text_of(error)}')
        return cls(name, part, len(dataset), frames, dataset.trajectory, unread, others)

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, index: int) -> PairedFrame:
        return self.frames[index]


def text_of(error: Exception) -> str:
    """Return an error's words (a KeyError's str is quoted)."""
    return str(error.args[0] if isinstance(error, KeyError) and error.args else error)


def percent(share: float) -> str:
    """Return a share as text."""
    return f'{100 * share:.0f} %' if share >= 0.095 or share == 0 else f'{100 * share:.2g} %'


def size(count: float) -> str:
    """Return bytes as text."""
    return f'{count / 1e9:.1f} GB' if count >= 1e9 else f'{count / 1e6:.1f} MB'
