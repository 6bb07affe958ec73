# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Points lie over images where they belong, and labels show in the colours of their classes."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from ros_kd.cameras import Camera
from ros_kd.datasets import open_dataset
from ros_kd.frames import CameraView, PairedFrame, Scan
from ros_kd.images import RawPixels
from ros_kd.inspection.drawing import DrawnFrame, Style, draw
from ros_kd.label_sets import get_taxonomy

TO_CAMERA = np.array([[0.0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1]])
GREY = np.full((100, 200, 3), 50, np.uint8)


def _frame(image: np.ndarray = GREY, label: np.ndarray | None = None, **view) -> PairedFrame:
    points = np.array([[10, 0, 0], [20, 0, 0], [10, 2, 0], [-5, 0, 0]], np.float32)
    camera = Camera(200, 100, np.array([[150.0, 0, 100], [0, 150, 50], [0, 0, 1]]))
    seen = CameraView('front', 12_000_000, camera, TO_CAMERA, RawPixels(image), **view)
    taxonomy = None if label is None else get_taxonomy('cityscapes')
    return PairedFrame(Scan(10_000_000, points, label=label, taxonomy=taxonomy), (seen,), 'only')


def _captions(drawn: DrawnFrame) -> list[str]:
    return [picture.caption for picture in drawn.views[0].pictures + drawn.above]


def test_points_are_drawn_where_they_fall_and_counted_with_the_hidden_and_the_delay() -> None:
    drawn = draw(_frame(), Style(radius=2))
    view, = drawn.views
    assert (view.camera, view.delay, view.visible, view.hidden) == ('front', 2_000_000, 2, 1)
    changed = np.argwhere((view.pictures[0].pixels != 50).any(2)).mean(0)
    np.testing.assert_allclose(changed, [50, (100 + 70) / 2], atol=1)  # pixels of (10, 0, 0) and (10, 2, 0)
    everything, = draw(_frame(), Style(occlusion=None)).views
    assert (everything.visible, everything.hidden) == (3, 0)


def test_a_label_image_adds_a_picture_of_what_points_take_from_it() -> None:
    assert len(draw(_frame(), Style()).views[0].pictures) == 1
    labels = RawPixels(np.full((100, 200), 13, np.uint8))
    picture = draw(_frame(label_pixels=labels, taxonomy=get_taxonomy('cityscapes')), Style()).views[0].pictures[1]
    assert 'cityscapes' in picture.caption
    assert (picture.pixels[50, 100] == [0, 0, 142]).all()  # the colour of cars


def test_labels_of_points_add_pictures_and_are_mapped() -> None:
    label = np.array([13, 13, 0, 255], np.uint16)
    own = _captions(draw(_frame(label=label), Style()))
    assert any('labels of the points (cityscapes)' in caption for caption in own)
    drawn = draw(_frame(label=label), Style(taxonomy=get_taxonomy('street-12')))
    captions = _captions(drawn)
    assert any('(street-12)' in caption for caption in captions) and 'share of the points' in captions
    assert (drawn.views[0].pictures[1].pixels[50, 100] == [40, 100, 240]).all()  # the colour of cars there
    with pytest.raises(ValueError, match='no map from labels "cityscapes" to "pandaset"'):
        draw(_frame(label=label), Style(taxonomy=get_taxonomy('pandaset')))


def test_pictures_are_no_wider_than_asked() -> None:
    assert draw(_frame(), Style(width=80)).views[0].pictures[0].pixels.shape == (40, 80, 3)
    assert draw(_frame(), Style(width=800)).views[0].pictures[0].pixels.shape == (100, 200, 3)


@pytest.mark.parametrize('image', [GREY[..., 0], np.full((100, 200), 50 << 8, np.uint16)])
def test_grey_images_of_8_and_16_bits_are_drawn_as_colours(image: np.ndarray) -> None:
    picture = draw(_frame(image), Style()).views[0].pictures[0].pixels
    assert picture.shape == (100, 200, 3) and picture.dtype == np.uint8 and (picture[0, 0] == 50).all()


def test_an_unknown_camera_is_named() -> None:
    with pytest.raises(KeyError, match='no camera "rear"'):
        draw(_frame(), Style(cameras=('rear',)))


def test_real_scans_colour_the_picture(real_data: Path) -> None:
    folder = real_data / 'pandaset' / '002'
    frame = open_dataset(f'pandaset:{folder}')[0]
    view, = draw(frame, Style(('front_camera',), taxonomy=get_taxonomy('street-12'), width=960)).views
    image = cv2.imread(str(folder / 'front_camera' / '00.jpg'))[..., ::-1]
    assert len(view.pictures) == 2
    changed = np.abs(view.pictures[0].pixels.astype(int) - image).max(2) > 60
    assert 0.1 < changed.mean() < 0.8
