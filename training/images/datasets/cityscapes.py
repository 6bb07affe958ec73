# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""Cityscapes (Cordts et al., CVPR 2016) in its official layout: leftImg8bit and gtFine, labels of the 19 trainIds."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from ros_kd.datasets import DatasetError, Options
from ros_kd.datasets.files import thin
from ros_kd.images import ImageFile
from ros_kd.label_sets import get_taxonomy
from ros_kd.taxonomy import IGNORE
from training.images.datasets import ImageList, LabelledImage

KNOWN = 'split=train (or val), cities=aachen,bochum (default: all), every=N (each Nth image), frames=N (at most N)'
# cityscapesscripts/helpers/labels.py: the id of each trainId; all other ids are not evaluated.
_IDS = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
_TRAIN_IDS = np.full(256, IGNORE, np.uint8)
_TRAIN_IDS[list(_IDS)] = np.arange(len(_IDS))
_IMAGE, _LABELS = '_leftImg8bit.png', '_gtFine_labelIds.png'


def open(path: Path, options: Options) -> ImageList:
    """Open the images of a split. Raises DatasetError saying what is missing."""
    split, cities = options.text('split', 'train'), options.names('cities')
    every, most = options.number('every', 1), options.number('frames', 0)
    options.finish('cityscapes', KNOWN)
    folder = path / 'leftImg8bit' / split
    if not folder.is_dir():
        raise DatasetError(f'no Cityscapes images at {folder}: expected leftImg8bit/{split}/CITY/*{_IMAGE} and '
                           f'gtFine/{split}/CITY/*{_LABELS} in {path}')
    there = sorted(city.name for city in folder.iterdir() if city.is_dir())
    if missing := sorted(set(cities) - set(there)):
        raise DatasetError(f'Cityscapes split {split} at {path} has no city {", ".join(missing)}; it has {there}')
    images = [image for city in cities or there for image in sorted((folder / city).glob(f'*{_IMAGE}'))]
    if not images:
        raise DatasetError(f'no images like {folder}/CITY/*{_IMAGE}')
    return ImageList(f'cityscapes {split}', get_taxonomy('cityscapes'),
                     [partial(_read, image, _labels_of(path, image)) for image in thin(images, every, most)])


def _labels_of(root: Path, image: Path) -> Path:
    city = image.parent
    labels = root / 'gtFine' / city.parent.name / city.name / image.name.replace(_IMAGE, _LABELS)
    if not labels.is_file():
        raise DatasetError(f'image {image} has no labels {labels}: was gtFine unpacked completely? (The test split has '
                           'no public labels.)')
    return labels


def _read(image: Path, labels: Path) -> LabelledImage:
    ids = ImageFile(labels).read()
    if ids.ndim != 2 or ids.dtype != np.uint8:
        raise DatasetError(f'{labels} is {ids.dtype} {ids.shape}, expected one channel of uint8 label ids')
    pixels = ImageFile(image).read()
    if pixels.shape[:2] != ids.shape:
        raise DatasetError(f'{labels} is {ids.shape[1]}x{ids.shape[0]}, but its image {image} is {pixels.shape[1]}x'
                           f'{pixels.shape[0]}: was one of both resized?')
    return LabelledImage(pixels, _TRAIN_IDS[ids])
