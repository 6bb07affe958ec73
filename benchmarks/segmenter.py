# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""What the segmenter loses, costs and how late it is: clouds of 120,000 points at 10 Hz, on this machine's cores.

Two processes over Fast DDS with the shipped profile: the segmenter, and one that publishes scans of a simulated town
and hears the labelled clouds. Latency: from a cloud's stamp, which is when it is published, until the segmenter has
published its labels. Lost: clouds without labelled ones. Stages: medians of ~/debug/processing_time_ms/*; non_network:
median of total without network. CPU: share of one core that each process takes. Memory: growth from a sixth of the time
on. SEGMENTER_SECONDS: how long. SEGMENTER_STUDENT: a preset (with weights that have not seen a scan, which take as
long) or a checkpoint.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from threading import Thread

import numpy as np

from benchmarks.parts.scans import dense_scan
from benchmarks.parts.timing import show
from ros_kd.bags import codec
from ros_kd.students.checkpoint import CheckpointInfo, save_checkpoint
from ros_kd.students.presets import PRESETS
from ros_kd.world.meshes import TAXONOMY

ROOT = Path(__file__).parents[1]
SECONDS = float(os.environ.get('SEGMENTER_SECONDS', 60))
STUDENT = os.environ.get('SEGMENTER_STUDENT', 'fast')
POINTS, RATE, SCANS, WARM = 120_000, 10.0, 8, 20
DOMAIN = '94'
STAGES = ('decode', 'prepare', 'network', 'assign', 'encode', 'total')
LATENCY = 'pipeline_latency_ms'


@dataclass
class Heard:
    """stamps: of the labelled clouds, ns, and when each came. times: what the segmenter said, by topic, in order."""

    stamps: dict[int, int] = field(default_factory=dict)
    times: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))


def drive(folder: Path) -> None:
    """Publish scans and hear what comes back; print figures as JSON. Runs in a process of its own."""
    import rclpy
    from rclpy.executors import ExternalShutdownException
    from sensor_msgs.msg import PointCloud2

    clouds = [bytes(codec.cloud(dense_scan(POINTS, number=20 + 5 * number))) for number in range(SCANS)]
    rclpy.init()
    node, heard = rclpy.create_node('driver'), Heard()
    listen(node, heard)
    publisher = node.create_publisher(PointCloud2, 'points', 5)

    def spin() -> None:
        try:
            rclpy.spin(node)
        except ExternalShutdownException:
            pass
    thread = Thread(target=spin)
    thread.start()
    while not publisher.get_subscription_count() or not node.count_publishers('segment/points'):
        time.sleep(0.05)
    publish(publisher, clouds, WARM)
    time.sleep(1.0)
    heard.times.clear()
    (folder / 'begun').touch()
    sent = publish(publisher, clouds, round(SECONDS * RATE))
    (folder / 'ended').touch()
    time.sleep(2.0)
    print(json.dumps({'sent': sent, 'stamps': list(heard.stamps.items()), 'times': heard.times}), flush=True)
    rclpy.shutdown()
    thread.join()


def listen(node, heard: Heard) -> None:
    """Hear labelled clouds, unread but for their stamps, and the times of the stages."""
    from sensor_msgs.msg import PointCloud2
    from std_msgs.msg import Float64

    def cloud(raw: bytes) -> None:
        seconds, nanoseconds = (int.from_bytes(raw[at:at + 4], 'little') for at in (4, 8))
        heard.stamps[seconds * 10 ** 9 + nanoseconds] = time.time_ns()
    node.create_subscription(PointCloud2, 'segment/points', cloud, 10, raw=True)
    for name in (*(f'processing_time_ms/{stage}' for stage in STAGES), LATENCY):
        def value(message: Float64, values: str = name.rsplit('/', 1)[-1]) -> None:
            heard.times[values].append(message.data)
        node.create_subscription(Float64, f'segment/debug/{name}', value, 50)


def publish(publisher, clouds: list[bytes], count: int) -> list[int]:
    """Publish so many clouds at RATE and return their stamps (ns)."""
    stamps, begin = [], time.monotonic()
    for number in range(count):
        time.sleep(max(0.0, begin + number / RATE - time.monotonic()))
        stamp, raw = time.time_ns(), clouds[number % len(clouds)]
        publisher.publish(raw[:4] + (stamp // 10 ** 9).to_bytes(4, 'little')
                          + (stamp % 10 ** 9).to_bytes(4, 'little') + raw[12:])
        stamps.append(stamp)
    return stamps


def environment() -> dict[str, str]:
    """Return the environment of a process on loopback with the shipped profile."""
    profile = str(ROOT / 'config' / 'fastdds.xml')
    return {**os.environ, 'ROS_DOMAIN_ID': DOMAIN, 'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST',
            'FASTRTPS_DEFAULT_PROFILES_FILE': profile, 'FASTDDS_DEFAULT_PROFILES_FILE': profile,
            'PYTHONPATH': f'{ROOT}{os.pathsep}{os.environ.get("PYTHONPATH", "")}'}


def checkpoint(folder: Path) -> Path:
    """Return the student to run: an untrained one of a preset, or a checkpoint."""
    if STUDENT not in PRESETS:
        return Path(STUDENT).resolve()
    spec = PRESETS[STUDENT]
    info = CheckpointInfo(spec.architecture, spec.inputs, TAXONOMY, width=spec.width)
    return save_checkpoint(folder / f'{STUDENT}.safetensors', info.build(), info)


def cpu_seconds(process: int) -> float:
    """Return the CPU time that a running process has taken."""
    fields = Path(f'/proc/{process}/stat').read_text().rsplit(')', 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')


def memory_mb(process: int) -> float:
    """Return the memory that a running process holds."""
    return int(Path(f'/proc/{process}/statm').read_text().split()[1]) * os.sysconf('SC_PAGE_SIZE') / 2 ** 20


def watch(folder: Path, segmenter: subprocess.Popen, driver: subprocess.Popen) -> tuple[dict[str, float], list[float]]:
    """Return the cores that each process takes while clouds come, and the segmenter's memory each second."""
    processes = {'segmenter': segmenter.pid, 'publisher': driver.pid}
    while not (folder / 'begun').exists():
        if segmenter.poll() is not None or driver.poll() is not None:
            sys.exit(f'a process ended too early:\n{(folder / "segmenter.log").read_text()}')
        time.sleep(0.05)
    begin, before = time.monotonic(), {name: cpu_seconds(pid) for name, pid in processes.items()}
    memory = []
    while not (folder / 'ended').exists() and driver.poll() is None:
        memory.append(memory_mb(segmenter.pid))
        time.sleep(1.0)
    seconds = time.monotonic() - begin
    return {name: (cpu_seconds(pid) - before[name]) / seconds for name, pid in processes.items()}, memory


def figures(found: dict, cores: dict[str, float], memory: list[float]) -> None:
    """Print what was measured."""
    came = dict(found['stamps'])
    times = {name: np.array(values) for name, values in found['times'].items()}
    for share in (50, 95, 99):
        show(f'segmenter.latency_p{share}_ms', round(float(np.percentile(times[LATENCY], share)), 1), 'ms')
    received = [(came[stamp] - stamp) * 1e-6 for stamp in found['sent'] if stamp in came]
    show('segmenter.received_p50_ms', round(median(received), 1), 'ms')
    for stage in STAGES:
        show(f'segmenter.{stage}_ms', round(float(np.median(times[stage])), 2), 'ms')
    show('segmenter.non_network_ms', round(float(np.median(times['total'] - times['network'])), 2), 'ms')
    lost = [stamp for stamp in found['sent'] if stamp not in came]
    show('segmenter.lost_scans', len(lost), f'of {len(found["sent"])} scans', student=STUDENT, points=POINTS)
    for name, value in cores.items():
        show(f'segmenter.cpu_{name}', round(value, 2), 'cores')
    settled = memory[len(memory) // 6:]
    show('segmenter.memory', round(max(memory)), 'MB')
    show('segmenter.memory_growth', round(settled[-1] - settled[0], 1), 'MB', seconds=len(settled))


def main() -> None:
    """Print one JSON object a line."""
    if sys.argv[1:2] == ['--drive']:
        drive(Path(sys.argv[2]))
        return
    with tempfile.TemporaryDirectory(prefix='ros_kd-segmenter-') as name:
        folder, here = Path(name), environment()
        with (folder / 'segmenter.log').open('w') as log:
            segmenter = subprocess.Popen(
                [sys.executable, str(ROOT / 'scripts' / 'segment'), '--ros-args', '--params-file',
                 str(ROOT / 'config' / 'segment.yaml'), '-p', f'checkpoint:={checkpoint(folder)}'],
                env=here, stdout=log, stderr=log)
            driver = subprocess.Popen([sys.executable, __file__, '--drive', name], env=here, stdout=subprocess.PIPE,
                                      text=True)
            try:
                cores, memory = watch(folder, segmenter, driver)
                found = json.loads(driver.stdout.readline())
                driver.wait()
            finally:
                for process in (segmenter, driver):
                    process.terminate()
                    process.wait()
        print(next(line for line in (folder / 'segmenter.log').read_text().splitlines() if 'backend' in line),
              file=sys.stderr)
    figures(found, cores, memory)


if __name__ == '__main__':
    main()
