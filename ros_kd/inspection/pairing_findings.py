# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""What it means how scans and images find each other."""

from __future__ import annotations

from typing import Callable, Iterator, Sequence

from ros_kd.inspection.figures import CameraPairing, Figures, Finding, Pairing, Severity, Source
from ros_kd.inspection.stream_findings import counted

FEW = 10  # pairs
LATE = 30.0  # ms, worth a word
APART, SPEED = 50.0, 10.0  # ms between image and scan that matter to what moves at m/s
PHASE = 3.0  # ms


def pairing_findings(pairing: Pairing, source: Source) -> Iterator[Finding]:
    """Judge the pairs of a source."""
    reasons = ', '.join(f'{count} {reason}' for reason, count in pairing.lost)
    if pairing.pairs < FEW:
        yield Finding(Severity.FAULT, f'{counted(pairing.pairs, "pair")} of {pairing.scans} scans: too few to learn from'
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
    yield from _late(pairing.cameras)
    yield from _worse(pairing.cameras)
    yield from _apart(pairing.cameras)
    if source is not Source.DATASET:
        yield from _phases(pairing.cameras)


def rate_findings(figures: Figures, lidar: str) -> Iterator[Finding]:
    """Judge the rates of the cameras of a raw bag against the LiDAR's."""
    scans = figures.topic(lidar)
    if scans is None or not scans.rhythm.regular:
        return
    rates = {camera.name: images.rhythm.usual_rate for camera in figures.cameras
             if (images := figures.topic(camera.topic)) is not None and images.rhythm.regular}
    slow = {name: rate for name, rate in rates.items() if rate < 0.9 * scans.rhythm.usual_rate}
    if slow:
        share = min(slow.values()) / scans.rhythm.usual_rate
        yield Finding(Severity.NOTE, f'the LiDAR takes {scans.rhythm.usual_rate:.1f} scans a second, but '
                      + ', '.join(f'{name} {rate:.1f}' for name, rate in slow.items())
                      + f' images: at most {100 * share:.0f} % of the scans find a pair')


def _late(cameras: Sequence[CameraPairing]) -> Iterator[Finding]:
    late = [camera for camera in cameras if camera.late is not None and camera.late > LATE]
    if late:
        yield Finding(Severity.NOTE, f'images arrive later than the scans of the same time: '
                      f'{_each(late, lambda camera: f"{camera.late:.0f} ms")}: harmless, pairing goes by the stamps')


def _worse(cameras: Sequence[CameraPairing]) -> Iterator[Finding]:
    for camera in cameras:
        if camera.best_delta is not None and camera.mean_delta > 1.02 * camera.best_delta + 0.1:
            yield Finding(Severity.NOTE, f'camera {camera.camera}: images are {camera.mean_delta:.1f} ms off their '
                          f'scans on average, the best possible pairs of the two {camera.best_delta:.1f} ms: other '
                          'cameras or irregular stamps stand in the way')


def _apart(cameras: Sequence[CameraPairing]) -> Iterator[Finding]:
    reach = {camera.camera: max(abs(camera.delta.low), abs(camera.delta.high)) for camera in cameras
             if camera.delta is not None}
    far = [camera for camera in cameras if reach.get(camera.camera, 0.0) > APART]
    if far:
        largest = max(reach[camera.camera] for camera in far)
        yield Finding(Severity.WARNING, f'images are far off their scans (95 %): '
                      f'{_each(far, lambda camera: f"{reach[camera.camera]:.0f} ms")}: what moves at {SPEED:.0f} m/s '
                      f'is up to {largest * SPEED / 1e3:.1f} m off; raise the rate of the cameras, trigger them, or '
                      'lower slop')


def _phases(cameras: Sequence[CameraPairing]) -> Iterator[Finding]:
    fixed = [camera for camera in cameras if camera.delta is not None and abs(camera.delta.median) > PHASE
             and camera.delta.high - camera.delta.low < max(4.0, 0.2 * abs(camera.delta.median))]
    if fixed:
        offsets = ', '.join(f'{camera.camera}={camera.delta.median / 1e3:.4f}' for camera in fixed)
        yield Finding(Severity.NOTE, 'images come at a fixed time after their scans: '
                      f'{_each(fixed, lambda camera: f"{camera.delta.median:+.1f} ms")}. Harmless if the stamps are '
                      'right, as where cameras are triggered along the sweep; but if they are triggered together with '
                      f'the LiDAR, the stamps are wrong by this: record with time_offsets:="[{offsets}]"')


def _each(cameras: Sequence[CameraPairing], figure: Callable[[CameraPairing], str]) -> str:
    return ', '.join(f'{camera.camera} {figure(camera)}' for camera in cameras)
