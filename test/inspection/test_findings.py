# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Each fault becomes its sentence and no other, and weighs what it should."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from samples import MS, START, good, stamps, topic, with_topic

from ros_kd.inspection.figures import (Chain, Curve, Drive, Edge, Figures, Fit, Mounting, Severity, Source, Spread,
                                       Verdict)
from ros_kd.inspection.findings import judge
from ros_kd.inspection.timing import Gap, rhythm


def only(figures: Figures, severity: Severity) -> str:
    """Return the text of the one finding that there is."""
    findings, verdict = judge(figures)
    assert [finding.severity for finding in findings] == [severity], findings
    assert verdict is {Severity.FAULT: Verdict.UNUSABLE, Severity.WARNING: Verdict.FAULTS,
                       Severity.NOTE: Verdict.GOOD}[severity]
    return findings[0].text


def test_nothing_is_found_where_nothing_is_wrong() -> None:
    assert judge(good()) == ((), Verdict.GOOD)


# ---- clocks

@pytest.mark.parametrize('seconds, words', [
    (-37.0, ('37.0 s behind the log times', 'PTP without the offset of 37 s between TAI and UTC', 'phc2sys')),
    (37.0, ('37.0 s ahead of', 'PTP (TAI) times', 'ptp_utc_tai_offset')), (18.0, ('GPS times', 'leap seconds')),
    (7200.0, ('2.0 h ahead', 'time zone', 'UTC')), (-3.7, ('3.7 s behind', 'not synchronised')),
    (-1_699_999_000.0, ('53.9 years behind', 'power-on', 'timestamp_mode'))])
def test_a_camera_with_a_wrong_clock_is_a_fault_with_its_cause_and_what_to_set(seconds: float, words) -> None:
    logged = stamps()
    measured = logged - 10 * MS + int(seconds * 1e9)
    figures = with_topic(good(), topic('/left/image', measured, logged=logged, kind='sensor_msgs/msg/Image'))
    text = only(figures, Severity.WARNING)  # the front camera is still there
    assert text.startswith('/left/image: stamps are') and all(word in text for word in words), text
    text = only(replace(figures, cameras=figures.cameras[1:]), Severity.FAULT)
    assert words[0] in text


def test_a_lidar_with_a_wrong_clock_makes_the_bag_useless() -> None:
    logged = stamps()
    assert '/points: stamps are 37.0 s behind' in only(
        with_topic(good(), topic('/points', logged - 37_000 * MS, logged=logged)), Severity.FAULT)


def test_a_recording_that_was_played_again_is_harmless() -> None:
    figures = good()
    for name in ('/points', '/front/image', '/left/image'):
        figures = with_topic(figures, topic(name, stamps(), late_ms=40 * 86_400_000.0))
    text = only(figures, Severity.NOTE)
    assert text.startswith('all stamps are 40.0 days behind the log times') and 'Harmless for pairing' in text


def test_transforms_of_another_clock_are_a_fault() -> None:
    moving = topic('/tf', stamps(3000, 20.0), late_ms=37_000.0, kind='tf2_msgs/msg/TFMessage')
    assert '/tf: stamps are 37.0 s behind' in only(with_topic(good(), moving), Severity.FAULT)


def test_stamps_of_the_future_a_drifting_clock_and_a_clock_that_was_set_are_told_apart() -> None:
    logged = stamps()
    ahead = topic('/left/image', logged + 12 * MS, logged=logged)
    assert '12 ms ahead of the log times' in only(with_topic(good(), ahead), Severity.WARNING)
    drifting = logged - 100 * MS - ((logged - START) * 500e-6).astype(np.int64)
    text = only(with_topic(good(), topic('/left/image', drifting, logged=logged)), Severity.WARNING)
    assert 'drift by -500.0 ppm' in text and '-30 ms over this bag' in text
    set_once = logged - 10 * MS
    set_once[300:] += 37_000 * MS
    findings, _ = judge(with_topic(good(), topic('/left/image', set_once, logged=logged)))
    assert 'stamps jump by +37.0 s against the log times at 30.0 s' in findings[0].text
    assert not any('drift' in finding.text or 'stamps are' in finding.text for finding in findings)


