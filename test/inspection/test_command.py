# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""The command `inspect` on bags of pairs and data sets: what it writes, and one clear line for any mistake."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from raw_drive import MS, START, Drive, write_bag

from ros_kd import extrinsics
from ros_kd.bags.writer import PairedBagWriter, rig_of
from ros_kd.cameras import Camera
from ros_kd.frames import CameraView, PairedFrame, Scan
from ros_kd.images import EncodedPixels
from ros_kd.inspection import command

ROOT = Path(__file__).parents[2]
TO_CAMERA = np.array([[0.0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1]])
CAMERA = Camera(200, 100, np.array([[150.0, 0, 100], [0, 150, 50], [0, 0, 1]]))
SPEED, DELAY = 10.0, 25 * MS  # m/s, ns


def pose(stamp: int) -> np.ndarray:
    """T_world_lidar of a vehicle that drives along a bend."""
    t = (stamp - START) / 1e9
    yaw = 0.2 * t
    rotation = np.array([[np.cos(yaw), -np.sin(yaw), 0], [np.sin(yaw), np.cos(yaw), 0], [0, 0, 1]])
    return extrinsics.from_rotation(rotation, np.array([SPEED / 0.2 * np.sin(yaw), SPEED / 0.2 * (1 - np.cos(yaw)), 0]))


def frame(number: int, moving: bool = True, wobble: float = 0.0, delay: int = DELAY) -> PairedFrame:
    """A pair of a scan and an image `delay` ns later; wobble: metres that its mounting moves at each third."""
    random = np.random.default_rng(number)
    stamp = START + number * 100 * MS
    points = random.uniform([2, -5, -2], [30, 5, 2], (500, 3)).astype(np.float32)
    motion = extrinsics.invert(pose(stamp + delay)) @ pose(stamp) if moving else np.eye(4)
    mounting = TO_CAMERA.copy()
    mounting[0, 3] = wobble * (number % 3 == 0)
    picture = cv2.GaussianBlur(random.integers(0, 255, (100, 200, 3), np.uint8), (0, 0), 1)
    view = CameraView('front', stamp + delay, CAMERA, mounting @ motion,
                      EncodedPixels(cv2.imencode('.jpg', picture)[1].reshape(-1)), 'front_optical')
    return PairedFrame(Scan(stamp, points, random.random(500, np.float32), random.random(500, np.float32) / 10),
                       (view,), '', pose(stamp))


@pytest.fixture
def inspect(tmp_path: Path, capsys):
    """Write frames as a bag of pairs, inspect it, return exit code, figures and page."""
    def run(frames: list[PairedFrame], *args: str) -> tuple[int, dict, str]:
        with PairedBagWriter(tmp_path / 'pairs', rig_of(frames[0])) as writer:
            for entry in frames:
                writer.write_frame(entry)
        out = tmp_path / 'out'
        code = command.main([str(tmp_path / 'pairs'), '--out', str(out / 'a.html'), '--json', str(out / 'a.json'),
                             *args])
        assert capsys.readouterr().err == ''
        return code, json.loads((out / 'a.json').read_text()), (out / 'a.html').read_text()
    return run


def mended(figures: dict) -> list[str]:
    """Return the findings that matter."""
    return [finding['text'] for finding in figures['findings'] if finding['severity'] != 'note']


def test_a_good_bag_of_pairs_shows_what_it_holds(inspect) -> None:
    code, figures, page = inspect([frame(number) for number in range(60)], '--frames', '2')
    assert (code, figures['verdict'], figures['source'], mended(figures)) == (0, 'good', 'bag of pairs', [])
    camera, = figures['pairing']['cameras']
    assert camera['pairs'] == 60 and camera['delta']['median'] == pytest.approx(25)
    assert any('time_offsets:="[front=0.0250]"' in finding['text'] for finding in figures['findings'])
    assert figures['drive']['distance'] == pytest.approx(59, abs=0.1)
    assert figures['drive']['speed']['median'] == pytest.approx(SPEED, abs=0.05)
    mounting, = figures['mountings']
    assert mounting['pairs'] == 60 and mounting['motion'] == pytest.approx(250, abs=5)
    assert mounting['shift'] < 5 and mounting['turn'] < 0.05 and not mounting['frozen']
    assert figures['lidar']['columns'] == ['intensity', 'time'] and figures['lidar']['points'] == 500
    assert page.count('src="data:image/jpeg;base64,') == 2 * 2 and '5.9 s</h3>' in page
    assert 'bag of pairs (mcap), 60 pairs, 5.9 s, 59 m' in page


