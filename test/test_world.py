# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""The simulated town: geometry against what can be computed by hand, labels, motion and repeatability."""

import pickle
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest

pytest.importorskip('embreex')

from ros_kd import extrinsics
from ros_kd.world.camera import pixel_directions
from ros_kd.world.ground import CURB
from ros_kd.world.lidar import Lidar, beam_directions
from ros_kd.world.meshes import LABEL, TAXONOMY, Material, Part, Solids
from ros_kd.world.rays import FAR, Actor, Rays, Scene, Tracer
from ros_kd.world.rig import LidarModel, Rig
from ros_kd.world.schedule import IMAGE, POSE, SCAN, limited, schedule
from ros_kd.world.simulation import EPOCH, Simulation

RIG = Rig().sized(480, 270)
STAMP = EPOCH + 4_000_000_000


@pytest.fixture(scope='module')
def simulation():
    return Simulation(3, RIG)


@pytest.fixture(scope='module')
def scan(simulation):
    return simulation.scan(STAMP)


def box_scene(motion):
    """A box of 2 m around (10, 0, 0) that stands still, and one of 1 m that moves."""
    still, moving = Solids(), Solids()
    still.box((9, -1, -1), (11, 1, 1), Part('building', Material.PLAIN, (1, 1, 1)))
    moving.box((-0.5, -0.5, -0.5), (0.5, 0.5, 0.5), Part('car', Material.PLAIN, (1, 1, 1)))
    return Scene(still.mesh(), [Actor((Tracer(moving.mesh()),), (1,))], motion)


def rays(directions, **options):
    directions = np.asarray(directions, np.float32)
    every = np.arange(len(directions))
    return Rays(np.zeros_like(directions), directions, 100.0, 0.0, lambda centre, radius: every, **options)


def standing(*places):
    def motion(times):
        return np.stack([[extrinsics.from_rotation(np.eye(3), place) for place in places]] * len(times))
    return motion


def test_a_ray_meets_the_nearest_surface_at_its_exact_distance():
    hits = box_scene(standing((5, -0.3, 0))).cast(rays([(1, 0, 0), (0, 1, 0), (0.995037, 0.0995037, 0)]))
    assert hits.part.tolist() == [1, -1, 0]
    assert hits.distance[:2] == pytest.approx([4.5, FAR])
    assert hits.distance[2] == pytest.approx(9 / 0.995037, abs=1e-4)
    np.testing.assert_allclose(hits.normal[[0, 2]], [(-1, 0, 0)] * 2, atol=1e-6)
    assert hits.actor.tolist() == [True, False, False]


def test_a_moving_box_is_met_where_it_is_when_the_ray_leaves():
    def approaching(times):
        return np.stack([[extrinsics.from_rotation(np.eye(3), (6 - 10 * time, 0, 0))] for time in times])
    hits = box_scene(approaching).cast(rays([(1, 0, 0)] * 3, duration=0.1, when=np.float32([0, 0.5, 1])))
    assert hits.distance == pytest.approx([5.5, 5.0, 4.5], abs=1e-4)


def test_shadows_fall_away_from_the_sun():
    scene = box_scene(standing((5, 0, 0)))
    dark = scene.shadowed(np.float32([(5, 0, -2), (10, 0, -3), (5, 3, -2), (5, 0, 2)]), np.array([0, 0, 1.0]), 0.0)
    assert dark.tolist() == [True, True, False, False]


def test_every_class_is_met_within_a_hundred_metres(simulation):
    stamps = EPOCH + np.arange(1, 13) * 10 ** 9
    ways = simulation.world_from_base(stamps)[:, :3, 3]
    assert np.linalg.norm(np.diff(ways, axis=0), axis=1).sum() < 110
    seen = sum(np.bincount(simulation.scan(int(stamp)).label, minlength=12) for stamp in stamps[::3])
    assert dict(zip(TAXONOMY.names, (seen > 0).tolist())) == dict.fromkeys(TAXONOMY.names, True)


def test_scan_looks_like_one_of_a_64_beam_sensor(scan):
    assert 95_000 < len(scan) < 125_000
    ranges = np.linalg.norm(scan.points, axis=1)
    assert 1 < ranges.min() and 60 < ranges.max() < 111
    assert set(np.unique(scan.ring)) <= set(range(64)) and len(np.unique(scan.ring)) > 60
    assert 0 <= scan.time.min() and 0.09 < scan.time.max() < 0.1
    assert 0 < scan.intensity.min() and scan.intensity.max() <= 1
    assert scan.taxonomy.name == 'sim-12'