def test_a_clock_of_the_recorder_that_drifts_is_harmless() -> None:
    figures, logged = good(), stamps()
    for name in ('/points', '/front/image', '/left/image'):
        drifting = logged - 100 * MS - ((logged - START) * 500e-6).astype(np.int64)
        figures = with_topic(figures, topic(name, drifting, logged=logged))
    assert "the recorder's clock is not synchronised" in only(figures, Severity.NOTE)


# ---- streams

def test_gaps_and_lost_messages_are_counted_and_placed() -> None:
    measured = np.delete(stamps(), np.r_[200:221, 400:412])
    findings, verdict = judge(with_topic(good(), topic('/points', measured)))
    assert verdict is Verdict.FAULTS and len(findings) == 2
    assert findings[0].text.startswith('2 gaps of more than 0.5 s on /points, the longest 2.2 s at 19.9 s')
    assert '/points: 33 messages (5.5 %) are missing, judged by its period of 100 ms' in findings[1].text


def test_a_few_lost_messages_are_a_note_at_most() -> None:
    assert judge(with_topic(good(), topic('/points', np.delete(stamps(), [100, 300])))) == ((), Verdict.GOOD)
    assert '3 messages (0.5 %)' in only(with_topic(good(), topic('/points', np.delete(stamps(), [7, 8, 9]))),
                                        Severity.NOTE)


def test_strange_stamps_are_counted() -> None:
    measured = stamps()
    measured[5:8] = 0
    assert '3 of 600 messages have no stamp' in only(with_topic(good(), topic('/points', measured, logged=stamps())),
                                                     Severity.WARNING)
    assert 'its driver does not fill in header.stamp' in only(
        with_topic(good(), topic('/points', np.zeros(600, np.int64), logged=stamps())), Severity.FAULT)
    measured = stamps()
    measured[9] = measured[8]
    assert '1 of 600 messages repeat the stamp before' in only(with_topic(good(), topic('/points', measured)),
                                                               Severity.NOTE)
    measured = stamps()
    measured[[20, 21]] = measured[[21, 20]]
    assert '1 of 600 messages are older' in only(with_topic(good(), topic('/points', measured)), Severity.NOTE)


def test_a_lidar_that_is_stamped_at_arrival_jitters_and_a_camera_may_a_little() -> None:
    jitter = np.random.default_rng(0).integers(-12 * MS, 12 * MS, 600)
    text = only(with_topic(good(), topic('/points', stamps() + jitter, logged=stamps() + 30 * MS)), Severity.WARNING)
    assert 'stamped at arrival rather than at measurement' in text
    assert judge(with_topic(good(), topic('/left/image', stamps() + jitter, logged=stamps() + 30 * MS))) == (
        (), Verdict.GOOD)


def test_a_camera_slower_than_the_lidar_bounds_the_pairs() -> None:
    slow = topic('/left/image', stamps(300, 200.0))
    assert 'the LiDAR takes 10.0 scans a second, but left 5.0 images: at most 50 %' in only(
        with_topic(good(), slow), Severity.NOTE)


# ---- pairs

def paired(**changes) -> Figures:
    """Return the good figures with changes to the pairing, or to its first camera (delta, late, mean_delta)."""
    figures = good()
    camera = {name: changes.pop(name) for name in ('delta', 'late', 'mean_delta') if name in changes}
    front, left = figures.pairing.cameras
    return replace(figures, pairing=replace(figures.pairing, cameras=(replace(front, **camera), left), **changes))


def test_scans_without_pair_are_counted_by_reason() -> None:
    lost = (('no partner', 30), ('max interval', 70))
    assert only(paired(pairs=500, lost=lost), Severity.WARNING).startswith(
        '100 of 600 scans (16.7 %) have no pair: 30 no partner, 70 max interval')
    only(paired(pairs=570, lost=(('no partner', 30),)), Severity.NOTE)
    assert '3 pairs of 600 scans: too few' in only(paired(pairs=3, lost=(('no partner', 597),)), Severity.FAULT)


