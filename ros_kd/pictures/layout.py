# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Pictures put together: captions, legends, grids, files."""

from __future__ import annotations

from pathlib import Path
from typing import Sequence

import cv2
import numpy as np

from ros_kd.taxonomy import Taxonomy

_FONT = cv2.FONT_HERSHEY_SIMPLEX
_PAPER, _INK = 255, (30, 30, 30)


def caption(picture: np.ndarray, text: str) -> np.ndarray:
    """Return the picture with a strip of text above it."""
    strip = np.full((24, picture.shape[1], 3), _PAPER, np.uint8)
    cv2.putText(strip, text, (4, 17), _FONT, 0.5, _INK, 1, cv2.LINE_AA)
    return np.concatenate([strip, picture])


def fit(picture: np.ndarray, width: int) -> np.ndarray:
    """Return the picture scaled to `width` pixels."""
    height = max(1, round(picture.shape[0] * width / picture.shape[1]))
    shrinking = width < picture.shape[1]
    return cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA if shrinking else cv2.INTER_LINEAR)


def stack(pictures: Sequence[np.ndarray], captions: Sequence[str] = (), columns: int = 1, gap: int = 6) -> np.ndarray:
    """Lay pictures uint8 [H, W, 3] of any sizes out in rows of `columns` on white paper.

    Raises ValueError without pictures or with another number of captions.
    """
    if not pictures or captions and len(captions) != len(pictures):
        raise ValueError(f'{len(pictures)} pictures with {len(captions)} captions: expected at least one picture and '
                         'one caption each, or none')
    if captions:
        pictures = [caption(picture, text) for picture, text in zip(pictures, captions)]
    rows = [pictures[start:start + columns] for start in range(0, len(pictures), columns)]
    return _join([_join(row, 1, gap) for row in rows], 0, gap)


def _join(pictures: Sequence[np.ndarray], axis: int, gap: int) -> np.ndarray:
    across = max(picture.shape[1 - axis] for picture in pictures)
    shape = [across, across, 3]
    shape[axis] = sum(picture.shape[axis] for picture in pictures) + gap * (len(pictures) - 1)
    sheet, start = np.full(shape, _PAPER, np.uint8), 0
    for picture in pictures:
        height, width = picture.shape[:2]
        top, left = (start, 0) if axis == 0 else (0, start)
        sheet[top:top + height, left:left + width] = picture
        start += picture.shape[axis] + gap
    return sheet


def legend(taxonomy: Taxonomy, counts: np.ndarray | None = None) -> np.ndarray:
    """Return a list of the classes with their colours, uint8 [H, W, 3].

    counts: number of points by class id; classes without any are left out, the others show their share.
    """
    total = max(1, int(counts.sum())) if counts is not None else 1
    lines = []
    for number, name in enumerate(taxonomy.names):
        if name is None or counts is not None and (number >= len(counts) or not counts[number]):
            continue
        share = '' if counts is None else f'  {100 * counts[number] / total:.1f} %'
        lines.append((taxonomy.colors[number], name + share))
    lines = lines or [((_PAPER,) * 3, 'no labelled points')]
    width = 40 + max(cv2.getTextSize(text, _FONT, 0.45, 1)[0][0] for _, text in lines)
    picture = np.full((8 + 20 * len(lines), width, 3), _PAPER, np.uint8)
    for row, (color, text) in enumerate(lines):
        top = 6 + 20 * row
        picture[top:top + 14, 6:26] = color
        cv2.rectangle(picture, (6, top), (25, top + 13), (150, 150, 150), 1)
        cv2.putText(picture, text, (32, top + 12), _FONT, 0.45, _INK, 1, cv2.LINE_AA)
    return picture


def write(path: Path | str, picture: np.ndarray, quality: int = 90) -> Path:
    """Write a PNG or JPEG (by the path's ending), making its folder. Raises ValueError for other endings."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix.lower() not in ('.png', '.jpg', '.jpeg'):
        raise ValueError(f'cannot write {path}: expected a name ending in .png or .jpg')
    settings = [] if path.suffix.lower() == '.png' else [cv2.IMWRITE_JPEG_QUALITY, quality]
    path.write_bytes(cv2.imencode(path.suffix, picture[..., ::-1], settings)[1])
    return path
