# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""nuScenes (Caesar et al., CVPR 2020): keyframes of LIDAR_TOP and the six cameras from the official tables.

Each sensor has its own stamp and its own ego pose, so lidar_to_camera carries the ego-motion between scan and image.
Points stay in the sensor's frame: x right, y forward, z up (not REP-103). Labels are lidarseg's 32 raw classes
(taxonomy "nuscenes") where that part of the dataset is there.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from ros_kd import extrinsics
from ros_kd.cameras import Camera
from ros_kd.datasets import DatasetError, Options
from ros_kd.datasets.files import FrameList, read_labels, read_points, read_table, thin
from ros_kd.datasets.nuscenes_splits import SPLITS, in_split
from ros_kd.extrinsics import Trajectory
from ros_kd.frames import CameraView, PairedFrame, Scan
from ros_kd.images import ImageFile
from ros_kd.label_sets import get_taxonomy

KNOWN = 'version=v1.0-mini (default: the only one), scenes=scene-0061 (default: all), split=train or val (the ' \
    'official ones), cameras=CAM_FRONT (default: all six), every=N (each Nth keyframe), frames=N (at most N)'
LIDAR = 'LIDAR_TOP'
CAMERAS = ('CAM_FRONT', 'CAM_FRONT_RIGHT', 'CAM_BACK_RIGHT', 'CAM_BACK', 'CAM_BACK_LEFT', 'CAM_FRONT_LEFT')


@dataclass(frozen=True, eq=False)
class _Reading:
    """One file of one sensor: a row of sample_data with what its tokens refer to. Stamps in ns."""

    channel: str
    file: Path
    stamp: int
    width: int
    height: int
    intrinsics: list
    T_ego_sensor: np.ndarray
    T_world_ego: np.ndarray
    lidarseg: Path | None = None


def recognises(path: Path) -> bool:
    """Tell whether `path` holds the tables of a nuScenes version."""
    return any((path / 'samples').is_dir() and (folder / 'sample_data.json').exists() for folder in path.glob('v1.0-*'))


def open(path: Path, options: Options) -> FrameList:
    """Open the keyframes whose files are there. Raises DatasetError saying what is missing."""
    version, scenes, split = options.text('version', ''), options.names('scenes'), options.text('split', '')
    cameras = options.names('cameras', CAMERAS)
    every, frames = options.number('every', 1), options.number('frames', 0)
    options.finish('nuscenes', KNOWN)
    unknown = [name for name in cameras if name not in CAMERAS]
    if unknown:
        raise DatasetError(f'nuScenes has no camera {", ".join(unknown)}; it has {", ".join(CAMERAS)}')
    if split not in ('', *SPLITS):
        raise DatasetError(f'option split={split}: expected {" or ".join(SPLITS)}, or none for all scenes')
    tables = _Tables(path, _version(path, version), scenes, split)
    keyframes = tables.keyframes((LIDAR, *cameras))
    complete = [frame for frame in keyframes if all((path / row['filename']).exists() for row in frame.values())]
    if len(complete) < len(keyframes):
        logging.getLogger(__name__).warning('%s: skipped %d of %d keyframes, whose files are not all there',
                                            path, len(keyframes) - len(complete), len(keyframes))
    if not complete:
        first = path / keyframes[0][LIDAR]['filename'] if keyframes else path / 'samples'
        raise DatasetError(f'none of {len(keyframes)} keyframes in {path} has all its files, such as {first}')
    readings = [[tables.reading(row) for row in frame.values()] for frame in thin(complete, every, frames)]
    return FrameList(tables.folder.name, [partial(_read, frame) for frame in readings], tables.trajectory())


def _version(path: Path, version: str) -> Path:
    there = sorted(folder for folder in path.glob('v1.0-*') if (folder / 'sample_data.json').exists())
    chosen = [folder for folder in there if version in ('', folder.name)]
    if len(chosen) != 1:
        raise DatasetError(f'{path} has the tables of {[folder.name for folder in there] or "no version"}; expected '
                           + (f'the folder {version}' if version else 'one folder v1.0-*, or name it with version='))
    return chosen[0]


