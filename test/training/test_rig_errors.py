# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Rigs that are made worse on purpose."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from streets import TO_OPTICAL, street, write_drive

from ros_kd import extrinsics
from ros_kd.extrinsics import Trajectory
from training.frames.data import Frames
from training.frames.rig_errors import RigErrors, disturb, median_pixel_error, offset, pixel_error
from training.frames.targets import Makers

SPEED, LATE = 10.0, 50_000_000  # m/s along x; ns from scan to image


@dataclass
class Drive:
    """Five streets a second apart, driven along at 10 m/s, each image taken 50 ms after its scan."""

    moving: bool = True
    name: str = 'drive'

    @property
    def trajectory(self) -> Trajectory | None:
        if not self.moving:
            return None
        poses = np.tile(np.eye(4), (5, 1, 1))
        poses[:, 0, 3] = SPEED * np.arange(5)
        return Trajectory(np.arange(5) * 10 ** 9, poses)

    def __len__(self) -> int:
        return 5

    def __getitem__(self, index):
        frame = street(index)
        stamp = index * 10 ** 9
        taken = np.eye(4)
        taken[0, 3] = -SPEED * LATE * 1e-9  # the points come nearer until the image is taken
        view = replace(frame.views[0], stamp=stamp + LATE, lidar_to_camera=TO_OPTICAL @ taken)
        return replace(frame, scan=replace(frame.scan, stamp=stamp), views=(view,))


def changes(errors: RigErrors) -> list[np.ndarray]:
    """What is multiplied from the left to the extrinsics of each frame."""
    drive = Drive()
    disturbed = disturb(drive, errors)
    return [disturbed[i].views[0].lidar_to_camera @ extrinsics.invert(drive[i].views[0].lidar_to_camera)
            for i in range(len(drive))]


def angle(transform: np.ndarray) -> float:
    return float(np.degrees(np.arccos((np.trace(transform[:3, :3]) - 1) / 2)))


def test_a_bad_calibration_is_off_by_what_was_asked_for_all_through_the_drive():
    found = changes(RigErrors(rotation=1.5, translation=0.05, seed=3))
    assert [angle(change) for change in found] == pytest.approx([1.5] * 5)
    assert [np.linalg.norm(change[:3, 3]) for change in found] == pytest.approx([0.05] * 5)
    assert all(np.allclose(change, found[0]) for change in found)


def test_a_loose_mount_is_off_elsewhere_in_each_frame():
    found = changes(RigErrors(rotation=1.5, each_frame=True))
    assert [angle(change) for change in found] == pytest.approx([1.5] * 5)
    assert all(angle(a @ extrinsics.invert(b)) > 0.05 for a, b in zip(found, found[1:]))


def test_errors_depend_on_seed_and_camera_and_not_on_the_order_of_frames():
    drive = Drive()
    errors = RigErrors(rotation=1, jitter=20, each_frame=True, seed=1)
    forwards, again = disturb(drive, errors), disturb(drive, errors)
    expected = [forwards[i].views[0].lidar_to_camera for i in range(5)]
    for i in (4, 0, 2):
        np.testing.assert_array_equal(again[i].views[0].lidar_to_camera, expected[i])
    other = disturb(drive, replace(errors, seed=2))[0].views[0].lidar_to_camera
    assert not np.allclose(other, expected[0])
    first, second = (disturb(Renamed(drive, name), errors)[0].views[0].lidar_to_camera for name in ('front', 'left'))
    assert not np.allclose(first, second)


@dataclass
class Renamed:
    """The drive with its camera called otherwise."""

    drive: Drive
    camera: str
    name: str = 'renamed'

    @property
    def trajectory(self):
        return self.drive.trajectory

    def __len__(self) -> int:
        return len(self.drive)

    def __getitem__(self, index):
        frame = self.drive[index]
        return replace(frame, views=(replace(frame.views[0], name=self.camera),))


def test_without_motion_compensation_extrinsics_are_those_of_the_mounts():
    static = disturb(Drive(), RigErrors(compensated=False))
    for i in range(4):
        np.testing.assert_allclose(static[i].views[0].lidar_to_camera, TO_OPTICAL, atol=1e-9)


def test_jitter_moves_extrinsics_as_far_as_the_vehicle_drove_in_that_time():
    shifts = np.array([change[:3, 3] for change in changes(RigErrors(jitter=40))])
    assert np.allclose(shifts[:, :2], 0)  # along the optical axis, which looks ahead
    assert (np.abs(shifts[:, 2]) <= SPEED * 0.040).all() and np.abs(shifts[:, 2]).max() > 0.02
    assert len(np.unique(shifts[:, 2].round(6))) == 5


def test_errors_of_time_need_the_vehicles_motion():
    with pytest.raises(ValueError, match='odometry'):
        disturb(Drive(moving=False), RigErrors(jitter=10))[0]
    assert len(disturb(Drive(moving=False), RigErrors(rotation=1))[0].views) == 1


def test_pixel_errors_are_those_of_the_pinhole():
    frame = Drive()[0]
    shifted = np.eye(4)
    shifted[0, 3] = 0.1
    view = replace(frame.views[0], lidar_to_camera=shifted @ frame.views[0].lidar_to_camera)
    found = pixel_error(frame, replace(frame, views=(view,)))
    depth = frame.points[:, 0] - SPEED * LATE * 1e-9
    assert len(found) > 50
    assert found.min() >= 50 * 0.1 / depth.max() - 1e-3 and found.max() <= 50 * 0.1 / depth[depth > 1].min() + 1e-3
    # A turn by a degree about an axis across moves the middle by f tan(1 deg); about any axis by no more, near it.
    assert 0 < median_pixel_error(Drive(), RigErrors(rotation=1)) < 2.5 * 50 * np.tan(np.radians(1))
    assert median_pixel_error(Drive(), RigErrors()) == 0
    small, large = (median_pixel_error(Drive(), RigErrors(rotation=size)) for size in (0.5, 2))
    assert large == pytest.approx(4 * small, rel=0.1)


def test_sizes_that_make_no_sense_are_refused():
    with pytest.raises(ValueError, match='rotation is -1'):
        RigErrors(rotation=-1)
    with pytest.raises(ValueError, match='choose one of both'):
        RigErrors(jitter=10, compensated=False)


def test_a_turn_is_rigid():
    transform = offset(np.random.default_rng(0), 3, 0.1)
    np.testing.assert_allclose(transform[:3, :3] @ transform[:3, :3].T, np.eye(3), atol=1e-12)


def test_training_frames_get_the_errors_and_validation_frames_do_not(tmp_path):
    names = ['semantickitti:.?sequences=00']
    frames = Frames(names, names, str(write_drive(tmp_path, 1)), rig_errors=RigErrors(rotation=2))
    wrong, right = (frames.open(part, Makers(), images=True)[0].frame.views[0].lidar_to_camera
                    for part in ('train', 'val'))
    assert angle(wrong @ extrinsics.invert(right)) == pytest.approx(2)
    np.testing.assert_allclose(right, TO_OPTICAL, atol=1e-9)
