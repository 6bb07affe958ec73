# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Labelled images in the official layouts of their data sets, written here in miniature; and their augmentation."""

from __future__ import annotations

import base64
import json
import pickle
from dataclasses import replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
from streets import BUILDING, ROAD, street

from ros_kd.datasets import DatasetError
from ros_kd.datasets.files import FrameList
from ros_kd.frames import PairedFrame
from ros_kd.images import RawPixels
from ros_kd.label_sets import get_taxonomy
from training.images.augmentation import ImageAugmentation, cut
from training.images.datasets import BACKGROUND, LabelledImage, lookup, open_images
from training.images.datasets.frames import FrameImages


def _write(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), pixels)


def write_cityscapes(root: Path, split: str = 'train', images: int = 2) -> Path:
    """A red road (labelId 7) below a blue sky (23); the first row is the rectification's border (3)."""
    for number in range(images):
        image, ids = np.zeros((40, 60, 3), np.uint8), np.full((40, 60), 23, np.uint8)
        image[:20, :, 0] = image[20:, :, 2] = 200  # BGR
        ids[20:], ids[0] = 7, 3
        name = f'ulm/ulm_{number:06d}_000019'
        _write(root / f'leftImg8bit/{split}/{name}_leftImg8bit.png', image)
        _write(root / f'gtFine/{split}/{name}_gtFine_labelIds.png', ids)
    return root


def run_lengths(mask: np.ndarray) -> str:
    """COCO's compressed run lengths of a mask [H, W], in base64 as nuImages has them (maskApi.c: rleToString)."""
    flat = mask.ravel(order='F').astype(np.int8)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flat]))).tolist()
    counts = np.diff([0, *edges, flat.size]).tolist()
    text = bytearray()
    for i, count in enumerate(counts):
        value, more = count - (counts[i - 2] if i > 2 else 0), True
        while more:
            piece, value = value & 0x1f, value >> 5
            more = value != -1 if piece & 0x10 else value != 0
            text.append((piece | (0x20 if more else 0)) + 48)
    return base64.b64encode(bytes(text)).decode()


def write_nuimages(root: Path) -> Path:
    """One annotated image of CAM_FRONT: driveable surface below, a car on it, an animal, and the vehicle's bonnet; one
    image that is not annotated."""
    tables = root / 'v1.0-mini'
    tables.mkdir(parents=True)
    names = ['flat.driveable_surface', 'vehicle.ego', 'vehicle.car', 'animal']
    shape, regions = (40, 60), {'flat.driveable_surface': np.s_[20:], 'vehicle.ego': np.s_[36:],
                                'vehicle.car': np.s_[15:30, 10:25], 'animal': np.s_[5:10, 40:50]}
    annotations: dict[str, list] = {'surface_ann': [], 'object_ann': []}
    for number, name in enumerate(names):
        mask = np.zeros(shape, bool)
        mask[regions[name]] = True
        table = 'surface_ann' if name in names[:2] else 'object_ann'
        annotations[table].append({'token': f'{number}', 'sample_data_token': 'key', 'category_token': name,
                                   'mask': {'size': list(shape), 'counts': run_lengths(mask)}})
    annotations['object_ann'].append({'token': '9', 'sample_data_token': 'key', 'category_token': 'vehicle.car',
                                      'mask': None})
    rows = {**annotations, 'category': [{'token': name, 'name': name} for name in names],
            'sensor': [{'token': 's', 'channel': 'CAM_FRONT'}],
            'calibrated_sensor': [{'token': 'c', 'sensor_token': 's'}],
            'sample': [{'token': 'x', 'key_camera_token': 'key'}],
            'sample_data': [{'token': token, 'filename': f'{folder}/CAM_FRONT/{token}.jpg',
                             'calibrated_sensor_token': 'c'}
                            for token, folder in (('key', 'samples'), ('b', 'sweeps'))]}
    for name, some in rows.items():
        (tables / f'{name}.json').write_text(json.dumps(some))
    _write(root / 'samples/CAM_FRONT/key.jpg', np.full((*shape, 3), 128, np.uint8))
    return root


def test_cityscapes_has_train_ids(tmp_path):
    images = open_images(f'cityscapes:{write_cityscapes(tmp_path)}?split=train')
    assert len(images) == 2 and images.taxonomy.name == 'cityscapes'
    sample = pickle.loads(pickle.dumps(images))[1]
    assert sample.image[30, 0].tolist() == [200, 0, 0] and sample.image[5, 0].tolist() == [0, 0, 200]
    assert [set(part.flat) for part in np.split(sample.labels, [1, 20])] == [{255}, {10}, {0}]
    assert len(open_images(f'cityscapes:{tmp_path}?every=2')) == 1


