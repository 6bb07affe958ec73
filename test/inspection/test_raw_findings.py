# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Raw bags with a fault each, written by the test, and what the command says about them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Callable

import numpy as np
import pytest
from raw_drive import FRONT, KINDS, MS, START, Drive, Message, ego, tf, write_bag

from ros_kd.bags import codec, layout
from ros_kd.inspection import command

SCANS = 60


@pytest.fixture(scope='module')
def drive() -> Drive:
    """Six seconds with two cameras of which the front one is late, and odometry."""
    return Drive(SCANS)


class Inspection:
    """What the command wrote and printed. texts: of the findings that matter."""

    def __init__(self, code: int, page: Path, figures: Path, out: str, errors: str) -> None:
        self.code, self.out, self.errors = code, out, errors
        self.page = page.read_text() if page.exists() else ''
        self.figures = json.loads(figures.read_text()) if figures.exists() else {}
        self.texts = [finding['text'] for finding in self.figures.get('findings', ()) if finding['severity'] != 'note']

    def text(self, *words: str) -> str:
        """Return the one finding that matters which holds all words."""
        found = [text for text in self.texts if all(word in text for word in words)]
        assert len(found) == 1, self.texts
        return found[0]


@pytest.fixture
def inspect(tmp_path: Path, capsys) -> Callable[..., Inspection]:
    """Write messages as a bag and inspect it."""
    def run(messages: list[Message], *args: str, kind: str = 'mcap', options: str = '') -> Inspection:
        bag = write_bag(tmp_path / f'bag{len(list(tmp_path.iterdir()))}', messages, kind)
        page, figures = tmp_path / 'page.html', tmp_path / 'figures.json'
        code = command.main([f'bag:{bag}{options}', '--out', str(page), '--json', str(figures), *args])
        captured = capsys.readouterr()
        return Inspection(code, page, figures, captured.out, captured.err)
    return run