def test_extrinsics_without_the_motion_are_a_fault(inspect) -> None:
    _, figures, _ = inspect([frame(number, moving=False, delay=(number % 3 - 1) * DELAY) for number in range(30)])
    text, = mended(figures)
    assert 'extrinsics do not contain the motion between scan and image, up to 25' in text


def test_extrinsics_that_wobble_are_a_fault(inspect) -> None:
    _, figures, _ = inspect([frame(number, wobble=0.08) for number in range(30)])
    text, = mended(figures)
    assert 'extrinsics vary by up to' in text and figures['mountings'][0]['shift'] == pytest.approx(80, abs=6)


def test_gaps_between_pairs_are_placed_and_a_short_bag_is_useless(inspect) -> None:
    _, figures, _ = inspect([frame(number) for number in range(60) if not 20 < number < 40])
    texts = [finding['text'] for finding in figures['findings']]
    assert any('1 gap of more than 0.5 s between pairs, the longest 2.0 s at 2.0 s' in text for text in texts)


def test_few_pairs_are_useless(inspect) -> None:
    code, figures, _ = inspect([frame(number) for number in range(5)])
    assert code == 1 and '5 pairs of 5 scans: too few' in mended(figures)[0]


def test_an_image_that_is_none_is_named_and_the_others_are_drawn(inspect) -> None:
    frames = [frame(number) for number in range(20)]
    view, = frames[0].views
    frames[0] = replace(frames[0], views=(replace(view, pixels=EncodedPixels(b'no picture')),))
    code, figures, page = inspect(frames, '--frames', '3')
    assert code == 0 and any('pair 1 of 20 cannot be drawn' in text for text in mended(figures)), mended(figures)
    assert page.count('src="data:image/jpeg;base64,') == 2 * 2


def test_an_unfinished_bag_is_inspected_and_said_to_be(inspect, tmp_path: Path, capsys) -> None:
    inspect([frame(number) for number in range(40)])
    bag = tmp_path / 'pairs'
    (bag / 'metadata.yaml').unlink()
    storage = next(bag.glob('*.mcap'))
    storage.write_bytes(storage.read_bytes()[:-20_000])
    code = command.main([str(bag), '--out', str(tmp_path / 'b.html'), '--json', str(tmp_path / 'b.json')])
    capsys.readouterr()
    figures = json.loads((tmp_path / 'b.json').read_text())
    assert code == 0 and figures['verdict'] == 'usable with faults' and 30 < figures['pairing']['pairs'] < 40
    assert any('finish' in text for text in mended(figures)), mended(figures)


