# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""What cameras, LiDAR, the frames between them and the drive mean for training."""

from __future__ import annotations

from typing import Iterator

from ros_kd.inspection.figures import (CameraFigures, Chain, Drive, Edge, Figures, Finding, Fit, Frames, Lidar,
                                       Mounting, Severity, Source)
from ros_kd.inspection.stream_findings import counted

BRIGHT, DARK, BLURRED = 0.25, 0.7, 15.0
SLOW = 5.0  # Hz; odometry below it is a guess between two poses
SHIFT, TURN = 20.0, 0.2  # mm, degrees
NEAR, OFF = 6, 10  # pixels; a few are within what edges can tell


def camera_findings(camera: CameraFigures) -> Iterator[Finding]:
    """Judge a camera's calibration and images."""
    if camera.problem:
        yield Finding(Severity.FAULT, f'camera {camera.name} cannot be used: {camera.problem}', camera.name)
    elif camera.damaged:
        yield Finding(Severity.WARNING, f'camera {camera.name}: {camera.damaged}')
    if camera.image_width and camera.width and (camera.image_width, camera.image_height) != (camera.width,
                                                                                             camera.height):
        yield Finding(Severity.FAULT, f'camera {camera.name}: its images are {camera.image_width}x'
                      f'{camera.image_height}, but its calibration is for {camera.width}x{camera.height}: publish the '
                      'camera_info of this resolution (or resize the images)', camera.name)
    if camera.calibrations > 1:
        yield Finding(Severity.NOTE, f'camera {camera.name}: its calibration changes, {camera.calibrations} different '
                      'ones: each image takes the one before it; is zoom or autofocus on?')
    for share, limit, what in ((camera.bright, BRIGHT, 'overexposed'), (camera.dark, DARK, 'black')):
        if share is not None and share > limit:
            yield Finding(Severity.WARNING, f'camera {camera.name}: {100 * share:.0f} % of its pixels are {what}: an '
                          'image network sees nothing there; check exposure, lens cap, dirt')
    dull = (camera.dark or 0) > DARK or (camera.bright or 0) > BRIGHT
    if camera.sharpness is not None and camera.sharpness < BLURRED and not dull:
        yield Finding(Severity.WARNING, f'camera {camera.name}: images are blurred (variance of the Laplacian '
                      f'{camera.sharpness:.0f}; sharp ones have over 100): check focus and dirt')


def lidar_findings(lidar: Lidar, drive: Drive | None) -> Iterator[Finding]:
    """Judge the scans."""
    if lidar.points == 0:
        yield Finding(Severity.FAULT, f'{lidar.topic}: scans have no points: check the sensor and its driver')
        return
    if lidar.invalid > 0.5:
        yield Finding(Severity.NOTE, f'{lidar.topic}: {100 * lidar.invalid:.0f} % of the points are invalid (no echo): '
                      'usual for organised clouds under open sky, a sign of dirt or a cover otherwise')
    if 'intensity' not in lidar.columns:
        yield Finding(Severity.NOTE, f'{lidar.topic}: scans have no intensity: only students that do without can learn '
                      'from them')
    if 'time' not in lidar.columns and drive is not None and drive.speed.high > 3:
        yield Finding(Severity.NOTE, f'{lidar.topic}: points have no time, so a sweep cannot be straightened: at '
                      f'{drive.speed.high:.0f} m/s its ends are {drive.speed.high * 0.1:.1f} m apart at 10 Hz, unless '
                      'the driver compensates the motion')
    if lidar.seen is not None and lidar.seen < 0.03:
        yield Finding(Severity.WARNING, f'only {100 * lidar.seen:.1f} % of the points fall into an image: do the '
                      'cameras look where the LiDAR does? See the pictures, then check extrinsics and frames')


