# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""Pictures of evaluated frames: labels beside the truth, and where they differ."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ros_kd.frames import PairedFrame
from ros_kd.pictures import class_colors, from_above, legend, over_image, stack, write
from ros_kd.projection import project
from ros_kd.taxonomy import IGNORE, Taxonomy
from training.targets import truth

_RIGHT, _WRONG, _UNKNOWN = (46, 139, 87), (220, 50, 50), (70, 70, 70)


def save_comparison(path: Path, frame: PairedFrame, label: np.ndarray, taxonomy: Taxonomy) -> Path:
    """Write labels uint8 [N], truth and errors from above, and the labels over each image; returns the path."""
    expected = truth(frame, taxonomy)
    colors = class_colors(label, taxonomy)
    errors = np.full((len(label), 3), _UNKNOWN, np.uint8)
    known = (expected != IGNORE) & (label != IGNORE)
    errors[known] = np.where((label == expected)[known, None], _RIGHT, _WRONG)
    pictures = [from_above(frame.points, shown) for shown in (colors, class_colors(expected, taxonomy), errors)]
    captions = ['labels', 'truth', 'right green, wrong red, unknown grey']
    for view in frame.views:
        seen = project(frame.points, view)
        pictures.append(over_image(view.image(), seen.uv, colors[seen.index], 2, seen.depth, dim=0.6))
        captions.append(f'labels over {view.name}')
    pictures.append(legend(taxonomy))
    return write(path, stack(pictures, [*captions, 'classes'], columns=3))
