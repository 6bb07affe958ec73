# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Which frames have labels, and how they are mixed with others."""

from __future__ import annotations

import numpy as np
import pytest

from training.frames.labelled import LabelSplit, order

NAMES = [f'kitti:drive {i}' for i in range(20)]


@pytest.mark.parametrize('share, count', [(0.0, 0), (0.001, 1), (0.1, 2), (0.5, 10), (1.0, 20)])
def test_a_share_of_the_frames_is_labelled_and_at_least_one(share, count):
    assert LabelSplit(share).choose(NAMES).sum() == count


def test_the_seed_decides_and_a_larger_share_holds_a_smaller_one():
    few, more = LabelSplit(0.2, seed=5).choose(NAMES), LabelSplit(0.6, seed=5).choose(NAMES)
    assert (few <= more).all()
    assert np.array_equal(few, LabelSplit(0.2, seed=5).choose(NAMES))
    assert any(not np.array_equal(few, LabelSplit(0.2, seed=seed).choose(NAMES)) for seed in range(5))


def test_a_list_names_the_labelled_frames(tmp_path):
    listed = tmp_path / 'list.txt'
    listed.write_text('kitti:drive 3\n\nkitti:drive 17\n')
    assert np.flatnonzero(LabelSplit(file=str(listed)).choose(NAMES)).tolist() == [3, 17]
    listed.write_text('kitti:drive 3\nkitti:other 1\n')
    with pytest.raises(ValueError, match='lists 1 frames .* the first is "kitti:other 1": names are like "kitti:drive 0"'):
        LabelSplit(file=str(listed)).choose(NAMES)
    with pytest.raises(ValueError, match='no list of labelled frames at .*other.txt: .* like "kitti:drive 0"'):
        LabelSplit(file=str(tmp_path / 'other.txt')).choose(NAMES)


@pytest.mark.parametrize('wrong', [{'share': -0.1}, {'share': 1.5}, {'mixed': 0.0}, {'mixed': 1.1}])
def test_shares_out_of_range_are_refused(wrong):
    with pytest.raises(ValueError, match='expected shares between 0 and 1'):
        LabelSplit(**wrong)


def labelled(count: int, frames: int = 12) -> np.ndarray:
    """The first `count` of the frames."""
    return np.arange(frames) < count


def test_every_frame_comes_once_before_any_comes_again():
    for split, mixed in ((labelled(4), None), (labelled(0), 0.5), (labelled(12), 0.5)):
        places = order(split, mixed, 30, np.random.default_rng(0))
        assert sorted(places[:12]) == sorted(places[12:24]) == list(range(12))
        assert len(set(places[24:])) == 6 and not np.array_equal(places[:12], places[12:24])


@pytest.mark.parametrize('mixed, size', [(0.5, 2), (0.25, 4), (1.0, 1)])
def test_each_batch_of_the_right_size_holds_a_labelled_frame(mixed, size):
    places = order(labelled(3), mixed, 24, np.random.default_rng(1))
    assert (labelled(3)[places].reshape(-1, size).sum(1) == 1).all()
    mine = places[places < 3]
    assert sorted(mine[:3]) == [0, 1, 2]  # all labelled ones before one again
    others = places[places >= 3]
    assert len(set(others[:9])) == min(9, len(others))


def test_the_order_depends_on_the_generator_alone():
    orders = [order(labelled(3), 0.5, 24, np.random.default_rng(seed)).tolist() for seed in (0, 0, 1)]
    assert orders[0] == orders[1] != orders[2]