class _Tables:
    """The rows that LiDAR and cameras need, by token."""

    def __init__(self, root: Path, folder: Path, scenes: tuple[str, ...], split: str) -> None:
        self.root, self.folder = root, folder
        chosen = {row['token']: row['name'] for row in self._rows('scene') if not scenes or row['name'] in scenes}
        missing = sorted(set(scenes) - set(chosen.values()))
        if missing:
            raise DatasetError(f'{folder} has no scenes {", ".join(missing)}')
        if split:
            chosen = {token: name for token, name in chosen.items() if in_split(name, split, folder.name)}
        if not chosen:
            raise DatasetError(f'{folder} has no scenes of split {split}' if split else f'{folder} has no scenes')
        samples = {row['token']: row['timestamp'] for row in self._rows('sample') if row['scene_token'] in chosen}
        sensors = {row['token']: row['channel'] for row in self._rows('sensor')}
        self._calibrations = {row['token']: row for row in self._rows('calibrated_sensor')}
        self._channels = {token: sensors[row['sensor_token']] for token, row in self._calibrations.items()}
        self._samples = samples
        wanted = (LIDAR, *CAMERAS)
        self._data = [row for row in self._rows('sample_data') if row['sample_token'] in samples
                      and self.channel(row) in wanted and (row['is_key_frame'] or self.channel(row) == LIDAR)]
        used = {row['ego_pose_token'] for row in self._data}
        self._poses = {row['token']: _transform(row) for row in self._rows('ego_pose') if row['token'] in used}
        has_labels = (folder / 'lidarseg.json').exists()
        self._lidarseg = {row['sample_data_token']: row['filename'] for row in self._rows('lidarseg')} \
            if has_labels else {}

    def _rows(self, name: str) -> list[dict]:
        return read_table(self.folder / f'{name}.json', 'was the metadata unpacked completely?')

    def channel(self, row: dict) -> str:
        return self._channels[row['calibrated_sensor_token']]

    def keyframes(self, channels: tuple[str, ...]) -> list[dict[str, dict]]:
        """Return, in stamp order, the rows of sample_data of each keyframe that has all `channels`."""
        frames: dict[str, dict[str, dict]] = {}
        for row in self._data:
            if row['is_key_frame']:
                frames.setdefault(row['sample_token'], {})[self.channel(row)] = row
        order = sorted(frames, key=self._samples.__getitem__)
        return [{name: frames[token][name] for name in channels}
                for token in order if all(name in frames[token] for name in channels)]

    def reading(self, row: dict) -> _Reading:
        calibration = self._calibrations[row['calibrated_sensor_token']]
        lidarseg = self._lidarseg.get(row['token'])
        return _Reading(self.channel(row), self.root / row['filename'], row['timestamp'] * 1000, row['width'],
                        row['height'], calibration['camera_intrinsic'], _transform(calibration),
                        self._poses[row['ego_pose_token']], lidarseg and self.root / lidarseg)

    def trajectory(self) -> Trajectory:
        """Return the poses of all LiDAR scans, sweeps between keyframes included."""
        scans = {row['timestamp'] * 1000: row for row in self._data if self.channel(row) == LIDAR}
        poses = [self._poses[scans[stamp]['ego_pose_token']]
                 @ _transform(self._calibrations[scans[stamp]['calibrated_sensor_token']]) for stamp in sorted(scans)]
        return Trajectory(np.array(sorted(scans), np.int64), np.stack(poses))


def _transform(row: dict) -> np.ndarray:
    """Return the pose in a row; nuScenes orders quaternions w, x, y, z."""
    w, x, y, z = row['rotation']
    return extrinsics.from_quaternion(row['translation'], np.array([x, y, z, w]))


def _read(readings: list[_Reading]) -> PairedFrame:
    lidar, cameras = readings[0], readings[1:]
    scan = nuscenes_scan(lidar.file, lidar.stamp, lidar.lidarseg)
    views = tuple(_view(camera, lidar) for camera in cameras)
    return PairedFrame(scan, views, lidar.file.name.partition('.')[0], lidar.T_world_ego @ lidar.T_ego_sensor)


def nuscenes_scan(file: Path, stamp: int, lidarseg: Path | None = None) -> Scan:
    """Read a .pcd.bin: float32 x, y, z (m), intensity 0..255, ring; and, if given, one lidarseg byte per point."""
    data = read_points(file, 5)
    label = None if lidarseg is None else read_labels(lidarseg, np.uint8, len(data)).astype(np.uint16)
    return Scan(stamp, data[:, :3], data[:, 3] / np.float32(255), ring=data[:, 4].astype(np.uint16), label=label,
                taxonomy=None if label is None else get_taxonomy('nuscenes'), frame_id=LIDAR)


def _view(camera: _Reading, lidar: _Reading) -> CameraView:
    transform = extrinsics.lidar_to_camera(extrinsics.invert(camera.T_ego_sensor), camera.T_world_ego,
                                           lidar.T_world_ego, lidar.T_ego_sensor)
    return CameraView(camera.channel, camera.stamp, Camera(camera.width, camera.height, camera.intrinsics), transform,
                      ImageFile(camera.file), camera.channel)
