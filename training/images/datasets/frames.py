# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""The label images of paired frames: of the simulated cameras, or of recorded bags."""

from __future__ import annotations

import cv2
import numpy as np

from ros_kd.datasets import Dataset, DatasetError, open_dataset
from ros_kd.frames import CameraView
from ros_kd.images import EncodedPixels, ImageFile
from training.images.datasets import LabelledImage


class FrameImages:
    """All views of a data set's frames, one after the other. Images that no file holds are rendered once."""

    def __init__(self, frames: Dataset) -> None:
        if not len(frames):
            raise DatasetError(f'data set {frames.name} has no frames')
        self.frames, self.name = frames, frames.name
        views = frames[0].views
        if not views or views[0].label_pixels is None or views[0].taxonomy is None:
            raise DatasetError(f'the views of data set {self.name} carry no label images: use simulated drives, or a '
                               'bag with label images')
        self.taxonomy, self._cameras = views[0].taxonomy, len(views)
        self._rendered: dict[int, tuple[EncodedPixels, EncodedPixels]] = {}

    def __len__(self) -> int:
        return len(self.frames) * self._cameras

    def __getitem__(self, index: int) -> LabelledImage:
        """Return one view. Raises DatasetError if it has no label image or another taxonomy than the first frame's."""
        if index not in self._rendered:
            number = index // self._cameras
            frame = self.frames[number]
            if not frame.views:
                raise DatasetError(f'frame {frame.key} of {self.name} has no images')
            # A camera may have dropped an image.
            views = [frame.views[camera % len(frame.views)] for camera in range(self._cameras)]
            view = views[index % self._cameras]
            if isinstance(view.pixels, (EncodedPixels, ImageFile)):
                return self._read(view)
            for camera, other in enumerate(views):  # at once: the frame's scan is cast each time, too
                image = self._read(other)
                self._rendered[number * self._cameras + camera] = _encoded(image.image), _encoded(image.labels)
        return LabelledImage(*(pixels.read() for pixels in self._rendered[index]))

    def _read(self, view: CameraView) -> LabelledImage:
        labels = view.labels()
        if labels is None or view.taxonomy is None or view.taxonomy.names != self.taxonomy.names:
            raise DatasetError(f'the view of camera "{view.name}" at {view.stamp} of {self.name} has '
                               f'{"no label image" if labels is None else "labels of other classes"}, expected labels '
                               f'of "{self.taxonomy.name}"')
        return LabelledImage(view.image(), labels)


def open(specification: str) -> FrameImages:
    """Open the views of a data set of ros_kd.datasets. Raises DatasetError saying what was looked for."""
    return FrameImages(open_dataset(specification))


def _encoded(pixels: np.ndarray) -> EncodedPixels:
    if pixels.ndim == 3:
        pixels = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
    return EncodedPixels(cv2.imencode('.png', pixels)[1], 'png', 'rendered image')
