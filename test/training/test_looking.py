# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""What methods are given of images: a point stays at the pixel that shows it, whatever is done to the image."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from streets import street

from ros_kd.frames import PairedFrame
from ros_kd.images import RawPixels
from ros_kd.projection import project
from training.frames.sampling import bilinear
from training.images.looking import DEVIATION, MEAN, ImageBatch, Look, Looking, look, look_all

PLAIN = Looking((60, 80), cameras=0, jitter=0, flip=False)


def mapped(cameras: int = 1, grey: bool = False) -> PairedFrame:
    """A street whose image says where each pixel is: red 2 u + 20, green 2 v + 20, blue the number of the camera."""
    frame = street(3)
    view, views = frame.views[0], []
    for number in range(cameras):
        v, u = np.mgrid[:60, :80]
        image = np.stack([2 * u + 20, 2 * v + 20, np.full_like(u, 60 * number)], 2).astype(np.uint8)
        views.append(replace(view, name=f'camera{number}', pixels=RawPixels(image[..., 0] if grey else image)))
    return replace(frame, views=tuple(views))


def place(seen: Look, uv: np.ndarray | None = None) -> np.ndarray:
    """The pixels u, v of the original image that are shown at uv (where the points are) [M, 2]."""
    values = bilinear(seen.pixels, seen.uv if uv is None else uv) * DEVIATION + MEAN
    return (values[:, :2] * 255 - 20) / 2


def away_from_border(seen: Look) -> np.ndarray:
    """Bool [M]: points whose four neighbouring pixels are inside, where interpolation is exact."""
    height, width = seen.pixels.shape[1:]
    return ((seen.uv > 1) & (seen.uv < np.array([width - 2, height - 2]))).all(1)


CHANGES = {'as it is': {}, 'smaller': {'size': (40, 40)}, 'larger': {'size': (120, 200)}, 'mirrored': {'flip': True},
           'cropped': {'crop': (33, 50)}, 'all': {'size': (90, 120), 'crop': (45, 64), 'flip': True}}


@pytest.mark.parametrize('change', CHANGES.values(), ids=CHANGES)
def test_points_stay_at_the_pixels_that_show_them(change):
    frame = mapped()
    whole = project(frame.points, frame.views[0])
    expected = dict(zip(whole.index.tolist(), whole.uv))
    looking, kinds = replace(PLAIN, **change), set()
    for seed in range(6):
        (seen,) = look(frame, looking, np.random.default_rng(seed))
        assert seen.pixels.shape == (3, *(looking.crop or looking.size)) and seen.pixels.dtype == np.float32
        inner = away_from_border(seen)
        assert inner.sum() > 20
        wanted = np.array([expected[row] for row in seen.rows.tolist()])
        assert np.abs(place(seen) - wanted)[inner].max() < 1  # half a step of uint8, and what INTER_AREA smooths
        kinds.add(bool(np.corrcoef(seen.uv[:, 0], wanted[:, 0])[0, 1] < 0))
    assert kinds == ({False, True} if looking.flip else {False})


def test_what_is_cropped_away_is_not_seen():
    looking, frame = replace(PLAIN, crop=(30, 40)), mapped()
    whole = project(frame.points, frame.views[0])
    lefts = set()
    for seed in range(8):
        (seen,) = look(frame, looking, np.random.default_rng(seed))
        left = int(np.rint(place(seen, np.zeros((1, 2), np.float32))[0, 0]))
        assert int(np.rint(place(seen, np.zeros((1, 2), np.float32))[0, 1])) == 30  # from the bottom
        inside = (np.abs(whole.uv - [left + 19.5, 44.5]) < [20, 15]).all(1)
        assert seen.rows.tolist() == whole.index[inside].tolist()
        lefts.add(left)
    assert len(lefts) > 3


def test_jitter_changes_colours_and_no_places():
    frame = mapped()
    quiet, loud = (look(frame, replace(PLAIN, crop=(40, 60), flip=True, jitter=jitter), np.random.default_rng(4))[0]
                   for jitter in (0, 0.4))
    assert np.array_equal(quiet.rows, loud.rows) and np.array_equal(quiet.uv, loud.uv)
    assert np.abs(quiet.pixels - loud.pixels).max() > 0.1
    lowest, highest = (-MEAN / DEVIATION)[:, None, None], ((1 - MEAN) / DEVIATION)[:, None, None]
    assert (loud.pixels >= lowest - 1e-5).all() and (loud.pixels <= highest + 1e-5).all()


def test_so_many_cameras_are_drawn():
    frame = mapped(cameras=4)

    def shown(looks: tuple[Look, ...]) -> tuple[int, ...]:
        return tuple(int(np.rint(((seen.pixels * DEVIATION[:, None, None] + MEAN[:, None, None]) * 255)[2, 0, 0] / 60))
                     for seen in looks)

    drawn = {shown(look(frame, replace(PLAIN, cameras=2), np.random.default_rng(seed))) for seed in range(20)}
    assert all(len(set(one)) == 2 for one in drawn) and set(sum(drawn, ())) == {0, 1, 2, 3}
    assert shown(look(frame, PLAIN, np.random.default_rng(0))) == (0, 1, 2, 3)
    assert shown(look_all(frame, replace(PLAIN, cameras=1))) == (0, 1, 2, 3)


def test_validation_sees_whole_images_unchanged():
    frame = mapped()
    looking = Looking((60, 80), crop=(32, 32), jitter=0.4, flip=True)
    (seen,) = look_all(frame, looking)
    assert seen.pixels.shape == (3, 60, 80)
    (plain,) = look(frame, PLAIN, np.random.default_rng(0))
    assert np.array_equal(seen.pixels, plain.pixels) and np.array_equal(seen.uv, plain.uv)


def test_grey_images_have_three_channels():
    (seen,) = look_all(mapped(grey=True), PLAIN)
    colours = seen.pixels * DEVIATION[:, None, None] + MEAN[:, None, None]
    assert np.allclose(colours[0], colours[1], atol=1e-5) and np.allclose(colours[0], colours[2], atol=1e-5)


def test_images_of_several_frames_are_joined():
    frames = [mapped(2), replace(mapped(), views=()), mapped(1)]
    looks = [look_all(frame, PLAIN) for frame in frames]
    points = [len(frame.scan) for frame in frames]
    batch = ImageBatch.of(looks, points)
    assert batch.images.shape == (3, 3, 60, 80)
    xyz = np.concatenate([frame.points for frame in frames])[batch.rows.numpy()]
    view = frames[0].views[0]
    for number, frame in enumerate((0, 0, 2)):
        mine = (batch.image == number).numpy()
        assert set(batch.rows.numpy()[mine] // points[0]) == {frame}
        expected = project(xyz[mine], view, None)
        assert np.allclose(batch.uv.numpy()[mine], expected.uv, atol=1e-4)
        assert torch.equal(batch.images[number], torch.from_numpy(sum(looks, ())[number].pixels))
    assert ImageBatch.of([(), ()], [5, 6]) is None


@pytest.mark.parametrize('size, crop', [((16, 400), None), ((60, 80), (70, 80)), ((60, 80), (60, 81))])
def test_sizes_that_cannot_be_are_refused(size, crop):
    with pytest.raises(ValueError, match='height, width'):
        Looking(size, crop)
