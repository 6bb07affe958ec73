# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""What the recorder loses, costs and survives.

Rigs: publishers and the recorder in processes of their own over Fast DDS with the shipped profile, SECONDS each. A pair
is lost if the published stamps make it (paired offline by the same policy) and it is not in the bag. CPU: share of one
core that the recorder's process takes. Write: speed of the bag's writer as a share of that of plain os.write calls with
the same bytes, interleaved, medians, with and without waiting for the disk. Crash: CRASHES recordings end by SIGKILL at
a random moment; lost seconds reach from the newest pair that can be read back to the kill.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np

from ros_kd.bags import EmptyBagError, codec, layout
from ros_kd.bags.reader import PairedBag
from ros_kd.bags.recording import Limits, Recording
from ros_kd.bags.writer import PairedBagWriter, RawPair, RawView
from ros_kd.cameras import Camera
from ros_kd.frames import Scan
from ros_kd.images import EncodedPixels
from ros_kd.offline_pairing import pair_stamps

ROOT = Path(__file__).parents[1]
SECONDS, CRASHES = float(os.environ.get('RECORDING_SECONDS', 60)), int(os.environ.get('RECORDING_CRASHES', 200))
RUNS, PAIRS = 8, 80
DOMAIN = '93'
CAMERA = Camera(1600, 900, np.array([[1266, 0, 800], [0, 1266, 450], [0, 0, 1.0]]))


@dataclass(frozen=True)
class Rig:
    """Sensors of a vehicle. points: of a scan, in bytes each of `point_size`. image_size: bytes of an image."""

    name: str
    cameras: int
    image_size: int
    compressed: bool
    points: int
    point_size: int
    camera_rate: float
    lidar_rate: float


RIGS = (Rig('nuscenes', 6, 200_000, True, 35_000, 20, 12.0, 20.0), Rig('heavy', 3, 0, False, 120_000, 16, 12.0, 10.0))


def cloud_bytes(rig: Rig, stamp: int) -> bytes:
    """Return a serialised scan of the rig."""
    random_ = np.random.default_rng(0)
    scan = Scan(stamp, random_.normal(0, 20, (rig.points, 3)).astype(np.float32),
                random_.random(rig.points, np.float32), frame_id='lidar',
                time=random_.random(rig.points, np.float32) if rig.point_size == 20 else None)
    return bytes(codec.cloud(scan))


def image_bytes(rig: Rig, stamp: int, camera: str) -> bytes:
    """Return a serialised image of the rig."""
    random_ = np.random.default_rng(1)
    if rig.compressed:
        return bytes(codec.image(EncodedPixels(random_.integers(0, 255, rig.image_size, np.uint8)), stamp, camera))
    return bytes(codec.raw_image(random_.integers(0, 255, (CAMERA.height, CAMERA.width, 3), np.uint8), stamp, camera))


