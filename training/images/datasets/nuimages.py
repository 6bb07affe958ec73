# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""nuImages v1.0 (nuscenes.org/nuimages) in its official layout: masks of objects and of driveable surface.

Where no object and no driveable surface is drawn is none of the 11 classes; the vehicle itself and objects of other
categories (animals, debris ...) may be anything.
"""

from __future__ import annotations

import base64
from collections import defaultdict
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from ros_kd.datasets import DatasetError, Options
from ros_kd.datasets.files import read_table, thin
from ros_kd.images import ImageFile
from ros_kd.label_sets import get_taxonomy
from ros_kd.taxonomy import IGNORE
from training.images.datasets import BACKGROUND, ImageList, LabelledImage

KNOWN = 'split=train (or val, mini), cameras=CAM_FRONT (default: all), every=N (each Nth image), frames=N (at most N)'
_CATEGORIES = {
    'barrier': ('movable_object.barrier',),
    'bicycle': ('vehicle.bicycle',),
    'bus': ('vehicle.bus.bendy', 'vehicle.bus.rigid'),
    'car': ('vehicle.car',),
    'construction_vehicle': ('vehicle.construction',),
    'motorcycle': ('vehicle.motorcycle',),
    'pedestrian': ('human.pedestrian.adult', 'human.pedestrian.child', 'human.pedestrian.construction_worker',
                   'human.pedestrian.police_officer'),
    'traffic_cone': ('movable_object.trafficcone',),
    'trailer': ('vehicle.trailer',),
    'truck': ('vehicle.truck',),
    'driveable_surface': ('flat.driveable_surface',),
}


@dataclass(frozen=True)
class _Mask:
    """One drawn region. label: its class, or IGNORE. size: (height, width). counts: COCO's run lengths in base64."""

    label: int
    size: tuple[int, int]
    counts: str


def open(path: Path, options: Options) -> ImageList:
    """Open the annotated images of a split. Raises DatasetError saying what is missing."""
    split, cameras = options.text('split', 'train'), options.names('cameras')
    every, most = options.number('every', 1), options.number('frames', 0)
    options.finish('nuimages', KNOWN)
    tables = path / f'v1.0-{split}'
    sensors = {row['token']: row['channel'] for row in _rows(tables, 'sensor')}
    if unknown := sorted(set(cameras) - set(sensors.values())):
        raise DatasetError(f'{tables} has no camera {", ".join(unknown)}; it has {sorted(sensors.values())}')
    channels = {row['token']: sensors[row['sensor_token']] for row in _rows(tables, 'calibrated_sensor')}
    annotated = {row['key_camera_token'] for row in _rows(tables, 'sample')}
    images = [row for row in _rows(tables, 'sample_data') if row['token'] in annotated
              and (not cameras or channels[row['calibrated_sensor_token']] in cameras)]
    images = thin(sorted(images, key=lambda row: row['filename']), every, most)
    if not images:
        raise DatasetError(f'{tables} names no annotated images of these cameras')
    masks = _masks(tables, {row['token'] for row in images})
    return ImageList(f'nuimages {split}', get_taxonomy('nuimages-11'),
                     [partial(_read, path / row['filename'], tuple(masks[row['token']])) for row in images])


def _rows(tables: Path, name: str) -> list[dict]:
    return read_table(tables / f'{name}.json', 'expected the official tables of nuImages, v1.0-train, v1.0-val or '
                      f'v1.0-mini, in {tables.parent}')


def _masks(tables: Path, images: set[str]) -> dict[str, list[_Mask]]:
    """Return each image's masks in the devkit's order of drawing: surfaces, then objects by token."""
    names = get_taxonomy('nuimages-11').names
    labels = {category: names.index(name) for name, some in _CATEGORIES.items() for category in some}
    by_token = {row['token']: labels.get(row['name'], IGNORE) for row in _rows(tables, 'category')}
    found: dict[str, list[_Mask]] = defaultdict(list)
    for table in ('surface_ann', 'object_ann'):
        rows = [row for row in _rows(tables, table) if row['sample_data_token'] in images and row['mask'] is not None]
        for row in sorted(rows, key=lambda row: row['token']):
            height, width = row['mask']['size']
            mask = _Mask(by_token[row['category_token']], (height, width), row['mask']['counts'])
            found[row['sample_data_token']].append(mask)
    return found


def _read(file: Path, masks: tuple[_Mask, ...]) -> LabelledImage:
    from pycocotools import mask as coco  # only nuImages needs it

    image = ImageFile(file).read()
    labels = np.full(image.shape[:2], BACKGROUND, np.uint8)
    for mask in masks:
        if mask.size != labels.shape:
            raise DatasetError(f'image {file} is {labels.shape[1]}x{labels.shape[0]}, but a mask of it is '
                               f'{mask.size[1]}x{mask.size[0]}: are tables and images of the same release?')
        drawn = coco.decode({'size': list(mask.size), 'counts': base64.b64decode(mask.counts)})
        labels[drawn.astype(bool)] = mask.label
    return LabelledImage(image, labels)