def frame_findings(frames: Frames, start: int) -> Iterator[Finding]:
    """Judge whether the LiDAR's frame leads to the cameras and to the fixed frame; start: ns, where the bag begins."""
    for chain in frames.chains:
        moving = chain.what == 'fixed frame'
        if chain.found == 0 and chain.asked:
            yield _unresolved(chain, moving)
        elif chain.found < chain.asked:
            where = ', '.join(f'{(gap.start - start) / 1e9:.1f} s and {(gap.start - start) / 1e9 + gap.seconds:.1f} s'
                              for gap in chain.missing[:3])
            more = f' and {len(chain.missing) - 3} more times' if len(chain.missing) > 3 else ''
            some = chain.asked - chain.found > 0.01 * chain.asked
            yield Finding(Severity.WARNING if some else Severity.NOTE,
                          f'TF {chain.target} -> {chain.source} is missing between {where}{more}: '
                          f'{chain.asked - chain.found} of {chain.asked} pairs are lost or lack the motion between '
                          f'scan and image ({chain.reason})')
    for edge in frames.edges:
        if edge.used:
            yield from _edge(edge, start)


def _unresolved(chain: Chain, moving: bool) -> Finding:
    if moving:
        return Finding(Severity.WARNING, f'no odometry: {chain.target or "a fixed frame"} is not known at the stamps '
                       f'of the scans ({chain.reason}), so the motion between scan and image is left out: 20 ms are '
                       '20 cm at 10 m/s; publish it as TF, and record /tf')
    return Finding(Severity.FAULT, f'{chain.what}: there is no transform from {chain.source} to {chain.target} '
                   f'({chain.reason}): publish the mounting on /tf_static (robot_state_publisher or '
                   'static_transform_publisher) and record it', chain.what.removeprefix('camera '))


def _edge(edge: Edge, start: int) -> Iterator[Finding]:
    name = f'TF {edge.parent} -> {edge.child}'
    if edge.gaps:
        longest = max(edge.gaps, key=lambda gap: gap.seconds)
        yield Finding(Severity.WARNING, f'{name} has {counted(len(edge.gaps), "gap")} of more than 0.5 s, the '
                      f'longest {longest.seconds:.1f} s at {(longest.start - start) / 1e9:.1f} s: motion in between is '
                      'a straight line from one pose to the next; check the odometry node')
    if not edge.static and 1 < edge.count and edge.rate < SLOW:
        yield Finding(Severity.WARNING, f'{name} comes at {edge.rate:.1f} Hz only: between two poses the motion is '
                      'guessed; publish odometry at 20 Hz or more')


def mounting_findings(mounting: Mounting) -> Iterator[Finding]:
    """Judge whether a camera's extrinsics are constant once the motion is taken out."""
    if mounting.frozen:
        yield Finding(Severity.WARNING, f'camera {mounting.camera}: extrinsics do not contain the motion between scan '
                      f'and image, up to {mounting.motion:.0f} mm: record again with fixed_frame set to the odometry')
    elif mounting.shift > SHIFT or mounting.turn > TURN:
        yield Finding(Severity.WARNING, f'camera {mounting.camera}: extrinsics vary by up to {mounting.shift:.0f} mm '
                      f'and {mounting.turn:.2f} degrees without the motion: the odometry jumps or lags, or a joint '
                      'moves; labels of thin things land beside them')


def fit_findings(fit: Fit) -> Iterator[Finding]:
    """Judge whether edges of depth lie on edges of the image; upright edges are most, so only sideways."""
    if fit.trusted and abs(fit.right) >= NEAR:
        yield Finding(Severity.WARNING if abs(fit.right) >= OFF else Severity.NOTE, f'camera {fit.camera}: edges of '
                      f'depth fit its images best {abs(fit.right)} pixels further '
                      f'{"right" if fit.right > 0 else "left"} (see the pictures): check the extrinsics; if it is so '
                      'only while driving, the stamps')


def drive_findings(figures: Figures) -> Iterator[Finding]:
    """Judge what the poses tell about the drive."""
    drive = figures.drive
    if drive is None:
        if figures.source is not Source.RAW:
            yield Finding(Severity.NOTE, 'there are no poses: motion between scan and image cannot be checked')
        return
    if drive.jumps:
        yield Finding(Severity.WARNING, f'{drive.jumps} of {drive.poses} poses jump (faster than 80 m/s): a frame that '
                      'is corrected by GNSS or SLAM, such as map, jumps; take a smooth one, such as odom')
    if drive.standing > 0.5:
        yield Finding(Severity.NOTE, f'the vehicle stands still for {100 * drive.standing:.0f} % of the time: those '
                      'pairs look alike; record by distance travelled')