def test_a_bag_whose_first_pair_is_not_whole_is_useless_but_inspected(inspect, tmp_path: Path, capsys) -> None:
    inspect([frame(number) for number in range(2)])
    storage = next((tmp_path / 'pairs').glob('*.mcap'))
    whole = storage.read_bytes()
    for kept in (len(whole) // 3, 6000):
        storage.write_bytes(whole[:kept])
        code = command.main([str(tmp_path / 'pairs'), '--out', str(tmp_path / 'b.html')])
        captured = capsys.readouterr()
        assert code in (1, 2) and (captured.err.count('\n') == 1 or 'not usable' in captured.out)


def test_a_data_set_tells_what_it_can(tmp_path: Path, capsys) -> None:
    folder = tmp_path / 'sequence'
    for part in ('velodyne', 'labels', 'image_2'):
        (folder / part).mkdir(parents=True)
    points = np.random.default_rng(0).uniform([5, -5, -2, 0], [30, 5, 2, 1], (500, 4)).astype(np.float32)
    for number in range(12):
        points.tofile(folder / 'velodyne' / f'{number:06}.bin')
        np.full(500, 40, np.uint32).tofile(folder / 'labels' / f'{number:06}.label')
        cv2.imwrite(str(folder / 'image_2' / f'{number:06}.png'), np.full((100, 200, 3), 255, np.uint8))
    numbers = ' '.join(map(str, TO_CAMERA[:3].ravel()))
    (folder / 'calib.txt').write_text(f'P2: 150 0 100 0 0 150 50 0 0 0 1 0\nTr: {numbers}\n')
    specification, page = f'semantickitti:{folder}', tmp_path / 'page.html'
    code = command.main([specification, '--out', str(page), '--frames', '2', '--taxonomy', 'street-12'])
    out = capsys.readouterr().out
    assert code == 0 and 'usable with faults' in out and '100 % of its pixels are overexposed' in out
    text = page.read_text()
    assert 'sequence/000000' in text and 'sequence/000011' in text and 'sequence/000005' not in text
    assert text.count('labels of the points (street-12)') == 2 * 2 and '<td class=n>12' in text
    for arguments, words in ((['--cameras', 'rear'], 'no camera "rear"'), (['--taxonomy', 'street-13'], '"street-13"'),
                             (['--taxonomy', 'cityscapes'], 'no map from labels')):
        assert command.main([specification, '--out', str(page), *arguments]) == 2
        captured = capsys.readouterr()
        assert captured.out == '' and words in captured.err and captured.err.count('\n') == 1


def test_what_is_no_bag_is_one_line_and_exit_code_2(tmp_path: Path, capsys) -> None:
    (tmp_path / 'file.mcap').write_bytes(b'nothing')
    for specification in (tmp_path / 'nowhere', tmp_path, tmp_path / 'file.mcap', 'boat:'):
        assert command.main([str(specification), '--out', str(tmp_path / 'page.html')]) == 2
        captured = capsys.readouterr()
        assert captured.err.startswith('inspect: ') and captured.err.count('\n') == 1, captured.err
    assert not (tmp_path / 'page.html').exists()
    with pytest.raises(SystemExit) as caught:
        command.main([str(tmp_path), '--frames', '0'])
    assert caught.value.code == 2


def test_the_executable_needs_no_ros_ignores_its_arguments_and_says_what_installs_a_missing_library(tmp_path: Path
                                                                                                    ) -> None:
    bag = write_bag(tmp_path / 'raw', Drive(12).messages)

    def run(missing: str) -> subprocess.CompletedProcess:
        code = (f'import runpy, sys; sys.modules["{missing}"] = None\n'
                f'runpy.run_path({str(ROOT / "scripts" / "inspect")!r}, run_name="__main__")')
        return subprocess.run([sys.executable, '-c', code, str(bag), '--ros-args', '-r', '__node:=inspect', '--',
                               '--out', str(tmp_path / 'page.html')], capture_output=True, text=True, check=False,
                              cwd=ROOT)

    done = run('rclpy')
    assert done.returncode == 0 and done.stdout.startswith('raw: good'), done.stderr
    assert (tmp_path / 'page.html').exists()
    done = run('matplotlib')
    assert done.returncode == 1 and 'pip install matplotlib' in done.stderr and 'Traceback' not in done.stderr


def test_a_real_drive_is_good(real_data: Path, tmp_path: Path, capsys) -> None:
    drive = real_data / 'kitti_raw' / '2011_09_26' / '2011_09_26_drive_0013_sync'
    code = command.main([f'kitti_raw:{drive}', '--out', str(tmp_path / 'page.html'), '--json',
                         str(tmp_path / 'a.json')])
    assert code == 0 and 'good' in capsys.readouterr().out
    figures = json.loads((tmp_path / 'a.json').read_text())
    assert figures['mountings'][0]['shift'] < 5 and 150 < figures['drive']['distance'] < 200
    fit, = figures['fits']
    assert fit['trusted'] and abs(fit['right']) <= 4 and fit['outlines'] > 3000
    assert 0.1 < figures['lidar']['seen'] < 0.2 and figures['cameras'][0]['sharpness'] > 100
