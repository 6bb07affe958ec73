# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""nuScenes keyframes listed in an info pickle (MMDetection3D 1.1: a dictionary with "data_list").

A pickle is a program; this one is read by an unpickler that knows nothing but containers, numbers, text and numpy
arrays. The transforms lidar2cam hold the ego-motion between scan and image. Points stay in the sensor's frame: x right,
y forward, z up.
"""

from __future__ import annotations

import io
import pickle
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ros_kd.cameras import Camera
from ros_kd.datasets import DatasetError, Options
from ros_kd.datasets.files import FrameList, image_size, thin
from ros_kd.datasets.nuscenes import nuscenes_scan
from ros_kd.extrinsics import Trajectory
from ros_kd.frames import CameraView, PairedFrame
from ros_kd.images import ImageFile

KNOWN = 'cameras=CAM_FRONT (default: all), every=N (each Nth keyframe), frames=N (at most N)'


def recognises(path: Path) -> bool:
    """Tell whether `path` is an info pickle or a folder with one."""
    return path.suffix == '.pkl' and path.is_file() or path.is_dir() and any(path.glob('*.pkl'))


def open(path: Path, options: Options) -> FrameList:
    """Open the keyframes of an info pickle; files are looked for beside it. Raises DatasetError."""
    wanted = options.names('cameras')
    every, frames = options.number('every', 1), options.number('frames', 0)
    options.finish('nuscenes_info', KNOWN)
    file = _info_file(path)
    infos = read_info(file)
    try:
        infos = sorted(infos, key=lambda info: float(info['timestamp']))
        unknown = sorted(set(wanted) - set(infos[0]['images'])) if infos else []
        trajectory = _trajectory(infos)
    except (KeyError, TypeError, ValueError) as error:
        raise DatasetError(f'{file}: a keyframe without {error}') from None
    if not infos or unknown:
        raise DatasetError(f'{file} has {len(infos)} keyframes' + (f' and no camera {", ".join(unknown)}; it has '
                                                                  f'{sorted(infos[0]["images"])}' if infos else ''))
    return FrameList(file.stem, [partial(_read, file, info, wanted) for info in thin(infos, every, frames)], trajectory)


def _info_file(path: Path) -> Path:
    if path.is_file():
        return path
    files = sorted(path.glob('*.pkl'))
    if len(files) != 1:
        raise DatasetError(f'{path} has {len(files)} info pickles (*.pkl), expected one; name the file itself'
                           if files else f'no info pickle at {path} (*.pkl)')
    return files[0]


def read_info(file: Path) -> list[dict[str, Any]]:
    """Return "data_list" of an info pickle. Raises DatasetError for anything but plain data."""
    try:
        content = _PlainUnpickler(io.BytesIO(file.read_bytes())).load()
    except DatasetError as error:
        raise DatasetError(f'{file}: {error}') from None
    except Exception as error:  # a broken pickle raises whatever its bytes happen to mean
        raise DatasetError(f'{file} is no readable pickle ({type(error).__name__}: {error})') from None
    infos = content.get('data_list') if isinstance(content, dict) else None
    if not isinstance(infos, list):
        found = sorted(map(str, content)) if isinstance(content, dict) else type(content).__name__
        raise DatasetError(f'{file} has no list "data_list" but {found}; expected an info file of MMDetection3D 1.1 or '
                           'later (convert older ones with its tools/dataset_converters/update_infos_to_v2.py)')
    return infos


def _latin1(text: str, encoding: str) -> bytes:
    """Rebuild bytes the way that protocol 2 stores them; no other codec is needed."""
    if encoding not in ('latin1', 'latin-1'):
        raise DatasetError(f'refused: bytes stored with codec "{encoding}"')
    return text.encode('latin-1')


def _numpy_globals() -> dict[tuple[str, str], Any]:
    """Return numpy's own functions that rebuild scalars and arrays, under the names of numpy 1 and 2."""
    array = np.empty(0)
    known: dict[tuple[str, str], Any] = {('numpy', 'dtype'): np.dtype, ('numpy', 'ndarray'): np.ndarray}
    for core in ('numpy.core', 'numpy._core'):
        known[f'{core}.multiarray', 'scalar'] = np.float64(0).__reduce__()[0]
        known[f'{core}.multiarray', '_reconstruct'] = array.__reduce__()[0]
        known[f'{core}.numeric', '_frombuffer'] = array.__reduce_ex__(5)[0]
    return known


class _PlainUnpickler(pickle.Unpickler):
    """Unpickles containers, numbers, text and numpy values only."""

    _allowed = {**_numpy_globals(), ('_codecs', 'encode'): _latin1, ('builtins', 'set'): set,
                ('builtins', 'frozenset'): frozenset}

    def find_class(self, module: str, name: str) -> Any:
        try:
            return self._allowed[module, name]
        except KeyError:
            raise DatasetError(f'refused: it holds {module}.{name}, which plain data never needs; do not trust this '
                               'file') from None

    def persistent_load(self, pid: Any) -> Any:
        raise DatasetError('refused: it refers to objects outside itself')


def _find(root: Path, channel: str, name: str) -> Path:
    places = [root / name, root / 'samples' / channel / name, root.parent / 'samples' / channel / name]
    for place in places:
        if place.exists():
            return place
    raise DatasetError(f'{name} of {channel} is missing; looked for {", ".join(str(place) for place in places)}')


def _stamp(seconds: float) -> int:
    """Return nanoseconds; nuScenes counts whole microseconds, which a float of seconds keeps."""
    return round(float(seconds) * 1e6) * 1000


def _matrix(value: Any, what: str, size: int) -> np.ndarray:
    matrix = np.asarray(value, np.float64)
    if matrix.shape != (size, size):
        raise DatasetError(f'{what} has shape {matrix.shape}, expected ({size}, {size})')
    return matrix


def _trajectory(infos: list[dict[str, Any]]) -> Trajectory | None:
    poses = [_pose(info) for info in infos]
    if any(pose is None for pose in poses) or not poses:
        return None
    return Trajectory(np.array([_stamp(info['timestamp']) for info in infos], np.int64), np.stack(poses))


def _pose(info: dict[str, Any]) -> np.ndarray | None:
    if 'ego2global' not in info or 'lidar2ego' not in info['lidar_points']:
        return None
    return _matrix(info['ego2global'], 'ego2global', 4) @ _matrix(info['lidar_points']['lidar2ego'], 'lidar2ego', 4)


def _read(file: Path, info: dict[str, Any], wanted: tuple[str, ...]) -> PairedFrame:
    try:
        scan = nuscenes_scan(_find(file.parent, 'LIDAR_TOP', info['lidar_points']['lidar_path']),
                             _stamp(info['timestamp']))
        views = tuple(_view(file.parent, channel, entry) for channel, entry in info['images'].items()
                      if not wanted or channel in wanted)
    except (KeyError, TypeError) as error:
        raise DatasetError(f'{file}: a keyframe without {error}') from None
    return PairedFrame(scan, views, str(info.get('token', info.get('sample_idx', scan.stamp))), _pose(info))


def _view(root: Path, channel: str, entry: dict[str, Any]) -> CameraView:
    image = _find(root, channel, entry['img_path'])
    camera = Camera(*image_size(image), _matrix(entry['cam2img'], f'cam2img of {channel}', 3))
    transform = _matrix(entry['lidar2cam'], f'lidar2cam of {channel}', 4)
    return CameraView(channel, _stamp(entry['timestamp']), camera, transform, ImageFile(image), channel)