def test_intensity_tells_materials_apart_where_height_does_not(scan):
    near = np.linalg.norm(scan.points, axis=1) < 15
    mean = {name: scan.intensity[near & (scan.label == LABEL[name])].mean() for name in ('road', 'sidewalk', 'terrain')}
    assert mean['road'] < 0.75 * mean['terrain'] < mean['sidewalk']
    assert scan.intensity[scan.label == LABEL['sign']].mean() > 0.6


def test_time_of_a_point_is_that_of_its_azimuth():
    model = LidarModel(columns=360)
    directions, times, rings = beam_directions(model)
    azimuth = np.arctan2(directions[:, 1], directions[:, 0])
    # Clockwise from behind: the left is passed after a quarter of the turn, the front after half.
    np.testing.assert_allclose(np.mod(np.pi - azimuth, 2 * np.pi) / (2 * np.pi * model.rate), times, atol=2e-8)
    elevation = np.degrees(np.arcsin(directions[:, 2]))
    assert elevation[rings == 0] == pytest.approx(model.bottom, abs=1e-4)
    assert elevation[rings == 63] == pytest.approx(model.top, abs=1e-4)


def test_deskewed_and_raw_scans_are_the_same_points_of_the_world(simulation, scan):
    raw_model = replace(simulation.rig.lidar, deskewed=False)
    lidar = Lidar(raw_model, simulation.scene, simulation.town.ground, simulation.parts,
                  lambda times: simulation.world_from_base(EPOCH + np.round(times * 1e9).astype(np.int64)))
    raw = lidar.scan((STAMP - EPOCH) * 1e-9, STAMP, np.random.default_rng((3, STAMP, 2)))
    assert len(raw) == len(scan)
    rows = np.arange(0, len(raw), 50)
    poses = simulation.world_from_lidar(STAMP + np.round(raw.time[rows] * 1e9).astype(np.int64))
    world = np.einsum('nij,nj->ni', poses[:, :3, :3], raw.points[rows]) + poses[:, :3, 3]
    deskewed = extrinsics.apply(simulation.world_from_lidar(STAMP), scan.points[rows].astype(float))
    np.testing.assert_allclose(world, deskewed, atol=2e-3)
    moved = np.linalg.norm(raw.points - scan.points, axis=1)
    assert moved[raw.time > 0.09].min() > 0.4  # the vehicle drives: the last points differ by what it drove


def test_curb_is_a_step_of_a_few_centimetres(simulation):
    ring, ground = simulation.town.ring, simulation.town.ground
    s = np.arange(20, 120, 5.0)
    heights = []
    for offset in (-0.6, 0.4):
        xy = ring.path.beside(s, -(ring.half_width(s, -1) + offset))[0]
        origins = np.column_stack([xy, ground.elevation(xy) + 1.0]).astype(np.float32)
        down = np.tile(np.float32([0, 0, -1]), (len(s), 1))
        distance, triangle, _ = simulation.scene.static.cast(origins, down, np.full(len(s), 5, np.float32))
        on_ground = simulation.parts.material[simulation.scene.static.part[triangle]] == Material.GROUND
        label = ground.look(xy.astype(np.float32)).label
        expected = LABEL['road'] if offset < 0 else LABEL['sidewalk']
        heights.append(np.where(on_ground & (label == expected), 1.0 - distance, np.nan))
    step = (heights[1] - heights[0])[np.isfinite(heights[0] + heights[1])]
    assert len(step) > 8
    assert np.median(step) == pytest.approx(CURB, abs=0.005)


def test_drive_is_smooth_even_from_lap_to_lap(simulation):
    lap = simulation.scene.motion  # everybody, the ego vehicle's timetable included
    assert lap(np.array([0.0])).shape[1] > 40
    stamps = EPOCH + np.arange(0, 200_000, 20) * 1_000_000
    poses = simulation.world_from_base(stamps)
    speed = np.linalg.norm(np.diff(poses[:, :3, 3], axis=0), axis=1) / 0.02
    assert 3 < speed.min() and speed.max() < 10
    assert np.abs(np.diff(speed)).max() < 0.35
    turn = np.einsum('nij,nij->n', poses[1:, :3, :3], poses[:-1, :3, :3])
    assert np.degrees(np.arccos(np.clip((turn - 1) / 2, -1, 1))).max() < 1.2
    square = poses[:, :3, :3] @ np.swapaxes(poses[:, :3, :3], 1, 2)
    np.testing.assert_allclose(square, np.tile(np.eye(3), (len(poses), 1, 1)), atol=1e-9)


