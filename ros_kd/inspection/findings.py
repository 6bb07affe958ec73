# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""From figures to sentences and a verdict."""

from __future__ import annotations

from dataclasses import replace
from typing import Iterator

from ros_kd.bags import layout
from ros_kd.inspection.figures import CameraPairing, Figures, Finding, Frames, Pairing, Severity, Source, Verdict
from ros_kd.inspection.rig_findings import (camera_findings, drive_findings, fit_findings, frame_findings,
                                            lidar_findings, mounting_findings)
from ros_kd.inspection.stream_findings import clock_findings, counted, gap_findings, jitter_findings, order_findings

FEW = 10  # pairs
LATE = 30.0  # ms, worth a word
SPEED = 10.0  # m/s, what the sentences reckon with


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
    yield from _rates(figures, lidar)
    for topic in sensors:
        yield from order_findings(topic)
        yield from gap_findings(topic, figures.logged)
        yield from jitter_findings(topic, topic.name == lidar)


def _rates(figures: Figures, lidar: str) -> Iterator[Finding]:
    scans = figures.topic(lidar)
    for camera in figures.cameras if scans is not None and scans.rhythm.regular else ():
        images = figures.topic(camera.topic)
        if images is not None and images.rhythm.regular and images.rhythm.usual_rate < 0.9 * scans.rhythm.usual_rate:
            share = images.rhythm.usual_rate / scans.rhythm.usual_rate
            yield Finding(Severity.NOTE, f'camera {camera.name} takes {images.rhythm.usual_rate:.1f} images a second, '
                          f'the LiDAR {scans.rhythm.usual_rate:.1f} scans: at most {100 * share:.0f} % of the scans '
                          'find a pair')


def _without_consequences(figures: Figures, streams: list[Finding]) -> Frames:
    """Where the clock of LiDAR or odometry is wrong, the fixed frame is not known, but that is not what to mend."""
    wrong = {finding.sensor for finding in streams if finding.severity is Severity.FAULT}
    cameras = {camera.topic for camera in figures.cameras}
    if not wrong - cameras - {''}:
        return figures.frames
    return replace(figures.frames, chains=tuple(chain for chain in figures.frames.chains
                                                if chain.what != 'fixed frame'))


def pairing_findings(pairing: Pairing, source: Source) -> Iterator[Finding]:
    """Judge how scans and images find each other."""
    reasons = ', '.join(f'{count} {reason}' for reason, count in pairing.lost)
    if pairing.pairs < FEW:
        yield Finding(Severity.FAULT, f'{pairing.pairs} pairs of {pairing.scans} scans: too few to learn from'
                      + (f' ({reasons})' if reasons else ''))
    elif pairing.pairs < 0.98 * pairing.scans:
        lost = pairing.scans - pairing.pairs
        yield Finding(Severity.WARNING if pairing.pairs < 0.9 * pairing.scans else Severity.NOTE,
                      f'{lost} of {pairing.scans} scans ({100 * lost / pairing.scans:.1f} %) have no pair: {reasons}')
    if source is Source.PAIRS and pairing.rhythm is not None and pairing.rhythm.pauses:
        longest = max(pairing.rhythm.gaps, key=lambda gap: gap.seconds)
        yield Finding(Severity.NOTE, f'{counted(pairing.rhythm.pauses, "gap")} of more than 0.5 s between pairs, the '
                      f'longest {longest.seconds:.1f} s at {(longest.start - pairing.rhythm.start) / 1e9:.1f} s: the '
                      'recorder paused, or lost pairs (its end report says which)')
    for camera in pairing.cameras:
        yield from _delta(camera)


def _delta(camera: CameraPairing) -> Iterator[Finding]:
    if camera.late is not None and camera.late > LATE:
        yield Finding(Severity.NOTE, f'camera {camera.camera} arrives {camera.late:.0f} ms later than the LiDAR: '
                      'harmless')
    if camera.best_delta is not None and camera.mean_delta > 1.02 * camera.best_delta + 0.1:
        yield Finding(Severity.NOTE, f'camera {camera.camera}: images are {camera.mean_delta:.1f} ms off their scans '
                      f'on average, the best possible pairs of the two {camera.best_delta:.1f} ms: other cameras or '
                      'irregular stamps stand in the way')
    delta = camera.delta
    if delta is None:
        return
    width = delta.high - delta.low
    if abs(delta.median) > 3 and width < max(4.0, 0.2 * abs(delta.median)):
        yield Finding(Severity.NOTE, f'camera {camera.camera}: images are always {abs(delta.median):.1f} ms '
                      f'{"after" if delta.median > 0 else "before"} their scans (5 to 95 %: {delta.low:+.1f} to '
                      f'{delta.high:+.1f}): a fixed phase, harmless if the stamps are right. If camera and LiDAR are '
                      'triggered together, the stamps are wrong by this: record with '
                      f'time_offsets:="[{camera.camera}={delta.median / 1e3:.4f}]"')
    reach = max(abs(delta.low), abs(delta.high))
    if reach > 50:
        yield Finding(Severity.WARNING, f'camera {camera.camera}: images are up to {reach:.0f} ms off their scans '
                      f'(95 %): what moves at {SPEED:.0f} m/s is {reach * SPEED / 1e3:.1f} m off; raise the rate of '
                      'the camera, or lower slop')


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
