# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""Random changes to scans and their targets, so that few frames stand for many places and directions."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ros_kd.extrinsics import apply
from ros_kd.frames import COLUMNS, PairedFrame, Scan
from training.frames.targets import Knowledge, Targets, join_targets
from training.images.looking import Look

LABELLED_SHARE = 0.9  # of the labelled points of the best sector, which another must have to be drawn


@dataclass(frozen=True, eq=False)
class Sample:
    """A frame, what is known of its points, and what its cameras see."""

    frame: PairedFrame
    known: Knowledge
    looks: tuple[Look, ...] = ()


@dataclass(frozen=True)
class Augmentation:
    """What is drawn anew for each sample.

    rotation: about the vertical, degrees either way (180: every direction; a student that learns from a forward camera
    needs it). flip: mirror left and right half of the time. scale: share by which lengths change either way.
    translation: standard deviation in metres. dropout: the largest share of points that is dropped. intensity: share by
    which all intensities change either way. noise: standard deviation in metres of each coordinate.
    sector: degrees around the labelled direction that are kept when scans are combined; with a forward camera only,
    four sectors of 90 degrees from four frames make one scan labelled all around. 0: scans stay whole.
    """

    rotation: float = 180.0
    flip: bool = True
    scale: float = 0.05
    translation: float = 0.1
    dropout: float = 0.2
    intensity: float = 0.1
    noise: float = 0.0
    sector: float = 0.0

    def __post_init__(self) -> None:
        if not (0 <= self.dropout < 1 and 0 <= self.scale < 1 and 0 <= self.sector <= 180):
            raise ValueError(f'augmentation with dropout {self.dropout}, scale {self.scale}, sector {self.sector}: '
                             'expected dropout and scale in 0..1 (excluded), sector 0 to 180 degrees')

    @property
    def combined(self) -> int:
        """How many samples make one."""
        return round(360 / self.sector) if self.sector else 1

    def __call__(self, samples: list[Sample], random: np.random.Generator) -> Sample:
        """Combine `combined` samples into one and change it. Frames made of several have no views."""
        if self.combined > 1:
            sample = collage([cut(self.changed(sample, random), self.sector, random) for sample in samples], random)
        else:
            sample = self.changed(samples[0], random)
        turn = np.eye(4)
        turn[:3, :3] = _turn(np.radians(random.uniform(-self.rotation, self.rotation)))
        return moved(sample, turn)

    def changed(self, sample: Sample, random: np.random.Generator) -> Sample:
        """Return the sample with everything but its direction changed."""
        transform = np.eye(4)
        transform[:3, :3] *= random.uniform(1 - self.scale, 1 + self.scale)
        if self.flip and random.random() < 0.5:
            transform[:3, 1] *= -1
        transform[:3, 3] = random.normal(0, self.translation, 3)
        sample = moved(sample, transform)
        if self.dropout:
            share = random.uniform(0, self.dropout)
            sample = keep(sample, random.random(len(sample.frame.scan), np.float32) >= share)
        scan = sample.frame.scan
        points, intensity = scan.points, scan.intensity
        if self.noise:
            points = points + random.normal(0, self.noise, points.shape).astype(np.float32)
        if self.intensity and intensity is not None:
            intensity = np.clip(intensity * np.float32(random.uniform(1 - self.intensity, 1 + self.intensity)), 0, 1)
        frame = replace(sample.frame, scan=replace(scan, points=points, intensity=intensity))
        return Sample(frame, sample.known)


def _turn(angle: float) -> np.ndarray:
    cosine, sine = np.cos(angle), np.sin(angle)
    return np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1.0]])


def moved(sample: Sample, transform: np.ndarray) -> Sample:
    """Return the sample with its points transformed by [4, 4]; its views still see them at the same pixels."""
    frame = sample.frame
    inverse = np.linalg.inv(transform)
    views = tuple(replace(view, lidar_to_camera=view.lidar_to_camera @ inverse) for view in frame.views)
    pose = None if frame.world_from_lidar is None else frame.world_from_lidar @ inverse
    scan = replace(frame.scan, points=apply(transform, frame.points))
    return Sample(replace(frame, scan=scan, views=views, world_from_lidar=pose), sample.known)


def keep(sample: Sample, kept: np.ndarray) -> Sample:
    """Return the sample with the points bool [N] only."""
    new_row = np.cumsum(kept) - 1

    def left(targets: Targets) -> Targets:
        rows = kept[targets.index]
        return targets.at(rows, new_row[targets.index[rows]])

    return Sample(replace(sample.frame, scan=sample.frame.scan.only(kept)), sample.known.map(left))


def cut(sample: Sample, sector: float, random: np.random.Generator) -> Sample:
    """Return `sector` degrees of the sample, turned to face +x.

    Drawn among the directions with almost as many labelled points as the best: a forward camera labels one, images of
    other moments a wide range.
    """
    points = sample.frame.points
    azimuth = np.degrees(np.arctan2(points[:, 1], points[:, 0]))
    middle = _labelled_direction(azimuth[sample.known.direction.index], sector, random)
    away = np.abs((azimuth - middle + 180) % 360 - 180)
    transform = np.eye(4)
    transform[:3, :3] = _turn(-np.radians(middle))
    return moved(keep(sample, away <= sector / 2), transform)


def _labelled_direction(azimuth: np.ndarray, sector: float, random: np.random.Generator) -> float:
    """Return the middle of a sector that is labelled well, degrees; azimuth [M]: of the labelled points."""
    if not len(azimuth):
        return 0.0
    count = np.bincount(np.floor(azimuth).astype(int) % 360, minlength=360)
    half = max(int(sector // 2), 1)
    around = np.concatenate([count, count, count]).cumsum()
    inside = around[359 + half:719 + half] - around[359 - half:719 - half]  # half a sector either way of each degree
    return float(random.choice(np.flatnonzero(inside >= LABELLED_SHARE * inside.max())))


def collage(samples: list[Sample], random: np.random.Generator) -> Sample:
    """Return one sample of several sectors that face +x, side by side around the vertical, in random order."""
    step = 2 * np.pi / len(samples)
    placed = []
    for slot, position in enumerate(random.permutation(len(samples))):
        transform = np.eye(4)
        transform[:3, :3] = _turn(slot * step)
        placed.append(moved(samples[position], transform))
    return join(placed)


def join(samples: list[Sample]) -> Sample:
    """Return the points of all samples as one scan without views; columns that one of them lacks are dropped."""
    scans = [sample.frame.scan for sample in samples]
    columns = {name: [getattr(scan, name) for scan in scans] for name in COLUMNS}
    together = {name: None if any(column is None for column in parts) else np.concatenate(parts)
                for name, parts in columns.items()}
    taxonomies = {scan.taxonomy.name for scan in scans if scan.taxonomy is not None}
    if len(taxonomies) > 1:
        together['label'] = None
    scan = Scan(scans[0].stamp, np.concatenate([scan.points for scan in scans]), **together,
                taxonomy=scans[0].taxonomy if together['label'] is not None else None, frame_id=scans[0].frame_id)
    points = [len(scan) for scan in scans]
    known = {name: None if getattr(samples[0].known, name) is None else
             join_targets([getattr(sample.known, name) for sample in samples], points)
             for name in vars(samples[0].known)}
    return Sample(PairedFrame(scan, (), '+'.join(sample.frame.key for sample in samples)), Knowledge(**known))
