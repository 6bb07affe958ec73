# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Images of other moments tell of the points of a scan: what stood still, was not hidden, and how sure that is."""

from __future__ import annotations

import logging
from dataclasses import replace

import cv2
import numpy as np
import pytest
from drives import BUILDING, CAR, HEIGHT, STREET, VEGETATION, WALL, Box, car, drive_frame, pose

from ros_kd import extrinsics
from ros_kd.datasets import open_dataset
from ros_kd.frames import PairedFrame
from ros_kd.images import RawPixels
from ros_kd.projection import OcclusionFilter
from training.evidence import DepthTest, Evidence, Memory, Moments, gather, sight
from training.evidence.depths import Surroundings, Window
from training.evidence.moments import Moment
from training.frames.projected import ClassTargets, movable
from training.frames.targets import truth
from training.scores.subsets import places
from training.teachers.files import LabelFiles
from training.teachers.frame_labels import FrameLabels

TEACHER = FrameLabels('street-12')
LOWERED = extrinsics.from_rotation(np.eye(3), [0, 0, HEIGHT - 2])
WINDOW = OcclusionFilter(cell=2)  # pixels of these small images are wide


def evidence(frame: PairedFrame, *others: PairedFrame, moments: Moments = Moments()) -> Evidence:
    """What the label images say."""
    seen = sight(frame, others, WINDOW, moments, Memory(moments.depth))
    return gather(seen, lambda look: TEACHER.probabilities(look.view, look.uv), 12, movable(STREET), moments)


def hard(frame: PairedFrame, found: Evidence) -> np.ndarray:
    """The likeliest class of each point, 255 where nothing is known."""
    label = np.full(len(frame.scan), 255)
    label[found.index] = found.values.argmax(1)
    return label


def painted(frame: PairedFrame, label: int) -> PairedFrame:
    """The frame with one class all over its label image."""
    pixels = RawPixels(np.full((120, 160), label, np.uint8))
    return replace(frame, views=tuple(replace(view, label_pixels=pixels) for view in frame.views))


def test_what_stood_ahead_before_is_known_beside_now_and_what_no_image_saw_is_absent():
    frame, before = (drive_frame(t, pose(10 * t), [WALL]) for t in (1.0, 0.0))
    alone, both = evidence(frame), evidence(frame, before)
    x, beside = frame.points[:, 0], np.abs(frame.points[:, 1]) > np.abs(frame.points[:, 0])
    assert not beside[alone.index].any()
    known = np.zeros(len(x), bool)
    known[both.index] = True
    assert known[beside & (x > 2) & (x < 6) & (frame.scan.label == BUILDING)].mean() > 0.95
    assert not known[x < -10].any()  # behind both cameras
    assert (hard(frame, both) == frame.scan.label)[both.index].mean() > 0.99
    assert not both.own[beside[both.index]].any() and both.own.sum() == len(alone.index)
    ring = (np.hypot(x, frame.points[:, 1]) < 5) & (x > -3) & (x < 2)
    assert known[ring].mean() > 0.95 and not np.isin(np.flatnonzero(ring), alone.index).any()


def test_what_was_hidden_before_does_not_take_the_label_of_what_hid_it():
    hedge = Box((6, 2, 0), (7, 5, 3), VEGETATION)  # between the first camera and a part of the wall
    frame, before = drive_frame(1, pose(10), [WALL, hedge]), drive_frame(0, pose(0), [WALL, hedge])
    found, blind = evidence(frame, before), evidence(frame, before, moments=Moments(depth=None))
    wrong = [(hard(frame, one) == VEGETATION) & (frame.scan.label == BUILDING) for one in (found, blind)]
    assert wrong[1].sum() > 50 > wrong[0].sum()
    assert wrong[0].sum() <= 0.01 * len(found.index)


def test_a_car_that_drove_away_leaves_no_label_on_the_road_and_takes_none_along():
    moments = [drive_frame(t, pose(4 * t), [WALL, car(14 + 10 * t, 0)]) for t in (0.0, 0.5, 1.0, 1.5)]
    behind = [drive_frame(t, pose(4 * t, 180), [WALL, car(14 + 10 * t, 0)]) for t in (1.0,)][0]
    found = evidence(moments[2], *moments[:2], moments[3])
    label, true = hard(moments[2], found), moments[2].scan.label
    assert not ((label == CAR) & (true != CAR)).sum() > 5
    on_car = true == CAR
    assert on_car.sum() > 30 and (label[on_car] == CAR).mean() > 0.95
    sides = found.views[np.searchsorted(found.index, np.flatnonzero(on_car & (label == CAR)))]
    assert (sides == 1).mean() > 0.9  # its own image alone
    unseen = evidence(behind, *moments[:2], moments[3])  # this camera looks the other way
    label = hard(behind, unseen)
    assert (label[behind.scan.label == CAR] == 255).mean() > 0.85  # but its wheels, near the road
    assert ((label == CAR) & (behind.scan.label != CAR)).sum() == 0


