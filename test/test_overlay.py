# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""The command `overlay`: pictures and a page for any dataset, one clear line for any mistake."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from ros_kd.cameras import Camera
from ros_kd.datasets.files import FrameList
from ros_kd.frames import CameraView, PairedFrame, Scan
from ros_kd.images import RawPixels
from ros_kd.label_sets import get_taxonomy
from ros_kd.nodes import overlay
from ros_kd.projection import OcclusionFilter

TO_CAMERA = np.array([[0.0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1]])


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    """A SemanticKITTI sequence of four frames."""
    folder = tmp_path / 'sequence'
    for part in ('velodyne', 'labels', 'image_2'):
        (folder / part).mkdir(parents=True)
    points = np.random.default_rng(0).uniform([5, -5, -2, 0], [30, 5, 2, 1], (500, 4)).astype(np.float32)
    for number in range(4):
        points.tofile(folder / 'velodyne' / f'{number:06}.bin')
        np.full(500, 40, np.uint32).tofile(folder / 'labels' / f'{number:06}.label')
        cv2.imwrite(str(folder / 'image_2' / f'{number:06}.png'), np.full((100, 200, 3), 50, np.uint8))
    numbers = ' '.join(map(str, TO_CAMERA[:3].ravel()))
    (folder / 'calib.txt').write_text(f'P2: 150 0 100 0 0 150 50 0 0 0 1 0\nTr: {numbers}\n')
    return folder


def _run(capsys, *args: str) -> tuple[int, str, str]:
    code = overlay.main(args)
    captured = capsys.readouterr()
    return code, captured.out.strip(), captured.err.strip()


def test_the_page_shows_frames_spread_over_the_dataset(labelled: Path, tmp_path: Path, capsys) -> None:
    code, page, errors = _run(capsys, '--dataset', f'semantickitti:{labelled}', '--out', str(tmp_path / 'out'),
                              '--frames', '2')
    assert (code, errors) == (0, '')
    text = Path(page).read_text()
    assert 'sequence/000000' in text and 'sequence/000003' in text and 'sequence/000001' not in text
    for picture in ('000000/camera_2.jpg', '000003/camera_2.jpg', '000000/from_above.jpg'):
        assert picture in text and cv2.imread(str(tmp_path / 'out' / picture)) is not None
    assert '+0.0 ms' in text and 'Scan of 500 points' in text


def test_ros_arguments_are_ignored(labelled: Path, tmp_path: Path, capsys) -> None:
    code, _, _ = _run(capsys, '--frames', '1', '--ros-args', '-r', '__node:=overlay', '--', '--dataset',
                      f'semantickitti:{labelled}', '--out', str(tmp_path / 'out'), '--ros-args', '--log-level', 'info')
    assert code == 0


@pytest.mark.parametrize('extra, words', [
    (['--cameras', 'rear'], 'no camera "rear"'), (['--taxonomy', 'street-13'], 'unknown taxonomy "street-13"'),
    (['--taxonomy', 'cityscapes'], 'no map from labels')])
def test_a_wrong_option_gives_one_line_and_exit_code_2(labelled: Path, tmp_path: Path, capsys, extra, words) -> None:
    code, out, errors = _run(capsys, '--dataset', f'semantickitti:{labelled}', '--out', str(tmp_path / 'out'), *extra)
    assert (code, out) == (2, '') and words in errors and '\n' not in errors


def test_a_missing_dataset_and_a_missing_image_give_one_line(labelled: Path, tmp_path: Path, capsys) -> None:
    code, _, errors = _run(capsys, '--dataset', f'semantickitti:{tmp_path / "nowhere"}')
    assert code == 2 and 'nowhere' in errors and '\n' not in errors
    (labelled / 'image_2' / '000000.png').unlink()
    code, _, errors = _run(capsys, '--dataset', f'semantickitti:{labelled}', '--out', str(tmp_path / 'out'))
    assert code == 2 and '000000.png is missing' in errors and '\n' not in errors


def _one_frame(**view) -> FrameList:
    points = np.array([[10, 0, 0], [20, 0, 0], [10, 2, 0], [-5, 0, 0]], np.float32)
    camera = Camera(200, 100, np.array([[150.0, 0, 100], [0, 150, 50], [0, 0, 1]]))
    seen = CameraView('front', 12_000_000, camera, TO_CAMERA, RawPixels(np.full((100, 200, 3), 50, np.uint8)), **view)
    frame = PairedFrame(Scan(10_000_000, points), (seen,), 'only')
    return FrameList('one', [lambda: frame])


def _settings(out: Path, occlusion: OcclusionFilter | None = OcclusionFilter()) -> overlay.Settings:
    return overlay.Settings(out, (), occlusion, None, 2)


def test_the_table_counts_visible_and_hidden_points_and_the_delay(tmp_path: Path) -> None:
    text = overlay.draw(_one_frame(), _settings(tmp_path), 5).read_text()
    assert '<td>+2.0 ms<td>2<td>1' in text
    assert '<td>+2.0 ms<td>3<td>0' in overlay.draw(_one_frame(), _settings(tmp_path, None), 5).read_text()


def test_a_label_image_adds_a_picture_of_what_points_take_from_it(tmp_path: Path) -> None:
    overlay.draw(_one_frame(), _settings(tmp_path / 'plain'), 1)
    labels = RawPixels(np.full((100, 200), 13, np.uint8))
    overlay.draw(_one_frame(label_pixels=labels, taxonomy=get_taxonomy('cityscapes')), _settings(tmp_path / 'more'), 1)
    plain, more = (cv2.imread(str(tmp_path / name / '000000' / 'front.jpg')) for name in ('plain', 'more'))
    assert more.shape[0] > 1.9 * plain.shape[0]
    assert (np.abs(more.astype(int) - np.array([142, 0, 0])).max(2) < 30).any()  # the colour of cars, BGR


def test_the_command_needs_no_ros(labelled: Path, tmp_path: Path) -> None:
    code = ('import sys; sys.modules["rclpy"] = None\n'
            'from ros_kd.nodes import overlay; sys.exit(overlay.main())')
    done = subprocess.run([sys.executable, '-c', code, '--dataset', f'semantickitti:{labelled}', '--frames', '1',
                           '--out', str(tmp_path / 'out')], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / 'out' / 'index.html').exists()


def test_real_scans_colour_the_picture(real_data: Path, tmp_path: Path, capsys) -> None:
    folder = real_data / 'pandaset' / '002'
    code, _, errors = _run(capsys, '--dataset', f'pandaset:{folder}', '--out', str(tmp_path), '--frames', '1',
                           '--cameras', 'front_camera', '--taxonomy', 'street-12')
    assert code == 0, errors
    picture = cv2.imread(str(tmp_path / '000000' / 'front_camera.jpg'))
    image = cv2.imread(str(folder / 'front_camera' / '00.jpg'))
    changed = np.abs(picture[24:24 + len(image)].astype(int) - image).max(2) > 60
    assert 0.1 < changed.mean() < 0.8