def test_everybody_moves_at_a_plausible_speed(simulation):
    before, after = simulation.scene.motion(np.array([5.0, 5.5]))[:, :, :3, 3]
    speed = np.linalg.norm(after - before, axis=1) / 0.5
    assert 0.5 < speed.min() and speed.max() < 12
    assert (speed > 3).any() and (speed < 2.5).any()


def test_moving_actors_are_met_at_different_places_over_time(simulation):
    label, centres = LABEL['two-wheeler'], []
    for stamp in (STAMP, STAMP + 10 ** 9):
        scan = simulation.scan(stamp)
        ahead = (scan.label == label) & (np.abs(scan.points[:, 1]) < 4) & (scan.points[:, 0] > 5)
        world = extrinsics.apply(simulation.world_from_lidar(stamp), scan.points[ahead].astype(float))
        assert len(world) > 3
        centres.append(np.median(world, axis=0))
    assert np.linalg.norm(centres[1] - centres[0]) > 3


def test_the_same_seed_gives_the_same_measurements_in_any_order(simulation, scan):
    image = simulation.expose('front', STAMP)
    again = pickle.loads(pickle.dumps(simulation))
    other = again.expose('front', STAMP)
    np.testing.assert_array_equal(other.image, image.image)
    np.testing.assert_array_equal(other.labels, image.labels)
    again.scan(STAMP + 10 ** 8)
    repeated = again.scan(STAMP)
    for column in ('points', 'intensity', 'time', 'ring', 'label'):
        np.testing.assert_array_equal(getattr(repeated, column), getattr(scan, column))


def test_image_tells_apart_what_lies_on_the_ground(simulation):
    looks = {name: [] for name in ('road', 'sidewalk', 'terrain')}
    for second in (2, 4, 6):
        for camera in ('front', 'right'):
            exposure = simulation.expose(camera, EPOCH + second * 10 ** 9)
            for name, colors in looks.items():
                colors.append(exposure.image[exposure.labels == LABEL[name]])
    mean = {name: np.concatenate(colors).mean(0) for name, colors in looks.items()}
    assert mean['sidewalk'].mean() > mean['road'].mean() + 25
    assert mean['terrain'][1] > mean['terrain'][2] + 25 and abs(mean['road'][1] - mean['road'][2]) < 25


def test_sky_is_unknown_and_above(simulation):
    labels = simulation.expose('front', STAMP).labels
    rows = np.nonzero(labels == 255)[0]
    assert len(rows) > 500 and np.percentile(rows, 99) < 140


def test_pixel_rays_are_the_inverse_of_the_projection():
    model = RIG.cameras[0]
    uv, valid = model.camera.project(pixel_directions(model).astype(np.float64) * 7)
    assert valid.all()
    u, v = np.meshgrid(np.arange(model.width), np.arange(model.height))
    np.testing.assert_allclose(uv, np.stack([u, v], -1).reshape(-1, 2), atol=1e-3)


def test_rig_covers_two_hundred_degrees_and_names_its_cameras():
    angles = [(model.mount.yaw - model.fov / 2, model.mount.yaw + model.fov / 2) for model in Rig().cameras]
    assert max(high for _, high in angles) - min(low for low, _ in angles) == pytest.approx(200)
    with pytest.raises(ValueError, match='front.*left.*right'):
        Rig().camera('rear')


def test_schedule_is_ordered_with_a_pose_before_every_image_and_at_every_scan():
    dues = list(limited(schedule(Rig(), 1.0), scans=10))
    assert dues == sorted(dues) and dues[-1].kind == SCAN
    poses = {due.stamp for due in dues if due.kind == POSE}
    assert {due.stamp for due in dues if due.kind != POSE} <= poses
    counts = {name: sum(due.camera == name for due in dues) for name in ('front', 'left', 'right')}
    assert 10 <= counts.pop('front') <= 12 and all(5 <= count <= 6 for count in counts.values())
    known = {due.stamp: due.moment for due in dues if due.kind == SCAN}
    assert all(moment - stamp == 10 ** 8 for stamp, moment in known.items())
    assert all(due.moment == due.stamp for due in dues if due.kind == IMAGE)


def test_schedule_ends_after_its_duration():
    dues = list(limited(schedule(Rig(), 0.0), seconds=0.5))
    assert dues[-1].moment - dues[0].moment <= 5 * 10 ** 8
    assert len(list(islice(limited(schedule(Rig(), 0.0)), 500))) == 500
