# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""Labelled images changed at random: scaled, cropped, mirrored, coloured."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from ros_kd.taxonomy import IGNORE
from training.images.datasets import LabelledImage
from training.images.looking import in_color, jittered


@dataclass(frozen=True)
class ImageAugmentation:
    """How training images are changed.

    crop: (height, width) that is cut out; None: as large as whole images are. scale: images are first resized to
    between these times the size of whole ones. flip: mirror half of them. jitter: share by which brightness, contrast
    and saturation change either way.
    """

    crop: tuple[int, int] | None = None
    scale: tuple[float, float] = (0.5, 2.0)
    flip: bool = True
    jitter: float = 0.4

    def __post_init__(self) -> None:
        if not 0 < self.scale[0] <= self.scale[1]:
            raise ValueError(f'scale of images is {self.scale}: expected two positive factors, the smaller one first')

    def __call__(self, sample: LabelledImage, size: tuple[int, int], random: np.random.Generator) -> LabelledImage:
        """Return a crop of a sample whose whole image would be resized to `size` (height, width)."""
        scale = np.exp(random.uniform(*np.log(self.scale)))
        whole = (max(round(size[0] * scale), 1), max(round(size[1] * scale), 1))
        crop = self.crop or size
        # A negative start: the image is smaller than the crop, and lies somewhere within it.
        start = [int(random.integers(min(have - want, 0), max(have - want, 0) + 1))
                 for have, want in zip(whole, crop)]
        changed = cut(sample, whole, (start[0], start[1]), crop)
        image, labels = changed.image, changed.labels
        if self.flip and random.random() < 0.5:
            image, labels = image[:, ::-1], labels[:, ::-1]
        if self.jitter:
            image = np.round(jittered(image, self.jitter, random)).astype(np.uint8)
        return LabelledImage(np.ascontiguousarray(image), np.ascontiguousarray(labels))


def cut(sample: LabelledImage, whole: tuple[int, int], start: tuple[int, int], crop: tuple[int, int]) -> LabelledImage:
    """Return the window [crop] at `start` of the sample resized to `whole`, all (height, width); labels stay whole ids.

    Beyond the image all is black and its label is IGNORE. Only the part that is needed is resized.
    """
    image, labels = in_color(sample.image), sample.labels
    canvas, ids = np.zeros((*crop, 3), np.uint8), np.full(crop, IGNORE, np.uint8)
    inside = [(max(s, 0), min(s + c, w)) for s, c, w in zip(start, crop, whole)]
    # The same window in the sample's own pixels, widened to whole ones.
    own = [(int(a * n / w), int(np.ceil(b * n / w))) for (a, b), n, w in zip(inside, labels.shape, whole)]
    part = tuple(slice(a, b) for a, b in own)
    size = tuple(b - a for a, b in inside)
    to = tuple(slice(a - s, b - s) for (a, b), s in zip(inside, start))
    shrunk = size[0] < own[0][1] - own[0][0]
    canvas[to] = cv2.resize(image[part], size[::-1], interpolation=cv2.INTER_AREA if shrunk else cv2.INTER_LINEAR)
    ids[to] = cv2.resize(labels[part], size[::-1], interpolation=cv2.INTER_NEAREST_EXACT)
    return LabelledImage(canvas, ids)
