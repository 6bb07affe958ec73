# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Simulated drives as a dataset: geometry of pairs, repeatability, options."""

import multiprocessing
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip('embreex')

from ros_kd import extrinsics
from ros_kd.datasets import DatasetError, Options, open_dataset, simulated
from ros_kd.label_sets import get_taxonomy
from ros_kd.world.rays import Rays


@pytest.fixture(scope='module')
def drive():
    return open_dataset('simulated:?seed=5&frames=3&step=15&start=12')


def visible_static(drive, frame, view):
    """Return rows and pixels of points that nothing hides from the camera, as further rays from there tell."""
    simulation = drive.simulation
    in_camera = extrinsics.apply(view.lidar_to_camera, frame.points.astype(np.float64))
    uv, valid = view.camera.project(in_camera)
    rows = np.nonzero(valid)[0]
    pose = simulation.world_from_camera(view.name, view.stamp)
    world = extrinsics.apply(pose, in_camera[rows])
    offset = world - pose[:3, 3]
    distance = np.linalg.norm(offset, axis=1)
    directions = (offset / distance[:, None]).astype(np.float32)
    every = np.arange(len(rows))
    hits = simulation.scene.cast(Rays(np.tile(pose[:3, 3].astype(np.float32), (len(rows), 1)), directions, 200.0,
                                      (view.stamp - simulated.EPOCH) * 1e-9, lambda centre, radius: every))
    seen = (hits.distance > distance - 0.15) & ~hits.actor
    moving = np.isin(frame.scan.label[rows], [8, 9, 10, 11])
    return rows[seen & ~moving], uv[rows[seen & ~moving]]


def test_points_and_label_pixels_agree(drive):
    for index in (0, 2):
        frame = drive[index]
        for view in frame.views:
            rows, uv = visible_static(drive, frame, view)
            pixel = np.rint(uv).astype(int)
            agree = view.labels()[pixel[:, 1], pixel[:, 0]] == frame.scan.label[rows]
            assert len(rows) > 2000
            assert agree.mean() > 0.97, f'{view.name} of frame {index}'


def test_ego_motion_between_scan_and_image_is_in_the_extrinsics(drive):
    frame = drive[1]
    for view in frame.views:
        assert view.stamp != frame.stamp
        seconds = (view.stamp - frame.stamp) * 1e-9
        model = drive.simulation.rig.camera(view.name)
        assert abs(seconds) <= 0.5 / model.rate + 1e-9
        static = extrinsics.invert(model.base_from_optical) @ drive.simulation.rig.lidar.mount.base_from_sensor
        motion = static @ extrinsics.invert(view.lidar_to_camera)
        assert np.linalg.norm(motion[:3, 3]) == pytest.approx(8 * abs(seconds), rel=0.5)


def test_trajectory_gives_the_pose_of_each_frame(drive):
    trajectory = drive.trajectory
    for frame in drive:
        np.testing.assert_allclose(trajectory.at(frame.stamp), frame.world_from_lidar, atol=1e-9)
    assert np.median(np.diff(trajectory.stamps)) == 10 ** 8


def test_frames_do_not_depend_on_the_order_of_access(drive):
    last, first, again = drive[-1], drive[0], drive[2]
    assert [frame.key for frame in (first, again)] == ['5-000012', '5-000042'] and len(drive) == 3
    np.testing.assert_array_equal(last.points, again.points)
    np.testing.assert_array_equal(last.scan.label, again.scan.label)
    with pytest.raises(IndexError):
        drive[3]


def test_image_and_labels_come_from_one_rendering(drive):
    view = drive[0].view('front')
    view.image()
    rendered = simulated._exposure.cache_info().misses
    assert view.labels().dtype == np.uint8 and view.image().shape == (540, 960, 3)
    assert simulated._exposure.cache_info().misses == rendered
    assert view.taxonomy is get_taxonomy('sim-12') and view.frame_id == 'front_optical_frame'


@pytest.mark.filterwarnings('ignore:.*fork.*')
def test_a_forked_worker_renders_the_same(drive):
    view, context = drive[0].view('left'), multiprocessing.get_context('fork')
    rendered = view.labels()
    answers = context.SimpleQueue()

    def work():
        simulated._exposure.cache_clear()
        answers.put(view.labels())

    worker = context.Process(target=work)
    worker.start()
    np.testing.assert_array_equal(answers.get(), rendered)
    worker.join()


def test_options_shape_the_drive(monkeypatch):
    asked = []
    monkeypatch.setattr(simulated, 'Simulation', lambda *values: asked.append(values))
    drive = simulated.open(Path(), Options({'seed': '9', 'cameras': 'right,front', 'width': '640', 'height': '360',
                                            'deskew': 'no', 'frames': '7'}))
    (seed, rig), = asked
    assert (seed, len(drive), rig.lidar.deskewed) == (9, 7, False)
    assert [model.name for model in rig.cameras] == ['right', 'front']
    assert {(model.width, model.height) for model in rig.cameras} == {(640, 360)}


@pytest.mark.parametrize('option, named', [('frames=0', 'frames=0'), ('cameras=rear', 'front'), ('sed=3', 'sed'),
                                           ('step=x', 'step=x')])
def test_wrong_options_are_named(option, named):
    with pytest.raises(DatasetError, match=named):
        open_dataset(f'simulated:?{option}')


def test_no_folder_is_taken_for_a_simulated_drive(tmp_path):
    assert not simulated.recognises(tmp_path)