def test_pairs_worse_than_the_optimum_are_mentioned() -> None:
    assert 'front: images are 0.9 ms off their scans on average, the best possible pairs of the two 0.6 ms' in only(
        paired(mean_delta=0.9), Severity.NOTE)


def test_a_late_camera_is_harmless() -> None:
    assert only(paired(late=80.4), Severity.NOTE).endswith('front 80 ms: harmless, pairing goes by the stamps')


def test_a_fixed_phase_suggests_a_time_offset_and_a_wide_one_does_not() -> None:
    text = only(paired(delta=Spread(21.8, 22.04, 22.4, 23.0)), Severity.NOTE)
    assert 'fixed time after their scans: front +22.0 ms.' in text and 'time_offsets:="[front=0.0220]"' in text
    assert judge(paired(delta=Spread(-16.0, 5.0, 17.0, 18.0))) == ((), Verdict.GOOD)
    text = only(paired(delta=Spread(-85.0, 1.0, 60.0, 90.0)), Severity.WARNING)
    assert 'far off their scans (95 %): front 85 ms: what moves at 10 m/s is up to 0.8 m' in text


def test_gaps_between_the_pairs_of_a_bag_of_pairs_are_told() -> None:
    beats = rhythm(np.delete(stamps(), np.r_[100:150]))
    figures = replace(good(), source=Source.PAIRS)
    text = only(replace(figures, pairing=replace(figures.pairing, rhythm=beats)), Severity.NOTE)
    assert '1 gaps' not in text and '1 gap of more than 0.5 s between pairs, the longest 5.1 s at 9.9 s' in text


# ---- frames

def chained(*chains: Chain, edges: tuple[Edge, ...] = ()) -> Figures:
    """Return the good figures with some chains and edges of their own."""
    figures = good()
    others = tuple(old for old in figures.frames.chains if old.what not in [chain.what for chain in chains])
    return replace(figures, frames=replace(figures.frames, edges=edges or figures.frames.edges, chains=others + chains))


def test_a_gap_of_the_odometry_is_placed_and_its_pairs_are_counted() -> None:
    text = only(chained(Chain('fixed frame', 'base_link', 'odom', 600, 573, 'too late',
                              (Gap(START + 12_300 * MS, 2.7),))), Severity.WARNING)
    assert text.startswith('TF odom -> base_link is missing between 12.3 s and 15.0 s: 27 of 600 pairs')
    only(chained(Chain('fixed frame', 'base_link', 'odom', 600, 598, 'too late', (Gap(START, 0.1),))), Severity.NOTE)


def test_a_camera_without_a_transform_is_a_fault_if_it_is_the_only_one() -> None:
    lost = Chain('camera left', 'lidar', 'left_optical', 600, 0, 'not connected')
    text = only(chained(lost), Severity.WARNING)
    assert 'no transform from lidar to left_optical (not connected)' in text and '/tf_static' in text
    both = chained(lost, Chain('camera front', 'lidar', 'front_optical', 600, 0, 'not connected'))
    assert judge(both)[1] is Verdict.UNUSABLE


def test_no_odometry_slow_odometry_and_pauses_are_warnings() -> None:
    assert 'no odometry' in only(chained(Chain('fixed frame', 'lidar', 'odom', 600, 0, 'unknown')), Severity.WARNING)
    assert 'comes at 2.0 Hz only' in only(chained(edges=(Edge('odom', 'base_link', False, 120, 2.0, 0.5),)),
                                          Severity.WARNING)
    paused = Edge('odom', 'base_link', False, 120, 50.0, 1.5, (Gap(START + 3000 * MS, 1.5),))
    assert 'has 1 gap of more than 0.5 s, the longest 1.5 s at 3.0 s' in only(chained(edges=(paused,)),
                                                                              Severity.WARNING)


# ---- cameras, LiDAR, drive

def camera(**changes) -> Figures:
    """Return the good figures with changes to the camera left."""
    front, left = good().cameras
    return replace(good(), cameras=(front, replace(left, **changes)))


