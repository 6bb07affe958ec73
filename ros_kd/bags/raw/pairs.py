# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Which messages of a raw bag make a pair: by their stamps, and because all that a pair needs is known."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ros_kd.bags.calibration import Calibration
from ros_kd.bags.raw.contents import CameraSource
from ros_kd.bags.raw.headers import Headers
from ros_kd.bags.raw.motion import RawMotion
from ros_kd.bags.raw.report import SkipReport
from ros_kd.offline_pairing import pair_stamps
from ros_kd.transforms import TransformError


@dataclass(frozen=True, eq=False)
class RawPairs:
    """Pairs of a raw bag: places int64 [M, 1 + cameras] in the headers of the scans and of each camera's images, and
    which calibration holds for each image, int64 [M, cameras]."""

    places: np.ndarray
    calibrations: np.ndarray

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, rows: np.ndarray | slice) -> RawPairs:
        return RawPairs(self.places[rows], self.calibrations[rows])


def find_pairs(scans: Headers, cameras: tuple[CameraSource, ...], motion: RawMotion,
               slop: float) -> tuple[RawPairs, SkipReport]:
    """Pair scans with an image of each camera within `slop` seconds; the report says what was left out."""
    limit = round(slop * 1e9)
    stamps = [scans.stamps, *(camera.images.stamps for camera in cameras)]
    places = pair_stamps(stamps, max_interval=limit)
    report = _unpaired(SkipReport(len(scans.stamps), len(places)), stamps, places, cameras, slop)
    which = np.stack([camera.calibrations.at(camera.images.stamps[places[:, number + 1]])
                      for number, camera in enumerate(cameras)], 1)
    pairs = RawPairs(places, which)
    pairs = pairs[_calibrated(pairs, cameras, report)]
    pairs = pairs[_connected(pairs, scans, cameras, motion, report)]
    return pairs, replace(report, pairs=len(pairs))


def _unpaired(report: SkipReport, stamps: list[np.ndarray], places: np.ndarray, cameras: tuple[CameraSource, ...],
              slop: float) -> SkipReport:
    """Sort the scans that are in no pair: has a camera no image near it, or did other scans take them?"""
    alone = np.setdiff1d(np.arange(len(stamps[0])), places[:, 0])
    far = np.stack([_distance(stamps[0][alone], images) for images in stamps[1:]], 1) > slop * 1e9
    for row in far[far.any(1)]:
        report.interval[f'{cameras[int(row.argmax())].inputs.name} within {slop:g} s'] += 1
    return replace(report, no_partner=int((~far.any(1)).sum()))


def _distance(stamps: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return the time from each of `stamps` [M] to the nearest of `others` [N], ns; very long if there are none."""
    if len(others) == 0:
        return np.full(len(stamps), np.iinfo(np.int64).max)
    right = np.clip(np.searchsorted(others, stamps), 1, max(len(others) - 1, 1))
    return np.minimum(np.abs(stamps - others[right - 1]), np.abs(stamps - others[np.minimum(right, len(others) - 1)]))


def _calibrated(pairs: RawPairs, cameras: tuple[CameraSource, ...], report: SkipReport) -> np.ndarray:
    """Tell which pairs have a calibration of each camera, bool [M]; count the others."""
    known = np.ones(len(pairs), bool)
    for number, camera in enumerate(cameras):
        different, which = camera.calibrations.different, pairs.calibrations[:, number]
        usable = np.append([isinstance(entry, Calibration) for entry in different], False).astype(bool)[which]
        for index, count in zip(*np.unique(which[known & ~usable], return_counts=True)):
            problem = different[index] if index >= 0 else 'no message before the image'
            report.no_calibration[f'{camera.inputs.camera_info}: {problem}'] += int(count)
        known &= usable
    return known


def _connected(pairs: RawPairs, scans: Headers, cameras: tuple[CameraSource, ...], motion: RawMotion,
               report: SkipReport) -> np.ndarray:
    """Tell which pairs have the transforms of each camera, bool [M]; count the others."""
    known = np.ones(len(pairs), bool)
    scan_stamps = scans.stamps[pairs.places[:, 0]]
    for number, camera in enumerate(cameras):
        image_stamps = camera.images.stamps[pairs.places[:, number + 1]]
        covered = motion.covers(camera.frame_id, image_stamps, scan_stamps)
        missing = np.flatnonzero(known & ~covered)
        if len(missing):
            why = _why_not(motion, camera.frame_id, int(image_stamps[missing[0]]), int(scan_stamps[missing[0]]))
            report.no_transform[f'"{motion.lidar}" to "{camera.frame_id}": {why}'] += len(missing)
        known &= covered
    return known


def _why_not(motion: RawMotion, camera: str, image_stamp: int, scan_stamp: int) -> str:
    try:
        motion.lidar_to_camera(camera, image_stamp, scan_stamp)
    except TransformError as error:
        return str(error)
    return 'not covered'
