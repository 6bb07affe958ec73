#!/usr/bin/env python3
# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""The whole way on the simulated vehicle: drive and record, distil, segment another town, and a page that shows it."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Step:
    """A command with a name and the file that it makes; its output goes to `log`, lines with a word of `show` to the
    screen too."""

    name: str
    command: list[str]
    makes: Path
    log: Path
    show: tuple[str, ...] = ()

    def run(self, environment: dict[str, str]) -> float:
        """Run it; returns the seconds it took. Exits with a message that names the step and its log on failure."""
        print(f'\n== {self.name}\n   {" ".join(self.command)}', flush=True)
        started = time.monotonic()
        with self.log.open('w') as log, subprocess.Popen(
                self.command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL, text=True, errors='replace') as process:
            for line in process.stdout:
                log.write(line)
                log.flush()
                if any(word in line for word in self.show):
                    print(f'   {time.monotonic() - started:4.0f}s {line.strip()[:160]}', flush=True)
        if process.returncode or not self.makes.exists():  # a launch ends with 0 even if its nodes died
            tail = '    '.join(self.log.read_text().splitlines(keepends=True)[-15:])
            sys.exit(f'\nThe step "{self.name}" failed (exit code {process.returncode}, {self.makes} '
                     f'{"exists" if self.makes.exists() else "is missing"}). Its last lines:\n\n'
                     f'    {tail}\nThe whole log: {self.log}')
        seconds = time.monotonic() - started
        print(f'   done in {seconds:.0f} s', flush=True)
        return seconds


def steps(out: Path, pairs: int, scans: int) -> list[Step]:
    """What happens, in order; each step reads what the one before left in `out`."""
    bag, run, report = out / 'drive', out / 'run', out / 'report.html'
    student = run / 'student.safetensors'
    python, ros2 = sys.executable, str(Path(sys.executable).with_name('ros2'))
    ros2 = ros2 if Path(ros2).exists() else 'ros2'
    return [
        Step('Drive through a simulated town and record camera-LiDAR pairs',
             [ros2, 'launch', 'ros_kd', 'record.launch.py', 'sim:=true', 'use_sim_time:=true', 'seed:=1',
              'camera_rate_scale:=0.2', 'rate:=10.0', f'max_pairs:={pairs}', f'output:={bag}'],
             bag / 'metadata.yaml', out / '1-record.log', ('pairs', 'ERROR', 'WARN')),
        Step('Distil what the images show into a LiDAR-only student',
             [python, '-m', 'training', 'fit', '--config', 'training/recipes/simulated.yaml', '--run', str(run),
              '--data.train', f'["bag:{bag}"]'], student, out / '2-distil.log', ('epoch', 'rror')),
        Step('Drive through another town with the student alone: no camera, no label',
             [ros2, 'launch', 'ros_kd', 'demo.launch.py', 'seed:=200', f'checkpoint:={student}', f'report:={report}',
              f'scans:={scans}'], report, out / '3-segment.log', ('report', 'ERROR', 'WARN')),
    ]


def main() -> None:
    """Run the demo."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--out', type=Path, default=Path('out/demo'),
                        help='folder for all results (default %(default)s)')
    parser.add_argument('--pairs', type=int, default=40, help='camera-LiDAR pairs to record (default %(default)s)')
    parser.add_argument('--scans', type=int, default=30, help='scans to label in the other town (default %(default)s)')
    arguments = parser.parse_args()
    out = arguments.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    for file in (*(step.log for step in steps(out, arguments.pairs, arguments.scans)), out / 'report.html'):
        file.unlink(missing_ok=True)  # of an earlier demo, and nothing else
    for folder in (out / 'drive', out / 'run'):
        shutil.rmtree(folder, ignore_errors=True)
    # A domain of its own, so that a robot on the same network neither hears nor disturbs the demo.
    environment = {**os.environ, 'ROS_DOMAIN_ID': os.environ.get('ROS_DOMAIN_ID', '87'), 'PYTHONUNBUFFERED': '1'}
    environment.setdefault('ROS_AUTOMATIC_DISCOVERY_RANGE', 'LOCALHOST')
    times = [(step.name, step.run(environment)) for step in steps(out, arguments.pairs, arguments.scans)]
    print('\n== Done')
    for name, seconds in times:
        print(f'   {seconds:5.0f} s  {name}')
    student = out / 'run' / 'student.safetensors'
    print(f'\nLook at   {out / "report.html"}\nBag       {out / "drive"}\nStudent   {student}\n'
          f'Live      ros2 launch ros_kd segment.launch.py checkpoint:={student}')


if __name__ == '__main__':
    main()
