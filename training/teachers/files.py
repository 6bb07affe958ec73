# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""Answers of an image network that were written to disk: label images, or features and their linear classifier."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ros_kd.frames import CameraView
from ros_kd.images import ImageFile
from ros_kd.label_sets import get_taxonomy
from training.frames.sampling import Grid, bilinear, bilinear_votes
from training.teachers import FeatureTeacher, Teacher
from training.teachers.classifier import Classifier


def answer_for(view: CameraView, folder: Path, suffix: str) -> Path:
    """Return the file under `folder` whose path ends like the image's, sharing as many folders as possible.

    For an image .../kitti_object/training/image_2/000008.png: kitti_object/training/image_2/000008<suffix>. Raises
    ValueError naming the image and the folder if there is none.
    """
    if not isinstance(view.pixels, ImageFile):
        raise ValueError(f'the image of camera "{view.name}" is no file ({type(view.pixels).__name__}), so no answer '
                         f'can be found for it under {folder}: use a teacher that looks at the image, or FrameLabels')
    parts = view.pixels.path.absolute().with_suffix(suffix).parts[1:]
    for start in range(len(parts)):
        candidate = folder.joinpath(*parts[start:])
        if candidate.is_file():
            return candidate
    raise ValueError(f'the teacher has no answer for {view.pixels.path}: no file {folder}/**/{"/".join(parts[-3:])} '
                     'or shorter')


class _OnDisk(Teacher):
    """A teacher whose answers lie under a folder. Those of another network belong in another folder: caches of targets
    know them by it."""

    def __init__(self, folder: Path, taxonomy: str) -> None:
        self.folder = Path(folder).expanduser()
        self.taxonomy = get_taxonomy(taxonomy)

    @property
    def identity(self) -> str:
        """See Teacher."""
        return f'{type(self).__name__} {self.folder.absolute()} {self.taxonomy.name}'

    def locate(self, root: Path) -> None:
        """See Teacher. Raises ValueError if the folder does not exist."""
        self.folder = root / self.folder
        if not self.folder.is_dir():
            raise ValueError(f'the teacher\'s folder {self.folder} does not exist')


class LabelFiles(_OnDisk):
    """One label image (PNG, uint8, class ids, 255 = unknown) for each image, at the image's size.

    folder: found by the longest ending of the image's path that exists there. taxonomy: the classes of the ids.
    """

    def __init__(self, folder: Path, taxonomy: str = 'cityscapes') -> None:
        super().__init__(folder, taxonomy)

    def probabilities(self, view: CameraView, uv: np.ndarray) -> np.ndarray:
        """Return the share of each class around the pixels; see Teacher. Raises ValueError if the sizes differ."""
        path = answer_for(view, self.folder, '.png')
        labels = ImageFile(path).read()
        if labels.shape != (view.camera.height, view.camera.width):
            raise ValueError(f'label image {path} has shape {labels.shape}, but the image of camera "{view.name}" '
                             f'({view.pixels.path}) is {view.camera.width}x{view.camera.height}')
        return bilinear_votes(labels, uv, len(self.taxonomy))


class FeatureFiles(_OnDisk, FeatureTeacher):
    """One feature map (npz, "features" float16 [D, h, w]) for each image, and the network's linear classifier.

    folder: holds features/ and classifier.npz. taxonomy: its classes are the classifier's first rows; further rows
    (background) are nobody's mass. temperature: of the softmax; above 1 softens. subsampling: 2 if the maps are every
    second pixel, in each direction, of the network's feature maps, which cover the image from edge to edge; 1 if all.
    """

    def __init__(self, folder: Path, taxonomy: str = 'cityscapes', temperature: float = 1.0,
                 subsampling: int = 1) -> None:
        super().__init__(folder, taxonomy)
        self.temperature = temperature
        self.shift = 0.5 - 0.5 / subsampling  # of the first cell's centre, in cells; see sampling.Grid
        self.subsampling = subsampling

    @property
    def identity(self) -> str:
        """See Teacher."""
        return f'{super().identity} temperature {self.temperature} /{self.subsampling}'

    @property
    def classifier(self) -> Classifier:
        """The network's last layer. Raises ValueError if its file is missing or knows too few classes."""
        path = self.folder / 'classifier.npz'
        classifier = Classifier.load(path)
        if len(classifier.bias) < len(self.taxonomy):
            raise ValueError(f'{path} knows {len(classifier.bias)} classes, but "{self.taxonomy.name}" has '
                             f'{len(self.taxonomy)}')
        return classifier

    @property
    def width(self) -> int:
        """See FeatureTeacher."""
        return self.classifier.weight.shape[1]

    def features(self, view: CameraView, uv: np.ndarray) -> np.ndarray:
        """Return the network's features float32 [M, D] at pixels uv [M, 2]."""
        path = answer_for(view, self.folder / 'features', '.npz')
        with np.load(path, allow_pickle=False) as data:
            features = data['features'].astype(np.float32)
        width = self.width
        if features.ndim != 3 or len(features) != width:
            raise ValueError(f'{path} has features of shape {features.shape}, expected [{width}, h, w] as '
                             'classifier.npz needs')
        size = (features.shape[2], features.shape[1])
        return bilinear(features, uv, Grid.covering(size, (view.camera.width, view.camera.height), self.shift))