def test_cityscapes_says_what_is_missing(tmp_path):
    with pytest.raises(DatasetError, match='expected leftImg8bit/val'):
        open_images(f'cityscapes:{write_cityscapes(tmp_path)}?split=val')
    with pytest.raises(DatasetError, match='no city bonn; it has \\[\'ulm\'\\]'):
        open_images(f'cityscapes:{tmp_path}?cities=bonn')
    first = next((tmp_path / 'leftImg8bit').rglob('*_000000_*.png'))
    _write(first, np.zeros((20, 30, 3), np.uint8))
    with pytest.raises(DatasetError, match='labelIds.png is 60x40, but its image .*_leftImg8bit.png is 30x20'):
        open_images(f'cityscapes:{tmp_path}')[0]
    next((tmp_path / 'gtFine').rglob('*.png')).unlink()
    with pytest.raises(DatasetError, match='has no labels'):
        open_images(f'cityscapes:{tmp_path}')


def test_nuimages_draws_masks_of_surfaces_and_objects(tmp_path):
    pytest.importorskip('pycocotools')
    images = open_images(f'nuimages:{write_nuimages(tmp_path)}?split=mini')
    assert len(images) == 1 and images.taxonomy.name == 'nuimages-11'
    labels, names = images[0].labels, images.taxonomy.names
    assert set(labels[15:30, 10:25].flat) == {names.index('car')}
    assert set(labels[20:36, 30:].flat) == {names.index('driveable_surface')}
    assert set(labels[36:].flat) == set(labels[5:10, 40:50].flat) == {255}  # the bonnet, and an animal
    assert set(labels[:5].flat) == {BACKGROUND}
    assert len(pickle.loads(pickle.dumps(images))) == 1


def test_nuimages_says_what_is_missing(tmp_path):
    with pytest.raises(DatasetError, match='sensor.json is missing: expected the official tables'):
        open_images(f'nuimages:{write_nuimages(tmp_path)}?split=train')
    with pytest.raises(DatasetError, match='no camera CAM_BACK'):
        open_images(f'nuimages:{tmp_path}?split=mini&cameras=CAM_BACK')


def test_views_of_frames_are_labelled_images_that_are_rendered_once():
    asked = []

    def read(seed: int) -> PairedFrame:
        asked.append(seed)
        frame = street(seed)
        image = np.random.default_rng(seed).integers(0, 255, (60, 80, 3), dtype=np.uint8)
        return replace(frame, views=(replace(frame.views[0], pixels=RawPixels(image)),) * 2)

    images = FrameImages(FrameList('streets', [partial(read, 0), partial(read, 1)]))
    assert len(images) == 4 and images.taxonomy.name == 'cityscapes'
    view = read(1).views[0]
    asked.clear()
    for sample in (images[3], images[3]):
        assert np.array_equal(sample.image, view.image()) and np.array_equal(sample.labels, view.labels())
    assert asked == [1]


def test_frames_without_label_images_are_refused():
    frame = street()
    bare = replace(frame, views=(replace(frame.views[0], label_pixels=None),))
    with pytest.raises(DatasetError, match='views of data set bare carry no label images'):
        FrameImages(FrameList('bare', [lambda: bare]))
    mixed = FrameImages(FrameList('mixed', [lambda: frame, lambda: bare]))
    with pytest.raises(DatasetError, match='"front" at 1000 of mixed has no label image'):
        mixed[1]


def test_a_class_that_the_target_lacks_is_none_of_its_classes():
    table = lookup(get_taxonomy('cityscapes'), street_12 := get_taxonomy('street-12'))
    assert table[0] == 0 and table[13] == 8  # road, car
    assert table[10] == table[BACKGROUND] == len(street_12)  # sky
    assert table[255] == 255


def _halves() -> LabelledImage:
    image, labels = np.zeros((60, 80, 3), np.uint8), np.full((60, 80), BUILDING, np.uint8)
    image[:30], labels[30:] = 255, ROAD
    return LabelledImage(image, labels)


def test_a_cut_resizes_image_and_labels_alike():
    found = cut(_halves(), (120, 160), (40, 20), (40, 64))
    assert (found.image[:19] == 255).all() and (found.image[21:] == 0).all()
    assert set(found.labels[:20].flat) == {BUILDING} and set(found.labels[20:].flat) == {ROAD}
    small = cut(_halves(), (30, 40), (-10, -5), (64, 64))
    assert set(small.labels[:10].flat) == set(small.labels[:, :5].flat) == set(small.labels[40:].flat) == {255}
    assert (small.labels[10:25, 5:45] == BUILDING).all() and (small.labels[25:40, 5:45] == ROAD).all()


def test_augmented_images_keep_image_and_labels_together():
    augmentation = ImageAugmentation((32, 48), scale=(0.3, 2), jitter=0.3)
    samples = [augmentation(_halves(), (60, 80), np.random.default_rng(seed)) for seed in range(30)]
    assert all(sample.image.shape == (32, 48, 3) for sample in samples)
    bright = [sample.image[sample.labels == BUILDING].mean() for sample in samples if (sample.labels == BUILDING).any()]
    dark = [sample.image[sample.labels == ROAD].mean() for sample in samples if (sample.labels == ROAD).any()]
    assert min(bright) > 100 > 60 > max(dark)
    assert any((sample.labels == 255).any() for sample in samples)
    again = augmentation(_halves(), (60, 80), np.random.default_rng(3))
    assert np.array_equal(again.image, samples[3].image) and np.array_equal(again.labels, samples[3].labels)
