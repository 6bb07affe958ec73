# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""The official splits of nuScenes by scene (nuscenes-devkit, nuscenes/utils/splits.py)."""

from __future__ import annotations

SPLITS = ('train', 'val')
_MINI_VAL = frozenset({103, 916})
# First and last number of each run of scenes; numbers that nuScenes does not have do no harm.
_VAL_RUNS = ((3, 3), (12, 18), (35, 36), (38, 39), (92, 110), (221, 221), (268, 278), (329, 332), (344, 346),
             (519, 524), (552, 565), (625, 627), (629, 630), (632, 638), (770, 771), (775, 775), (777, 778),
             (780, 784), (794, 800), (802, 802), (904, 917), (919, 931), (962, 963), (966, 969), (971, 972), (1059, 1073))
_VAL = frozenset(number for first, last in _VAL_RUNS for number in range(first, last + 1))


def in_split(scene: str, split: str, version: str) -> bool:
    """Tell whether a scene as "scene-0103" of version "v1.0-trainval" or "v1.0-mini" belongs to "train" or "val".

    The small version has a split of its own.
    """
    validation = int(scene.rpartition('-')[2]) in (_MINI_VAL if version.endswith('mini') else _VAL)
    return validation == (split == 'val')
