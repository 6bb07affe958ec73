# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Inspects a raw bag, as `ros2 bag record` or ROS 1 made it: also one that nothing can be paired of."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ros_kd.bags import BagError, layout
from ros_kd.bags.discovery import CameraInputs, find_camera, find_cameras
from ros_kd.bags.raw.bag import RawBag
from ros_kd.bags.raw.contents import CameraSource, RawContents, read_contents
from ros_kd.bags.raw.inputs import RawSettings, heard
from ros_kd.bags.raw.motion import RawMotion
from ros_kd.bags.raw.pairs import RawPairs, find_pairs
from ros_kd.bags.raw.report import SkipReport
from ros_kd.bags.store import MessageStore
from ros_kd.inspection.drawing import Style
from ros_kd.inspection.figures import CameraPairing, Figures, Pairing, Source, Topic
from ros_kd.inspection.inspected import Drawing, Inspected, camera_pairing, draw_spread, size_of, storage_of
from ros_kd.inspection.motion import drive
from ros_kd.inspection.raw_sensors import orphans, raw_camera, raw_lidar
from ros_kd.inspection.stream_findings import FAR
from ros_kd.inspection.streams import read_topics
from ros_kd.inspection.timing import Clock, rhythm
from ros_kd.inspection.tree import frames
from ros_kd.offline_pairing import rate_pairs
from ros_kd.transforms import TransformError, TransformTree


@dataclass(frozen=True, eq=False)
class _Paired:
    """Pairs of the cameras that can be used; cameras without one pair are not among them."""

    cameras: tuple[CameraSource, ...]
    pairs: RawPairs
    report: SkipReport


def inspect_raw(path: Path, store: MessageStore, settings: RawSettings, style: Style, count: int) -> Inspected:
    """Inspect a raw bag and draw `count` of its pairs. Raises BagError if a topic or frame asked for is not there."""
    topics, stamps = read_topics(store, True)
    graph = heard(store)
    begin = min((int(store.stamps(topic)[0]) for topic in graph), default=0)
    end = max((int(store.stamps(topic)[-1]) for topic in graph), default=0)
    found = _cameras(graph, settings.cameras)
    common = Figures(path.name, Source.RAW, (end - begin) / 1e9, begin, begin, size_of(path), storage_of(path),
                     store.warnings, topics, cameras=orphans(graph, found))
    points = _points(graph, topics, settings.points)
    if not points:
        return Inspected(replace(common, cameras=tuple(raw_camera(store, camera) for camera in found)
                                 + common.cameras), [])
    contents = read_contents(store, points, tuple(found))
    motion, broken = _motion(contents, settings.fixed_frame)
    paired = _pair(contents, motion, settings.slop)
    drawing = _drawn(path, settings, points, paired, style, count)
    at = contents.scans.stamps
    return Inspected(replace(
        common, start=int(at[0]) if len(at) else begin, logged=int(store.stamps(points)[0]),
        lidar=raw_lidar(store, points, contents.scans, drawing.seen),
        cameras=tuple(raw_camera(store, camera.inputs, camera.calibrations) for camera in contents.cameras)
        + common.cameras, pairing=_pairing(contents, paired, topics, points, settings.slop),
        frames=frames(motion, {camera.inputs.name: camera.frame_id for camera in contents.cameras}, at,
                      settings.fixed_frame),
        fits=drawing.fits, drive=drive(motion.trajectory(at)), broken=(*broken, *drawing.broken)), drawing.drawn)


def _cameras(graph: dict[str, list[str]], wanted: tuple[str, ...]) -> list[CameraInputs]:
    found = [find_camera(graph, name.strip('/')) for name in wanted] if wanted else find_cameras(graph)
    if None in found:
        raise BagError(f'no camera "{wanted[found.index(None)]}"; cameras are '
                       f'{[camera.name for camera in find_cameras(graph)]}')
    return found


