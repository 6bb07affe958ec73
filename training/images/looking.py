# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""What methods that look at images while they train are given of them: pictures, and which point is at which pixel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Sequence

import cv2
import numpy as np
import torch
from torch import Tensor

from ros_kd.frames import CameraView, PairedFrame
from ros_kd.projection import OcclusionFilter, project

MEAN, DEVIATION = (np.array(values, np.float32) for values in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
"""Of ImageNet's pixels (RGB, 0..1), which all pre-trained networks expect to be taken off."""


@dataclass(frozen=True)
class Looking:
    """How images are brought to an image network.

    size: (height, width) that a whole image is resized to. crop: (height, width) that is cut out of that, from the
    bottom and at a random place along the width, as 2DPASS does on KITTI; None: nothing is cut. cameras: how many of a
    frame's cameras are looked through, drawn anew each time; 0: all. jitter: share by which brightness, contrast and
    saturation change either way. flip: mirror half of the images. occlusion: hides points behind nearer ones.
    """

    size: tuple[int, int] = (240, 400)
    crop: tuple[int, int] | None = None
    cameras: int = 1
    jitter: float = 0.4
    flip: bool = True
    occlusion: OcclusionFilter | None = OcclusionFilter()

    def __post_init__(self) -> None:
        if min(self.size) < 32 or (self.crop and any(part > whole for part, whole in zip(self.crop, self.size))):
            raise ValueError(f'images of size {self.size} with crop {self.crop} (height, width): expected 32 pixels or '
                             'more, and a crop that lies within the size')


@dataclass(frozen=True, eq=False)
class Look:
    """One image. pixels: float32 [3, h, w], normalised. rows: int64 [M], points of the scan. uv: float32 [M, 2]."""

    pixels: np.ndarray
    rows: np.ndarray
    uv: np.ndarray


@dataclass(frozen=True, eq=False)
class ImageBatch:
    """Images of a batch and the points that they show.

    images: float32 [I, 3, h, w], RGB, normalised as ImageNet's. rows: int64 [M], rows of the batch's points, those of
    all frames one after the other. image: int64 [M], which image shows the point. uv: float32 [M, 2], where (pixels of
    that image, centres at whole numbers).
    """

    images: Tensor
    rows: Tensor
    image: Tensor
    uv: Tensor

    @classmethod
    def of(cls, looks: Sequence[tuple[Look, ...]], points: Sequence[int]) -> ImageBatch | None:
        """Join the looks of frames with so many points; None if there are none at all."""
        starts = np.cumsum([0, *points[:-1]])
        flat = [(look, start) for frame, start in zip(looks, starts) for look in frame]
        if not flat:
            return None
        image = np.repeat(np.arange(len(flat)), [len(look.rows) for look, _ in flat])
        return cls(torch.from_numpy(np.stack([look.pixels for look, _ in flat])),
                   torch.from_numpy(np.concatenate([look.rows + start for look, start in flat])),
                   torch.from_numpy(image), torch.from_numpy(np.concatenate([look.uv for look, _ in flat])))

    def to(self, device: torch.device | str) -> ImageBatch:
        """Return it on another device."""
        return ImageBatch(*(tensor.to(device) for tensor in (self.images, self.rows, self.image, self.uv)))


def in_color(image: np.ndarray) -> np.ndarray:
    """Return an image [H, W, 3]; a grey one [H, W] has three equal channels."""
    return np.repeat(image[..., None], 3, 2) if image.ndim == 2 else image


def look(frame: PairedFrame, looking: Looking, random: np.random.Generator) -> tuple[Look, ...]:
    """Return what some of the frame's cameras see, changed at random."""
    views = list(frame.views)
    if looking.cameras and len(views) > looking.cameras:
        views = [views[i] for i in sorted(random.permutation(len(views))[:looking.cameras])]
    return tuple(_changed(_plain(frame, view, looking), looking, random) for view in views)


def look_all(frame: PairedFrame, looking: Looking) -> tuple[Look, ...]:
    """Return what all of the frame's cameras see, unchanged: whole images."""
    return tuple(_normalised(_plain(frame, view, looking)) for view in frame.views)


def _plain(frame: PairedFrame, view: CameraView, looking: Looking) -> Look:
    """The whole image uint8 [h, w, 3] at the wanted size, and where points are."""
    seen = project(frame.points, view, looking.occlusion)
    height, width = looking.size
    image = in_color(view.image())
    scale = np.array([width / image.shape[1], height / image.shape[0]], np.float32)
    smaller = cv2.INTER_AREA if scale.max() < 1 else cv2.INTER_LINEAR
    uv = (seen.uv + np.float32(0.5)) * scale - np.float32(0.5)
    return Look(cv2.resize(image, (width, height), interpolation=smaller), seen.index, uv)


def _changed(plain: Look, looking: Looking, random: np.random.Generator) -> Look:
    pixels, rows, uv = plain.pixels, plain.rows, plain.uv
    if looking.crop is not None:
        height, width = looking.crop
        top = pixels.shape[0] - height
        left = int(random.integers(0, pixels.shape[1] - width + 1))
        pixels, uv = pixels[top:, left:left + width], uv - np.array([left, top], np.float32)
        inside = ((uv >= -0.5) & (uv < np.array([width, height], np.float32) - np.float32(0.5))).all(1)
        rows, uv = rows[inside], uv[inside]
    if looking.flip and random.random() < 0.5:
        uv = uv.copy()
        uv[:, 0] = pixels.shape[1] - 1 - uv[:, 0]
        pixels = pixels[:, ::-1]
    if looking.jitter:
        pixels = jittered(pixels, looking.jitter, random)
    return _normalised(Look(pixels, rows, uv))


def jittered(pixels: np.ndarray, jitter: float, random: np.random.Generator) -> np.ndarray:
    """Return float32 [h, w, 3] in 0..255: pixels with brightness, contrast and saturation changed at random."""
    brightness, contrast, saturation = random.uniform(1 - jitter, 1 + jitter, 3).astype(np.float32)
    values = pixels.astype(np.float32) * brightness
    values = (values - values.mean()) * contrast + values.mean()
    grey = values.mean(2, keepdims=True)
    return np.clip((values - grey) * saturation + grey, 0, 255)


def _normalised(plain: Look) -> Look:
    values = (plain.pixels.astype(np.float32) / 255 - MEAN) / DEVIATION
    return Look(np.ascontiguousarray(values.transpose(2, 0, 1)), plain.rows, plain.uv)