def test_a_parked_car_is_known_from_elsewhere_if_moments_enough_found_it():
    boxes = [WALL, car(14, 4)]
    frame = drive_frame(1.5, pose(16), boxes)  # beside the car, which its camera does not see
    others = [drive_frame(t, pose(4 * t), boxes) for t in (0.0, 0.5, 1.0)]
    on_car = frame.scan.label == CAR
    assert on_car.sum() > 100 and (hard(frame, evidence(frame))[on_car] == 255).all()
    assert (hard(frame, evidence(frame, others[2]))[on_car] == CAR).sum() == 0
    assert (hard(frame, evidence(frame, *others))[on_car] == CAR).mean() > 0.3  # its rear and its side
    assert (hard(frame, evidence(frame, others[2], moments=Moments(still=0)))[on_car] == CAR).mean() > 0.3


def test_colours_that_run_over_the_edge_of_a_parked_car_do_not_reach_the_wall_behind(monkeypatch):
    def smeared(frame: PairedFrame) -> PairedFrame:
        labels = frame.views[0].labels()
        wide = cv2.dilate((labels == CAR).astype(np.uint8), np.ones((1, 3), np.uint8)) > 0
        return replace(frame, views=(replace(frame.views[0], label_pixels=RawPixels(np.where(wide, CAR, labels))),))
    boxes = [WALL, car(14, 4)]
    frame = drive_frame(1.5, pose(16), boxes)
    others = [smeared(drive_frame(t, pose(4 * t), boxes)) for t in (0.0, 0.5, 1.0)]
    wrong = (frame.scan.label == BUILDING) & (hard(frame, evidence(frame, *others)) == CAR)
    monkeypatch.setattr(Window, 'edge', lambda self, uv, depth: np.zeros(len(uv), bool))
    unguarded = (frame.scan.label == BUILDING) & (hard(frame, evidence(frame, *others)) == CAR)
    assert unguarded.sum() > 30 and wrong.sum() < 0.3 * unguarded.sum()


def test_who_stands_still_and_is_overlooked_at_other_moments_is_not_forgotten():
    person = STREET.names.index('person')
    boxes = [WALL, Box((20, -1, 0), (20.5, 0, 1.8), person)]
    frame, *others = [drive_frame(t, pose(4 * t), boxes) for t in (1.0, 0.0, 0.5)]
    blind = [painted(other, BUILDING) for other in others]
    of_person = frame.scan.label == person
    shares = [(hard(frame, evidence(frame, *blind, moments=Moments(contradicted=c)))[of_person] == person).mean()
              for c in (0.0, 0.3, 1.0)]
    assert of_person.sum() > 10 and shares[0] > 0.95 and shares[1] > 0.75 and shares[2] < 0.5
    found = evidence(frame, *blind)
    assert (found.certainty(1.0)[np.isin(found.index, np.flatnonzero(of_person))] < 0.7).mean() > 0.8


def test_contradiction_costs_certainty_and_agreement_does_not():
    frame, before = (drive_frame(t, pose(5 * t), [WALL]) for t in (1.0, 0.0))
    same, other = evidence(frame, before), evidence(painted(frame, BUILDING), painted(before, VEGETATION))
    twice = same.views == 2
    inside = same.entropy < 1e-6  # away from the borders of the label image
    assert twice.sum() > 500 and (twice & inside).sum() > 0.8 * twice.sum()
    assert (same.divergence[inside] < 1e-5).all() and np.allclose(same.certainty(1.0)[inside], 1)
    twice = other.views == 2
    assert (other.divergence[twice] > 0.3).all() and (other.certainty(1.0)[twice] < 0.75).all()
    assert np.allclose(other.divergence, other.entropy, atol=1e-5)  # each answer alone was sure
    assert np.allclose(other.certainty(0.0), 1)
    assert (other.values[twice][:, [BUILDING, VEGETATION]].sum(1) > 0.999).all()


def test_near_and_recent_images_count_more():
    frame, before = (drive_frame(t, pose(5 * t), [WALL]) for t in (1.0, 0.0))
    found = evidence(painted(frame, BUILDING), painted(before, VEGETATION))
    twice = found.views == 2
    assert (found.values[twice, BUILDING] > 0.5).all()  # 5 m nearer and a second later
    old = evidence(painted(frame, BUILDING), painted(before, VEGETATION), moments=Moments(fading=0.2))
    assert (old.values[twice, BUILDING] > 0.95).all()
    far = evidence(painted(frame, BUILDING), painted(before, VEGETATION), moments=Moments(near=1.0))
    assert (far.values[twice, BUILDING] > found.values[twice, BUILDING]).all()


