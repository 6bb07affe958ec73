# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""From figures to sentences and a verdict."""

from __future__ import annotations

from dataclasses import replace
from typing import Iterator

from ros_kd.bags import layout
from ros_kd.inspection.figures import Figures, Finding, Frames, Severity, Source, Verdict
from ros_kd.inspection.pairing_findings import pairing_findings, rate_findings
from ros_kd.inspection.rig_findings import (camera_findings, drive_findings, fit_findings, frame_findings,
                                            lidar_findings, mounting_findings)
from ros_kd.inspection.stream_findings import clock_findings, gap_findings, jitter_findings, order_findings


def judge(figures: Figures) -> tuple[tuple[Finding, ...], Verdict]:
    """Return the findings, those that matter most first, and the verdict."""
    found = _weighed(figures, list(_all(figures)))
    severities = [finding.severity for finding in found]
    verdict = (Verdict.UNUSABLE if Severity.FAULT in severities else
               Verdict.FAULTS if Severity.WARNING in severities else Verdict.GOOD)
    order = list(Severity)
    return tuple(sorted(found, key=lambda finding: order.index(finding.severity))), verdict


def _all(figures: Figures) -> Iterator[Finding]:
    yield from (Finding(Severity.WARNING, text) for text in figures.warnings + figures.broken)
    yield from _presence(figures)
    streams = list(_streams(figures)) if figures.source is Source.RAW else []
    yield from streams
    if figures.pairing is not None:
        yield from pairing_findings(figures.pairing, figures.source)
    if figures.frames is not None:
        yield from frame_findings(_without_consequences(figures, streams), figures.start)
    for camera in figures.cameras:
        yield from camera_findings(camera)
    if figures.lidar is not None:
        yield from lidar_findings(figures.lidar, figures.drive)
    for fit in figures.fits:
        yield from fit_findings(fit)
    for mounting in figures.mountings:
        yield from mounting_findings(mounting)
    yield from drive_findings(figures)


def _presence(figures: Figures) -> Iterator[Finding]:
    topics = ', '.join(f'{topic.name} ({topic.type})' for topic in figures.topics) or 'nothing'
    if figures.lidar is None:
        yield Finding(Severity.FAULT, f'no LiDAR: no scans of sensor_msgs/PointCloud2; there is {topics}')
    if not figures.cameras:
        yield Finding(Severity.FAULT, 'no camera: expected images in or below a namespace with camera_info; there is '
                      f'{topics}. Record the camera_info topics, too')


def _streams(figures: Figures) -> Iterator[Finding]:
    lidar = figures.lidar.topic if figures.lidar is not None else ''
    names = [lidar] + [camera.topic for camera in figures.cameras]
    sensors = [topic for name in names if (topic := figures.topic(name)) is not None]
    moving = [topic for topic in figures.topics if topic.type == layout.TF_MESSAGE
              and topic.name != layout.TF_STATIC]
    yield from clock_findings(sensors + moving, figures.logged, figures.seconds)
    yield from rate_findings(figures, lidar)
    for topic in sensors:
        yield from order_findings(topic)
        yield from gap_findings(topic, figures.logged)
        yield from jitter_findings(topic, topic.name == lidar)


def _without_consequences(figures: Figures, streams: list[Finding]) -> Frames:
    """Where the clock of LiDAR or odometry is wrong, the fixed frame is not known, but that is not what to mend."""
    wrong = {finding.sensor for finding in streams if finding.severity is Severity.FAULT}
    cameras = {camera.topic for camera in figures.cameras}
    if not wrong - cameras - {''}:
        return figures.frames
    return replace(figures.frames, chains=tuple(chain for chain in figures.frames.chains
                                                if chain.what != 'fixed frame'))


def _weighed(figures: Figures, found: list[Finding]) -> list[Finding]:
    """A fault of one camera is a warning as long as another one can be used."""
    camera_of = {camera.topic: camera.name for camera in figures.cameras if camera.topic}
    sensors = {finding.sensor: camera_of.get(finding.sensor, finding.sensor) for finding in found}
    names = {camera.name for camera in figures.cameras}
    broken = {sensors[finding.sensor] for finding in found if finding.severity is Severity.FAULT} & names
    if broken == names:
        return found
    return [replace(finding, severity=Severity.WARNING) if finding.severity is Severity.FAULT
            and sensors[finding.sensor] in broken else finding for finding in found]
