# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Cameras and LiDAR of a raw bag, by a few of their messages; whether they pair does not matter here."""

from __future__ import annotations

from typing import Any, Callable

from ros_kd import clouds
from ros_kd.bags import layout
from ros_kd.bags.calibration import Calibration
from ros_kd.bags.codec import read
from ros_kd.bags.discovery import CameraInputs
from ros_kd.bags.pixels import pixels_of
from ros_kd.bags.raw.headers import DAMAGED, Calibrations, Headers
from ros_kd.bags.store import MessageStore
from ros_kd.inspection.figures import CameraFigures, Lidar
from ros_kd.inspection.inspected import BROKEN, damage, text_of
from ros_kd.inspection.samples import lidar_figures, look_at, spread

_PAYLOADS = 8


def orphans(graph: dict[str, list[str]], cameras: list[CameraInputs]) -> tuple[CameraFigures, ...]:
    """Return the image topics that no camera_info belongs to, as cameras that cannot be used."""
    spaces = tuple(camera.camera_info.removesuffix('camera_info') for camera in cameras)
    infos = {topic.removesuffix('camera_info') for topic, kinds in graph.items() if layout.CAMERA_INFO in kinds}
    found = [topic for topic, kinds in sorted(graph.items()) if set(kinds) & {layout.IMAGE, layout.COMPRESSED}
             and not topic.startswith(spaces) and not any(topic.startswith(info) for info in infos)]
    return tuple(CameraFigures(topic, topic, problem='no camera_info belongs to its images: record the CameraInfo of '
                               f'the camera beside them, such as {topic.rsplit("/", 1)[0]}/camera_info')
                 for topic in found)


def raw_camera(store: MessageStore, inputs: CameraInputs, calibrations: Calibrations | None = None) -> CameraFigures:
    """Return the figures of a camera."""
    known = calibrations.different if calibrations is not None else ()
    usable = [entry for entry in known if isinstance(entry, Calibration)]
    broken = [entry for entry in known if isinstance(entry, str)]
    images, problems = _some(store, inputs.image, lambda message: _decoded(message, inputs.compressed))
    look = look_at([image for image, _ in images])
    problem = f'{inputs.camera_info}: {broken[0]}' if broken and not usable else \
        problems[0] if problems and not images else ''
    infos, _ = _some(store, inputs.camera_info, lambda message: message, 1)
    K = usable[0].camera.K if usable else None
    return CameraFigures(
        inputs.name, inputs.image, usable[0].camera.model if usable else '', usable[0].camera.width if usable else 0,
        usable[0].camera.height if usable else 0,
        None if K is None else (float(K[0, 0]), float(K[1, 1]), float(K[0, 2]), float(K[1, 2])),
        look.width if look else 0, look.height if look else 0, images[0][1] if images else '',
        _region(infos[0]) if infos else '', inputs.rectified, len(known), look.bright if look else None,
        look.dark if look else None, look.sharpness if look else None, damage(problems, len(images) + len(problems)),
        problem)


def _decoded(message: Any, compressed: bool) -> tuple[Any, str]:
    return (pixels_of(message, compressed, 'compressed image').read(),
            message.format if compressed else message.encoding)


def _region(info: Any) -> str:
    """Return region of interest and binning in words, '' for the whole image."""
    roi, binning = info.roi, (max(info.binning_x, 1), max(info.binning_y, 1))
    parts = [f'{roi.width}x{roi.height} at ({roi.x_offset}, {roi.y_offset})'] if roi.width and roi.height else []
    parts += [f'binning {binning[0]}x{binning[1]}'] if binning != (1, 1) else []
    return ', '.join(parts)


def raw_lidar(store: MessageStore, topic: str, headers: Headers, seen: float | None) -> Lidar:
    """Return the figures of a LiDAR."""
    scans, _ = _some(store, topic, lambda message: clouds.scan_from_records(
        clouds.records(message), 0, message.header.frame_id))
    return lidar_figures(topic, scans, seen) or Lidar(topic, headers.frame_id, 0, 0.0, 0.0, ())


def _some(store: MessageStore, topic: str, convert: Callable[[Any], Any],
          count: int = _PAYLOADS) -> tuple[list[Any], list[str]]:
    """Return what `convert` makes of some messages, and what is wrong with the others."""
    good, bad = [], []
    for number in spread(len(store.stamps(topic)), count):
        try:
            good.append(convert(read(store.read(topic, number), store.types[topic])))
        except (*DAMAGED, *BROKEN) as error:
            bad.append(f'message {number} on {topic} cannot be read: {text_of(error)}')
    return good, bad
