# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""A short synthetic drive as a bag, and the nodes as processes of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

from ros_kd import extrinsics
from ros_kd.bags.writer import PairedBagWriter, rig_of
from ros_kd.cameras import Camera
from ros_kd.extrinsics import Trajectory
from ros_kd.frames import CameraView, PairedFrame, Scan
from ros_kd.images import EncodedPixels, RawPixels
from ros_kd.label_sets import get_taxonomy

ROOT = Path(__file__).parents[2]
START = 1_700_000_000_000_000_000
STEP = 100_000_000
FRONT, REAR = 30_000_000, -40_000_000  # ns after the scan
CAMERA = Camera(48, 32, [[40, 0, 24], [0, 40, 16], [0, 0, 1]], 'plumb_bob', (0.1, 0.01, 0.0, 0.0, 0.0))
T_front_lidar = extrinsics.from_quaternion(np.array([0.1, -0.2, 0.3]), np.array([0.5, -0.5, 0.5, -0.5]))
T_rear_lidar = extrinsics.from_quaternion(np.array([0.0, -0.3, -0.5]), np.array([0.5, 0.5, -0.5, -0.5]))


def trajectory(count: int) -> Trajectory:
    """Driving at 10 m/s through a bend."""
    stamps = START + STEP * np.arange(-2, count + 2)
    poses = [extrinsics.from_quaternion(np.array([i - START // STEP, 0.1 * (i % 7), 0]),
                                        np.array([0, 0, np.sin(0.02 * k), np.cos(0.02 * k)]))
             for k, i in enumerate(stamps // STEP)]
    return Trajectory(stamps, np.stack(poses))


def frame(number: int, poses: Trajectory) -> PairedFrame:
    """A frame with a JPEG camera that has label images and a raw camera without."""
    random = np.random.default_rng(number)
    stamp = START + number * STEP
    scan = Scan(stamp, random.normal(0, 20, (2000, 3)).astype(np.float32), random.random(2000, np.float32),
                label=random.integers(0, 12, 2000).astype(np.uint16), taxonomy=get_taxonomy('street-12'),
                frame_id='os_sensor')
    jpeg = cv2.imencode('.jpg', random.integers(0, 255, (32, 48, 3), np.uint8))[1]
    views = (CameraView('front', stamp + FRONT, CAMERA, moved(T_front_lidar, poses, stamp, FRONT),
                        EncodedPixels(jpeg), 'front_optical', RawPixels(random.integers(0, 19, (32, 48), np.uint8)),
                        get_taxonomy('cityscapes')),
             CameraView('rear', stamp + REAR, CAMERA, moved(T_rear_lidar, poses, stamp, REAR),
                        RawPixels(random.integers(0, 255, (32, 48, 3), np.uint8)), 'rear_optical'))
    return PairedFrame(scan, views, str(number), poses.at(stamp))


def moved(T_camera_lidar: np.ndarray, poses: Trajectory, stamp: int, offset: int) -> np.ndarray:
    """Extrinsics with the motion between scan and image."""
    return extrinsics.lidar_to_camera(T_camera_lidar, poses.at(stamp + offset), poses.at(stamp), np.eye(4))


def write_drive(path: Path, count: int) -> list[PairedFrame]:
    """Write a drive of `count` frames as a bag and return its frames."""
    # Poses between scans are those that a reader interpolates from the poses of the scans.
    coarse = Trajectory(START + STEP * np.arange(count), trajectory(count).poses[2:count + 2])
    frames = [frame(number, coarse) for number in range(count)]
    with PairedBagWriter(path, rig_of(frames[0], 'odom')) as writer:
        for value in frames:
            writer.write_frame(value)
    return frames


def environment(domain: int, prefix: Path | None = None) -> dict[str, str]:
    """The environment of a ROS process on loopback, with the shipped transport profile."""
    here = {**os.environ, 'ROS_DOMAIN_ID': str(domain), 'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST',
            'OMP_NUM_THREADS': '1', 'PYTHONPATH': os.pathsep.join([str(ROOT), os.environ.get('PYTHONPATH', '')]),
            'FASTRTPS_DEFAULT_PROFILES_FILE': str(ROOT / 'config' / 'fastdds.xml')}
    if prefix is not None:
        here['AMENT_PREFIX_PATH'] = os.pathsep.join([str(prefix), here.get('AMENT_PREFIX_PATH', '')])
    return here


class NodeProcess:
    """A node of the package in a process of its own."""

    def __init__(self, name: str, domain: int, **parameters: object) -> None:
        arguments = [part for key, value in parameters.items() for part in ('-p', f'{key}:={value}')]
        self._log = tempfile.TemporaryFile()
        self.process = subprocess.Popen([sys.executable, str(ROOT / 'scripts' / name), '--ros-args', *arguments],
                                        env=environment(domain), stdout=self._log, stderr=subprocess.STDOUT)

    def text(self) -> str:
        """What the node has said by now."""
        return os.pread(self._log.fileno(), os.fstat(self._log.fileno()).st_size, 0).decode()

    def until(self, *texts: str) -> None:
        """Wait until the node has said all of `texts`; raises AssertionError with what it said if it ends before."""
        deadline = time.monotonic() + 60
        while not all(text in self.text() for text in texts):
            assert self.process.poll() is None and time.monotonic() < deadline, self.text()
            time.sleep(0.05)

    def wait(self) -> tuple[int, str]:
        """Return exit status and output."""
        return self.process.wait(timeout=60), self.text()

    def interrupt(self) -> tuple[int, str]:
        """Press Ctrl+C; return exit status and output."""
        self.process.send_signal(signal.SIGINT)
        return self.wait()

    def __enter__(self) -> NodeProcess:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._log.close()


def recorder(domain: int, output: Path, **parameters: object) -> NodeProcess:
    """The recorder, listening to the vehicle of vehicle.py."""
    return NodeProcess('record', domain, output=output, points='velodyne_points',
                       **{'fixed_frame': "''", 'tf_timeout': 0.5, **parameters})