@pytest.mark.parametrize('case', ['none', 'nan', 'far', 'lowered'])
def test_moments_without_a_right_pose_are_left_out(case, caplog):
    frame, before = (drive_frame(t, pose(5 * t), [WALL, car(12, -4)]) for t in (1.0, 0.0))
    wrong = {'none': None, 'nan': np.full((4, 4), np.nan), 'far': pose(500.0), 'lowered': LOWERED}[case]
    with caplog.at_level(logging.WARNING, 'training.evidence'):
        alone, found = evidence(frame), evidence(frame, replace(before, world_from_lidar=wrong))
        assert np.array_equal(found.index, alone.index) and np.array_equal(found.values, alone.values)
        posed = evidence(replace(frame, world_from_lidar=None), before)
        assert np.array_equal(posed.index, alone.index)
    said = {'nan': 'is not finite', 'far': '495 m apart after 1.00 s', 'lowered': 'only .* are in the same place'}
    assert (case == 'none') == (not caplog.records)
    if case in said:
        assert len(caplog.records) == 1
        caplog.clear()
        with pytest.raises(AssertionError, match=f'frame 1.0 .* frame 0.0: .*{said[case]}'), \
                caplog.at_level(logging.WARNING, 'training.evidence'):
            evidence(frame, replace(before, world_from_lidar=wrong))
            raise AssertionError(caplog.records[0].getMessage())


def test_points_that_are_no_number_are_never_seen():
    frame, before = (drive_frame(t, pose(5 * t), [WALL]) for t in (1.0, 0.0))
    points = frame.points.copy()
    points[::7] = np.nan
    broken = replace(frame, scan=replace(frame.scan, points=points))
    found = evidence(broken, before)
    assert len(found.index) and (found.index % 7 != 0).all() and np.isfinite(found.values).all()
    assert len(evidence(frame, replace(before, scan=broken.scan), moments=Moments(consistent=0)).index)


def test_a_surface_is_there_behind_it_is_hidden_and_before_it_gone():
    angle, height = np.meshgrid(np.radians(np.arange(-30, 30, 0.2)), np.linspace(-2, 3, 60))
    wall = np.stack([np.full(angle.size, 10.0), 10 * np.tan(angle.ravel()), height.ravel()], 1).astype(np.float32)
    around = Surroundings.of(wall, DepthTest())
    asked = np.array([[10, 0.3, 0], [10.3, 1, 0], [5, 0, 0], [14, 0, 0], [-10, 0, 0], [np.nan, 0, 0]], np.float32)
    there, gone = around.judge(asked)
    assert there.tolist() == [True, True, False, False, False, False]
    assert gone.tolist() == [False, False, True, False, False, False]


def test_ground_between_two_rings_is_there_and_wide_gaps_tell_nothing():
    def judged(gap: float) -> bool:
        azimuth = np.radians(np.arange(-5, 5, 0.1))
        rings = [np.stack([d * np.cos(azimuth), d * np.sin(azimuth), np.full(len(azimuth), -1.8)], 1)
                 for d in (18.0, 28.0)]  # 5.7 and 3.7 degrees below the horizon
        there, _ = Surroundings.of(np.concatenate(rings).astype(np.float32), DepthTest(gap=gap)).judge(
            np.array([[22.5, 0, -1.8]], np.float32))
        return bool(there[0])
    assert judged(2.0) and not judged(0.5)


def test_depth_images_are_made_once_however_often_a_frame_is_read(monkeypatch):
    made = []
    of = Surroundings.of
    monkeypatch.setattr(Surroundings, 'of', lambda points, test: made.append(1) or of(points, test))
    memory, moments = Memory(DepthTest()), Moments()
    frames = [drive_frame(t, pose(5 * t), [WALL], camera=t < 1) for t in (0.0, 0.5, 1.0, 1.5)]
    for number in (1, 2):
        read = [replace(frame) for frame in frames]
        sight(read[number], [read[number - 1], read[number + 1]], None, moments, memory)
    assert len(made) == 4
    kept = memory.moments([replace(frames[0], views=())])[0]
    assert isinstance(kept, Moment) and kept.frame.views == ()


def test_impossible_parameters_are_refused():
    for wrong in (lambda: Moments(seen_through=1.5), lambda: Moments(fading=0), lambda: DepthTest(cell=0)):
        with pytest.raises(ValueError, match='expected'):
            wrong()


def test_places_part_a_scan():
    frame = drive_frame(0, pose(0), [WALL])
    parts = places(frame)
    assert (sum(part.astype(int) for part in parts.values()) == 1).all()
    near, blind, rest = parts.values()
    azimuth = np.abs(np.degrees(np.arctan2(frame.points[:, 1], frame.points[:, 0])))
    assert np.array_equal(near, np.hypot(*frame.points[:, :2].T) < 4)
    assert (azimuth[blind] > 44).all() and (azimuth[rest] < 46).all()
    assert not places(drive_frame(0, pose(0), [WALL], camera=False))['neither near nor blind'].any()




def test_on_a_real_street_other_moments_fill_the_blind_sectors_rightly(real_data):
    frames = open_dataset(f'pandaset:{real_data}/pandaset/002')
    frame, others = frames[4], [frames[i] for i in (1, 3, 5, 7)]
    make = ClassTargets(LabelFiles(real_data / 'teacher/dicenet/labels'), STREET)
    true, blind = truth(frame, STREET), places(frame)['blind sectors (beyond 4 m)']
    shares, right = [], []
    for targets in (make(frame), make(frame, others)):
        label = targets.hard(len(true))
        known = blind & (true != 255)
        shares.append((label[known] != 255).mean())
        right.append((label == true)[(label != 255) & (true != 255)].mean())
    assert shares[0] < 0.01 and shares[1] > 0.2
    assert right[1] > right[0] - 0.01