@pytest.mark.parametrize('changes, severity, words', [
    ({'problem': 'fx=0'}, Severity.WARNING, 'camera left cannot be used: fx=0'),
    ({'image_width': 800, 'image_height': 450}, Severity.WARNING, 'are 800x450, but its calibration is for 1600x900'),
    ({'calibrations': 3}, Severity.NOTE, '3 different ones'), ({'bright': 0.4}, Severity.WARNING, '40 % of its pixels'),
    ({'dark': 0.9, 'sharpness': 1.0}, Severity.WARNING, '90 % of its pixels are black'),
    ({'sharpness': 4.0}, Severity.WARNING, 'blurred')])
def test_faults_of_a_camera(changes, severity: Severity, words: str) -> None:
    assert words in only(camera(**changes), severity)


@pytest.mark.parametrize('changes, severity, words', [
    ({'points': 0}, Severity.FAULT, 'no points'), ({'invalid': 0.7}, Severity.NOTE, '70 %'),
    ({'columns': ('time', 'ring')}, Severity.NOTE, 'no intensity'),
    ({'columns': ('intensity',)}, Severity.NOTE, 'cannot be straightened: at 11 m/s its ends are 1.1 m apart'),
    ({'seen': 0.001}, Severity.WARNING, 'only 0.1 % of the points')])
def test_faults_of_the_lidar(changes, severity: Severity, words: str) -> None:
    assert words in only(replace(good(), lidar=replace(good().lidar, **changes)), severity)


@pytest.mark.parametrize('mounting, words', [
    (Mounting('front', 500, 35.0, 0.1, 300.0), 'vary by up to 35 mm'),
    (Mounting('front', 500, 2.0, 0.5, 9.0), '0.50 degrees'),
    (Mounting('front', 500, 250.0, 0.5, 250.0, True), 'do not contain the motion between scan and image, up to 250')])
def test_extrinsics_that_are_not_constant(mounting: Mounting, words: str) -> None:
    assert words in only(replace(good(), mountings=(mounting,)), Severity.WARNING)
    assert judge(replace(good(), mountings=(Mounting('front', 500, 3.0, 0.05, 400.0),)))[1] is Verdict.GOOD


def test_poses_that_jump_and_a_vehicle_that_stands() -> None:
    def drive(standing: float, jumps: int) -> Figures:
        return replace(good(), drive=Drive(600, 10.0, Spread(0.0, 0.1, 11.0, 12.0), standing, jumps,
                                           Curve(START, (), ())))

    assert '3 of 600 poses jump' in only(drive(0.1, 3), Severity.WARNING)
    assert 'stands still for 80 % of the time' in only(drive(0.8, 0), Severity.NOTE)


def test_edges_of_depth_that_fit_elsewhere() -> None:
    def fitting(right: int, trusted: bool = True) -> Figures:
        return replace(good(), fits=(Fit('front', 8, 4000, right, 0, trusted),))

    assert 'edges of depth fit its images best 12 pixels further left' in only(fitting(-12), Severity.WARNING)
    only(fitting(6), Severity.NOTE)
    assert judge(fitting(4)) == judge(fitting(16, trusted=False)) == ((), Verdict.GOOD)


# ---- presence

def test_a_bag_without_cameras_or_lidar_lists_what_it_has() -> None:
    findings, verdict = judge(Figures('bag', Source.RAW, topics=(topic('/imu', stamps(), kind='sensor_msgs/msg/Imu'),)))
    texts = ' '.join(finding.text for finding in findings)
    assert verdict is Verdict.UNUSABLE and 'no LiDAR' in texts and 'no camera' in texts
    assert '/imu (sensor_msgs/msg/Imu)' in texts


def test_what_the_store_warned_of_and_broken_messages_come_first() -> None:
    figures = replace(camera(calibrations=2), warnings=('recording did not finish',), broken=('pair 5: no image',))
    findings, verdict = judge(figures)
    assert [finding.text for finding in findings[:2]] == ['recording did not finish', 'pair 5: no image']
    assert verdict is Verdict.FAULTS and len(findings) == 3