def stamped(raw: bytes, stamp: int) -> bytes:
    """Return a serialised message with another stamp (ns)."""
    return raw[:4] + (stamp // 10**9).to_bytes(4, 'little') + (stamp % 10**9).to_bytes(4, 'little') + raw[12:]


def publish(rig: Rig, part: str) -> None:
    """Publish the cameras or the LiDAR of a rig for SECONDS; print the stamps by name as JSON. Runs in a process."""
    import rclpy
    from geometry_msgs.msg import TransformStamped
    from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2
    from tf2_ros import StaticTransformBroadcaster

    rclpy.init()
    node, names = rclpy.create_node(f'{part}_driver'), [f'cam{number}' for number in range(rig.cameras)]
    outputs, due = {}, []
    if part == 'cameras':
        info = bytes(codec.camera_info(CAMERA, 0, 'cam0'))
        kind, topic = (CompressedImage, 'image/compressed') if rig.compressed else (Image, 'image')
        for number, name in enumerate(names):
            outputs[name] = (node.create_publisher(kind, f'{name}/{topic}', 5), image_bytes(rig, 0, name),
                             node.create_publisher(CameraInfo, f'{name}/camera_info', 5), info)
            due.append([number / rig.cameras / rig.camera_rate, 1 / rig.camera_rate, name])
        static = StaticTransformBroadcaster(node)
        for transform in (frames := [TransformStamped(child_frame_id=name, transform=_identity()) for name in names]):
            transform.header.frame_id = 'lidar'
        static.sendTransform(frames)
    else:
        outputs['lidar'] = (node.create_publisher(PointCloud2, 'points', 5), cloud_bytes(rig, 0))
        due.append([0.01, 1 / rig.lidar_rate, 'lidar'])
    while not all(output[0].get_subscription_count() for output in outputs.values()):
        rclpy.spin_once(node, timeout_sec=0.05)
    time.sleep(3.0 - time.time() % 1.0)  # both drivers start on one second
    print(json.dumps(_publish_until(node, outputs, due)), flush=True)
    time.sleep(2.0)


def _identity():
    from geometry_msgs.msg import Transform
    transform = Transform()
    transform.rotation.w = 1.0
    return transform


def _publish_until(node, outputs: dict, due: list) -> dict[str, list[int]]:
    stamps: dict[str, list[int]] = {name: [] for name in outputs}
    begin = time.monotonic()
    while True:
        moment, period, name = min(due)
        if moment > SECONDS:
            return stamps
        time.sleep(max(0.0, begin + moment - time.monotonic()))
        min(due)[0] += period
        stamp, output = time.time_ns(), outputs[name]
        if len(output) > 2:
            output[2].publish(stamped(output[3], stamp))
        output[0].publish(stamped(output[1], stamp))
        stamps[name].append(stamp)


def environment() -> dict[str, str]:
    """Return the environment of a process on loopback with the shipped profile."""
    return {**os.environ, 'ROS_DOMAIN_ID': DOMAIN, 'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST',
            'FASTRTPS_DEFAULT_PROFILES_FILE': str(ROOT / 'config' / 'fastdds.xml'), 'PYTHONPATH': str(ROOT),
            'RECORDING_SECONDS': str(SECONDS)}


def cpu_seconds(process: int) -> float:
    """Return the CPU time that a running process has taken."""
    fields = Path(f'/proc/{process}/stat').read_text().rsplit(')', 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')


def record_rig(rig: Rig, folder: Path) -> None:
    """Record a rig and print its figures."""
    here, bag = environment(), folder / rig.name
    with (folder / f'{rig.name}.log').open('w') as log:
        recorder = subprocess.Popen([sys.executable, str(ROOT / 'scripts' / 'record'), '--ros-args', '-p',
                                     f'output:={bag}', '-p', "fixed_frame:=''"], env=here, stdout=log, stderr=log)
        drivers = [subprocess.Popen([sys.executable, __file__, '--publish', rig.name, part], env=here, text=True,
                                    stdout=subprocess.PIPE) for part in ('cameras', 'lidar')]
        while not bag.exists() and recorder.poll() is None:
            time.sleep(0.05)
        if recorder.poll() is not None:
            for driver in drivers:
                driver.kill()
            sys.exit((folder / f'{rig.name}.log').read_text())
        begin, before = time.monotonic(), cpu_seconds(recorder.pid)
        stamps: dict[str, list[int]] = {}
        for driver in drivers:
            stamps |= json.loads(driver.stdout.readline())
        share = (cpu_seconds(recorder.pid) - before) / (time.monotonic() - begin)
        time.sleep(1.0)
        recorder.send_signal(signal.SIGINT)
        recorder.wait()
        for driver in drivers:
            driver.wait()
    order = ['lidar', *sorted(name for name in stamps if name != 'lidar')]
    pairs = pair_stamps([np.array(stamps[name]) for name in order], max_interval=100_000_000)
    expected = np.array(stamps['lidar'])[pairs[:, 0]]
    read = PairedBag(bag)
    size = sum(file.stat().st_size for file in bag.iterdir())
    show(f'lost_pairs_{rig.name}_rig', int(np.setdiff1d(expected, read.stamps).size), f'of {len(expected)} pairs')
    show(f'cpu_share_{rig.name}_rig', round(share, 3), 'cores')
    show(f'rate_{rig.name}_rig', round(size / 1e6 / SECONDS, 1), 'MB/s')
    if rig.name == 'heavy':
        show('cpu_share', round(share, 3), 'cores')


def show(name: str, value: float, unit: str, **peer: object) -> None:
    """Print a figure."""
    print(json.dumps({'name': f'recording.{name}', 'value': value, 'unit': unit, **peer}), flush=True)


def raw_pair(rig: Rig, stamp: int, cloud: bytes, images: list[bytes]) -> RawPair:
    """Return a pair of the rig at `stamp`."""
    info = codec.camera_info(CAMERA, stamp, 'cam0')
    return RawPair(stamped(cloud, stamp), tuple(
        RawView(f'cam{number}', stamped(image, stamp), info, np.eye(4)) for number, image in enumerate(images)))


def layout_of(rig: Rig) -> layout.Rig:
    """Return the layout of the rig's bag."""
    return layout.Rig(tuple(layout.CameraTopics.under(f'cam{number}', f'cam{number}', rig.compressed)
                            for number in range(rig.cameras)))


def write_ratio(rig: Rig, folder: Path) -> None:
    """Print how fast pairs are written against the same bytes by plain writes: to the disk, and to its cache alone."""
    random_ = np.random.default_rng(0)
    images = [bytes(codec.raw_image(random_.integers(0, 255, (CAMERA.height, CAMERA.width, 3), np.uint8), 0, 'cam0'))
              for _ in range(8 * rig.cameras)]
    cloud = cloud_bytes(rig, 0)
    pairs = [raw_pair(rig, 10**9 + number * 10**8, cloud, [images[(number + camera) % len(images)]
                                                           for camera in range(rig.cameras)])
             for number in range(PAIRS)]
    size = sum(pair.size for pair in pairs)
    times = {(what, synced): [] for what in ('ours', 'plain') for synced in (True, False)}
    for run in range(RUNS):
        for what, synced in [*times][run % 4:] + [*times][:run % 4]:  # each after every other
            path = folder / f'{what}{run}'
            started = time.perf_counter()
            (write_pairs if what == 'ours' else write_plainly)(path, rig, pairs, synced)
            times[what, synced].append(time.perf_counter() - started)
            subprocess.run(['rm', '-r', path], check=True)
    for synced, name in ((True, 'sequential_write'), (False, 'cached_sequential_write')):
        ours, plain = median(times['ours', synced]), median(times['plain', synced])
        show(f'ratio_to_{name}', round(plain / ours, 3), 'of its speed', peer=f'{size / plain / 1e6:.0f} MB/s')
        show(name.replace('sequential_', ''), round(size / ours / 1e6), 'MB/s')


def write_pairs(path: Path, rig: Rig, pairs: list[RawPair], synced: bool) -> None:
    """Write a bag."""
    with PairedBagWriter(path, layout_of(rig)) as writer:
        for pair in pairs:
            writer.write(pair)
        if synced:
            writer.sync()


def write_plainly(path: Path, rig: Rig, pairs: list[RawPair], synced: bool) -> None:
    """Write the same messages to a file, one behind the other."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT)
    for pair in pairs:
        for raw in (*(view.image for view in pair.views), pair.cloud):
            os.write(file, raw)
    if synced:
        os.fdatasync(file)
    os.close(file)


def crash(folder: Path) -> None:
    """Print what is left of recordings that end by SIGKILL."""
    rig, unreadable, lost_pairs, lost_seconds = RIGS[0], 0, [], []
    cloud, images = cloud_bytes(rig, 0), [image_bytes(rig, 0, f'cam{number}') for number in range(rig.cameras)]
    warnings.filterwarnings('ignore', '.* was not finished')  # none was
    for number in range(CRASHES):
        path = folder / f'crash{number}'
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            recording = Recording(path, layout_of(rig), limits=Limits(min_free=0))
            while True:
                stamp = time.time_ns()
                recording.put(raw_pair(rig, stamp, cloud, images))
                os.write(writer, stamp.to_bytes(8, 'little'))
                time.sleep(random.random() * 0.02)
        time.sleep(random.Random(number).uniform(0.02, 1.2))
        os.kill(child, signal.SIGKILL)
        killed = time.time_ns()
        os.waitpid(child, 0)
        os.close(writer)
        given = np.frombuffer(os.read(reader, 1 << 16), '<i8')
        os.close(reader)
        try:
            read = PairedBag(path).stamps if given.size else given
        except EmptyBagError:  # killed before the first pair was whole
            read = given[:0]
        except ValueError:
            unreadable += 1
            continue
        finally:
            subprocess.run(['rm', '-rf', path], check=True)
        lost_pairs.append(np.setdiff1d(given, read).size)
        if given.size:
            lost_seconds.append((killed - int(read[-1] if read.size else given[0])) * 1e-9)
    show('crash_unreadable_bags', unreadable, f'of {CRASHES} bags')
    show('crash_max_lost_s', round(max(lost_seconds), 3), 's')
    show('crash_max_lost_pairs', int(max(lost_pairs)), 'pairs')
    show('crash_mean_lost_pairs', round(float(np.mean(lost_pairs)), 3), 'pairs')


def main() -> None:
    """Print one JSON object a line."""
    if sys.argv[1:2] == ['--publish']:
        publish(next(rig for rig in RIGS if rig.name == sys.argv[2]), sys.argv[3])
        return
    with tempfile.TemporaryDirectory(prefix='ros_kd-recording-') as folder:
        crash(Path(folder))
        write_ratio(RIGS[1], Path(folder))
        for rig in RIGS:
            record_rig(rig, Path(folder))


if __name__ == '__main__':
    main()
