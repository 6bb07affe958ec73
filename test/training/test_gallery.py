# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""The page of the frames that went worst."""

from __future__ import annotations

import re
from dataclasses import replace

import cv2
import numpy as np
import pytest
from streets import street, write_drive

from ros_kd.frames import PairedFrame
from ros_kd.label_sets import get_taxonomy
from ros_kd.scores import Confusion
from training.__main__ import main
from training.scores.gallery import Gallery, draw_confusion

STREET = get_taxonomy('street-12')
ROAD, BUILDING, VEGETATION = (STREET.names.index(name) for name in ('road', 'building', 'vegetation'))


def labelled(frame: PairedFrame, wrong: int, as_class: int = VEGETATION) -> np.ndarray:
    """The frame's labels with so many points of buildings taken for another class."""
    label = frame.scan.label.astype(np.uint8).copy()
    label[np.flatnonzero(label == BUILDING)[:wrong]] = as_class
    return label


@pytest.fixture
def gallery(tmp_path) -> Gallery:
    """Six frames with 10 to 60 wrong points, not in this order; two are kept."""
    gallery = Gallery(tmp_path / 'worst', STREET, most=2)
    for seed, wrong in enumerate((30, 60, 10, 50, 20, 40)):
        frame = street(seed)
        gallery.add('streets', frame, labelled(frame, wrong))
    return gallery


def test_the_frames_with_the_lowest_accuracy_are_kept(gallery, tmp_path):
    assert [frame.key for frame in gallery.frames] == ['street1', 'street3']
    assert [frame.accuracy for frame in gallery.frames] == pytest.approx([1 - 60 / 600, 1 - 50 / 600])
    assert sorted(path.name for path in (tmp_path / 'worst').iterdir()) == ['00002-street1.png', '00004-street3.png']
    assert gallery.frames[0].mistaken == 'building taken for vegetation (10.0 % of the points)'


def test_the_page_shows_pictures_that_are_there_and_the_figures(gallery, tmp_path):
    whole = Confusion.empty(len(STREET))
    for seed, wrong in ((0, 0), (1, 60)):
        whole.add(street(seed).scan.label.astype(np.uint8), labelled(street(seed), wrong))
    page = gallery.write('student <x>', whole).read_text()
    shown = re.findall(r'src="([^"]+)"', page)
    assert shown == ['confusion.svg', '00002-street1.png', '00004-street3.png']
    assert all((tmp_path / 'worst' / name).is_file() for name in shown)
    assert cv2.imread(str(tmp_path / 'worst' / shown[1])).shape[1] > 1000
    assert 'student &lt;x&gt;' in page and '95.0 % of all points right' in page and 'the 2 worst of 6 frames' in page


def test_points_that_nobody_answered_for_are_left_out_if_only_others_count(tmp_path):
    gallery, frame = Gallery(tmp_path, STREET), street(0)
    label = labelled(frame, 20)
    right = label == frame.scan.label
    gallery.add('streets', frame, label, only=right)
    gallery.add('streets', frame, label, only=np.zeros(len(label), bool))  # nothing to judge
    unlabelled = replace(frame, key='other', scan=replace(frame.scan, label=np.full(600, 255, np.uint16)))
    gallery.add('streets', unlabelled, label)
    assert [(drawn.accuracy, drawn.points, drawn.mistaken) for drawn in gallery.frames] == [(1.0, int(right.sum()), '')]


def test_the_confusion_matrix_names_the_classes_that_occur(tmp_path):
    confusion = Confusion.empty(len(STREET))
    confusion.add(np.array([ROAD, ROAD, ROAD, ROAD, BUILDING], np.uint8), np.array([ROAD, ROAD, ROAD, VEGETATION, 255],
                                                                                  np.uint8))
    drawn = draw_confusion(tmp_path / 'made/confusion.svg', confusion, STREET).read_text()
    words = re.findall(r'<!-- (.+?) -->', drawn)
    assert {'road (4)', 'building (1)', 'vegetation', 'no label', '75', '25', '100'} <= set(words)
    assert 'car' not in words


def test_the_command_draws_the_worst(tmp_path, capsys):
    data = f'semantickitti:{write_drive(tmp_path, 3)}'
    page = tmp_path / 'pictures'
    command = ['evaluate', '--constant', 'road', '--dataset', data, '--worst', '2']
    assert main([*command, '--pictures', str(page)]) == 0
    assert f'pictures: {page}/index.html' in capsys.readouterr().out
    accuracy = sorted((street(seed).scan.label == ROAD).mean() for seed in range(3))
    shown = [float(text) for text in re.findall(r'([\d.]+) % right', (page / 'index.html').read_text())]
    assert shown == pytest.approx([100 * value for value in accuracy[:2]], abs=0.06)
    assert len(list(page.glob('*.png'))) == 2
    with pytest.raises(SystemExit):
        main(command)
    assert '--pictures DIR' in capsys.readouterr().err
