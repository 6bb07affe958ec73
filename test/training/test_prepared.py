# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Frames with what is known of them."""

from __future__ import annotations

from drives import STREET, WALL, drive_frame, pose

from ros_kd.frames import PairedFrame
from training.frames.prepared import PreparedFrames
from training.frames.projected import ClassTargets
from training.frames.targets import Makers
from training.teachers.frame_labels import FrameLabels


class Drive:
    """A source that counts what is read."""

    trajectory = None

    def __init__(self) -> None:
        self.read: list[int] = []

    def __len__(self) -> int:
        return 6

    def __getitem__(self, index: int) -> PairedFrame:
        self.read.append(index)
        return drive_frame(index / 2, pose(4.0 * index), [WALL])


def test_a_frame_that_others_ask_too_is_read_once_and_they_learn_more_from_it():
    found = []
    for neighbours in (0, 2):
        source = Drive()
        frames = PreparedFrames([('drive', source)], Makers(classes=ClassTargets(FrameLabels('street-12'), STREET)),
                                neighbours)
        found.append([len(frames[i].known.classes) for i in range(6)])
        assert sorted(source.read) == list(range(6))
    assert all(more > alone for alone, more in zip(*found))