def _points(graph: dict[str, list[str]], topics: tuple[Topic, ...], wanted: str) -> str:
    """Return the LiDAR's topic: the one asked for, or that with most bytes a second; '' if there is none."""
    clouds = [topic for topic in topics if layout.CLOUD in graph.get(topic.name, ())]
    if wanted:
        clouds = [topic for topic in clouds if topic.name == '/' + wanted.lstrip('/')]
        if not clouds:
            raise BagError(f'no clouds on {wanted}; topics are {sorted(graph)}')
    return max(clouds, key=lambda topic: topic.count * topic.size).name if clouds else ''


def _motion(contents: RawContents, wanted: str | None) -> tuple[RawMotion, tuple[str, ...]]:
    """Return what is known of the motion, and what is wrong with the tree; a tree with a loop is as good as none."""
    lidar = contents.scans.frame_id
    try:
        return RawMotion.find(contents.transforms, lidar, contents.scans.stamps, wanted), ()
    except TransformError as error:
        return RawMotion(TransformTree(), lidar, ''), (str(error),)


def _pair(contents: RawContents, motion: RawMotion, slop: float) -> _Paired:
    """A camera with a wrong clock, or without transform or calibration, would leave no pair at all: leave it out."""
    usable = tuple(camera for camera in contents.cameras
                   if len(find_pairs(contents.scans, (camera,), motion, slop)[0]))
    cameras = usable or contents.cameras
    if not cameras:
        count = len(contents.scans.stamps)
        return _Paired((), RawPairs(np.empty((0, 1), np.int64), np.empty((0, 0), np.int64)), SkipReport(count, 0))
    return _Paired(cameras, *find_pairs(contents.scans, cameras, motion, slop))


def _drawn(path: Path, settings: RawSettings, points: str, paired: _Paired, style: Style, count: int) -> Drawing:
    if not len(paired.pairs):
        return Drawing()
    bag = RawBag(path, replace(settings, points=points,
                               cameras=tuple(camera.inputs.name for camera in paired.cameras)))
    return draw_spread(bag, style, count)


def _pairing(contents: RawContents, paired: _Paired, topics: tuple[Topic, ...], points: str, slop: float) -> Pairing:
    scans, places = contents.scans.stamps, paired.pairs.places
    columns = {camera.inputs.name: number + 1 for number, camera in enumerate(paired.cameras)}
    clocks = {topic.name: topic.clock for topic in topics}
    cameras = tuple(_camera(camera, scans, places[:, [0, columns[camera.inputs.name]]], slop,
                            _late(clocks[points], clocks[camera.inputs.image]))
                    if camera.inputs.name in columns else CameraPairing(camera.inputs.name, 0, None, None)
                    for camera in contents.cameras)
    return Pairing(len(scans) + sum(contents.scans.unusable.values()), len(places), cameras, _lost(paired.report),
                   rhythm(scans[places[:, 0]]))


def _camera(camera: CameraSource, scans: np.ndarray, pairs: np.ndarray, slop: float, late: float | None
            ) -> CameraPairing:
    images = camera.images.stamps
    figures = camera_pairing(camera.inputs.name, images[pairs[:, 1]] - scans[pairs[:, 0]])
    if not len(pairs):
        return replace(figures, late=late)
    quality = rate_pairs(pairs, scans, images, round(slop * 1e9))
    return replace(figures, late=late, mean_delta=quality.delta / 1e6, best_delta=quality.best_delta / 1e6)


def _late(lidar: Clock | None, camera: Clock | None) -> float | None:
    """Return how much later than the LiDAR's a camera's messages arrive, ms; None where a clock is wrong."""
    if lidar is None or camera is None or max(abs(lidar.median), abs(camera.median)) > FAR:
        return None
    return 1e3 * (lidar.median - camera.median)


def _lost(report: SkipReport) -> tuple[tuple[str, int], ...]:
    lost = [('whose images fit other scans better', report.no_partner)] if report.no_partner else []
    for what, counts in (('without image of', report.interval), ('without calibration on', report.no_calibration)):
        lost += [(f'{what} {which}', count) for which, count in counts.most_common()]
    # Why, and when, is said with the frames.
    return (*lost, *((f'without transform from {which.partition(": ")[0]}', count)
                     for which, count in report.no_transform.most_common()))