def moved(messages: list[Message], topic: str, seconds: float) -> list[Message]:
    """Return the messages with the header stamps of a topic moved."""
    def move(message: Message) -> Message:
        if message.topic != topic:
            return message
        raw = bytearray(message.raw)
        stamp = layout.header_stamp(raw) + int(seconds * 1e9)
        raw[4:12] = (stamp // 10**9).to_bytes(4, 'little', signed=True) + (stamp % 10**9).to_bytes(4, 'little')
        return replace(message, raw=bytes(raw))
    return [move(message) for message in messages]


@pytest.mark.parametrize('kind', KINDS)
def test_a_good_bag_of_any_kind_is_good(inspect, drive: Drive, kind: str) -> None:
    found = inspect(drive.messages, kind=kind)
    assert (found.code, found.texts, found.errors) == (0, [], '') and found.figures['verdict'] == 'good'
    assert f'{SCANS} pairs of {SCANS} scans' in found.out and 'page: ' in found.out
    cameras = {camera['camera']: camera for camera in found.figures['pairing']['cameras']}
    assert cameras['front']['delta']['median'] == pytest.approx(3) and cameras['front']['pairs'] == SCANS
    assert cameras['rear']['delta']['median'] == pytest.approx(-7)
    assert cameras['rear']['best_delta'] == pytest.approx(7) and cameras['front']['late'] == pytest.approx(20)
    topics = {topic['name']: topic for topic in found.figures['topics']}
    assert topics['/points']['rhythm']['rate'] == pytest.approx(10) and topics['/points']['count'] == SCANS
    assert topics['/points']['clock']['median'] == pytest.approx(-0.06)
    assert topics['/rear/image_raw']['rhythm']['usual_rate'] == pytest.approx(20)
    chains = {chain['what']: chain for chain in found.figures['frames']['chains']}
    assert {chain['found'] for chain in chains.values()} == {SCANS} and chains['fixed frame']['target'] == 'odom'
    edges = {edge['child']: edge for edge in found.figures['frames']['edges']}
    assert edges['base']['rate'] == pytest.approx(50) and edges['lidar']['static']
    way = np.linalg.norm(ego(drive.scan_stamps[-1])[:3, 3])
    assert found.figures['drive']['distance'] == pytest.approx(way, rel=0.1)


def test_the_page_is_one_file_with_pictures_plots_and_tables_that_needs_nothing_else(inspect, drive: Drive) -> None:
    page = inspect(drive.messages, '--frames', '3').page
    assert page.count('src="data:image/jpeg;base64,') == 3 * 3 and page.count('src="data:image/svg+xml;base64,') == 4
    assert '<script' not in page and 'http' not in page.replace('http-equiv', '')
    assert 'Good<small>You can train on it.</small><small>raw bag (mcap), 60 pairs' in page
    assert '<h2>Frames</h2><pre>odom\n  base (' in page
    assert page.count('<td class=n>') > 50


def test_a_camera_37_s_behind_is_named_with_its_cause_and_the_others_are_paired(inspect, drive: Drive) -> None:
    found = inspect(moved(drive.messages, '/rear/image_raw', -37))
    assert found.code == 0 and found.figures['verdict'] == 'usable with faults'
    found.text('/rear/image_raw: stamps are 37.0 s behind the log times', 'PTP without the offset of 37 s')
    assert found.figures['pairing']['pairs'] == SCANS
    assert found.page.count('src="data:image/jpeg;base64,') == 4 * 2  # of the front camera alone, and from above


def test_a_lidar_of_another_clock_makes_the_bag_useless(inspect, drive: Drive) -> None:
    found = inspect(moved(drive.messages, '/points', 37))
    assert found.code == 1 and found.figures['verdict'] == 'not usable' and found.out.startswith('bag0: not usable')
    found.text('/points: stamps are 36.9 s ahead of', 'TAI')
    assert len(found.texts) == 2
    found.text(f'0 pairs of {SCANS} scans: too few')


def test_dropped_images_are_counted_and_placed(inspect, drive: Drive) -> None:
    def lost(message: Message) -> bool:
        return message.topic == '/rear/image_raw' and 2000 * MS < layout.header_stamp(message.raw) - START < 3500 * MS

    found = inspect([message for message in drive.messages if not lost(message)])
    assert found.code == 0
    found.text('1 gap of more than 0.5 s on /rear/image_raw, the longest 1.6 s at 1.9 s')
    found.text('/rear/image_raw: 30 messages', 'are missing')
    found.text('of 60 scans', 'have no pair', 'without image of rear within 0.1 s')


def test_odometry_that_ends_early_and_pauses_is_placed(inspect, drive: Drive) -> None:
    def known(message: Message) -> bool:
        moment = (message.logged - START) / 1e9
        return message.topic != '/tf' or moment < 2 or 3.5 < moment < 5

    found = inspect([message for message in drive.messages if known(message)])
    text = found.text('TF odom -> lidar is missing between 5.')
    assert f'of {SCANS} pairs' in text and 'too late' in text
    found.text('TF odom -> base has 1 gap of more than 0.5 s, the longest 1.5 s at 2.0 s')


def test_a_camera_without_calibration_and_one_without_transform_are_told_apart(inspect, drive: Drive) -> None:
    found = inspect(drive.without('/front/camera_info'))
    found.text('camera /front/image/compressed cannot be used: no camera_info belongs to its images')
    assert found.code == 0
    found = inspect([message for message in drive.messages if message.topic != '/tf_static'
                     or b'rear_optical' not in bytes(message.raw)])
    found.text('camera rear: there is no transform from lidar to rear_optical', '/tf_static')
    assert found.code == 0 and found.figures['pairing']['pairs'] == SCANS


def test_a_bag_without_any_camera_info_is_useless_and_says_what_to_record(inspect, drive: Drive) -> None:
    found = inspect(drive.without('/front/camera_info', '/rear/camera_info'))
    assert found.code == 1 and len(found.texts) == 3
    found.text('/front/image/compressed', 'such as /front/image/camera_info')


def test_an_uncalibrated_camera_is_told_from_a_calibrated_one(inspect, drive: Drive) -> None:
    info = codec.read(codec.camera_info(FRONT, START, 'front_optical'), layout.CAMERA_INFO)
    raw = codec.typestore().serialize_cdr(replace(info, k=np.zeros(9)), layout.CAMERA_INFO)
    found = inspect([replace(message, raw=raw) if message.topic == '/front/camera_info' else message
                     for message in drive.messages])
    found.text('camera front cannot be used: /front/camera_info', 'calibrate the camera first')


def test_images_of_another_size_than_their_calibration_are_found(inspect, drive: Drive) -> None:
    smaller = drive.pixels(replace(FRONT, width=20, height=12), START, True)

    def shrunk(message: Message) -> Message:
        if message.topic != '/front/image/compressed':
            return message
        return replace(message, raw=codec.image(smaller, layout.header_stamp(message.raw), 'front_optical'))

    found = inspect([shrunk(message) for message in drive.messages])
    found.text('camera front: its images are 20x12, but its calibration is for 40x24')
    assert found.code == 0


def test_without_odometry_the_motion_is_missed(inspect, drive: Drive) -> None:
    found = inspect(drive.without('/tf'))
    found.text('no odometry: odom is not known at the stamps of the scans', 'left out')
    assert found.code == 0 and found.figures['drive'] is None
    assert inspect(drive.without('/tf'), options='?fixed_frame=').texts == []


def test_of_several_lidars_the_one_with_most_points_is_taken_or_the_one_asked_for(inspect, drive: Drive) -> None:
    second = [replace(message, topic='/small/points') for message in drive.messages if message.topic == '/points'][:30]
    assert inspect(drive.messages + second).figures['lidar']['topic'] == '/points'
    asked = inspect(drive.messages + second, options='?points=/small/points')
    assert asked.figures['lidar']['topic'] == '/small/points' and asked.figures['pairing']['scans'] == 30


@pytest.mark.parametrize('options, words', [
    ('?points=/nowhere', 'no clouds on /nowhere'), ('?fixed_frame=world', 'fixed frame "world"'),
    ('?colour=red', 'no option'), ('?slop=fast', 'expected seconds'), ('?cameras=left', 'no camera "left"')])
def test_a_wrong_option_of_the_bag_is_one_line_and_exit_code_2(inspect, drive: Drive, options: str, words) -> None:
    found = inspect(drive.messages, options=options)
    assert found.code == 2 and words in found.errors and found.page == '' and found.out == ''


def test_transforms_that_loop_do_not_stop_the_inspection(inspect, drive: Drive) -> None:
    loop = [tf('/tf', START + number * 20 * MS, START + number * 20 * MS, 'lidar', 'odom', np.eye(4))
            for number in range(300)]
    found = inspect(drive.messages + loop)
    assert found.code == 1 and found.page
    found.text('form a loop')


def test_a_bag_without_lidar_without_cameras_or_without_anything_is_useless_but_inspected(inspect, drive: Drive) -> None:
    found = inspect(drive.without('/points'))
    assert found.code == 1 and {camera['name'] for camera in found.figures['cameras']} == {'front', 'rear'}
    found.text('no LiDAR: no scans of sensor_msgs/PointCloud2')
    found = inspect([message for message in drive.messages if message.topic in ('/points', '/tf')])
    assert found.code == 1 and found.figures['lidar']['points'] == 50
    found.text('no camera: expected images')
    assert inspect([message for message in drive.messages if message.topic == '/tf_static']).code == 1
    assert inspect([]).code == 1


def test_an_unfinished_raw_bag_is_inspected_and_said_to_be(drive: Drive, tmp_path: Path, capsys) -> None:
    bag = write_bag(tmp_path / 'bag', drive.messages)
    (bag / 'metadata.yaml').unlink()
    storage = next(bag.glob('*.mcap'))
    storage.write_bytes(storage.read_bytes()[:-100_000])
    code = command.main([str(bag), '--out', str(tmp_path / 'page.html')])
    out = capsys.readouterr().out
    assert code == 0 and 'was not finished' in out and 'usable with faults' in out


def test_damaged_messages_are_counted_and_the_others_used(inspect, drive: Drive) -> None:
    cut = 0

    def damaged(message: Message) -> Message:
        nonlocal cut
        if message.topic != '/points':
            return message
        cut += 1
        return replace(message, raw=bytes(message.raw)[:60]) if cut % 20 == 1 else message

    found = inspect([damaged(message) for message in drive.messages])
    assert found.code == 0 and found.figures['lidar']['points'] == 50
    found.text('pair 1 of 60 cannot be read', '/points')
