# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""A child process that writes pairs as fast as it can until it is killed, at a moment that nobody chose."""

from __future__ import annotations

import os
import random
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np

from ros_kd.bags import codec, layout
from ros_kd.bags.writer import PairedBagWriter, RawPair, RawView, Storage
from ros_kd.cameras import Camera
from ros_kd.frames import Scan
from ros_kd.images import EncodedPixels

START, STEP = 1_700_000_000_000_000_000, 100_000_000
STORAGES = (Storage(), Storage(max_bytes=20_000_000), Storage(compression='zstd'), Storage(max_seconds=1.0))
_CAMERA = Camera(1600, 900, [[1200, 0, 800], [0, 1200, 450], [0, 0, 1]])
_NOISE = np.random.default_rng(0).integers(0, 255, 2_000_000, np.uint8)


def rig() -> layout.Rig:
    """Return the rig of the pairs."""
    return layout.Rig(tuple(layout.CameraTopics.under(name, name, True) for name in ('left', 'right')))


def pair(number: int) -> RawPair:
    """Return pair `number`, always the same: two images of up to 1 MB and a cloud of 20,000 points."""
    stamp, size = START + number * STEP, 1000 + number * 7919 % 1_000_000
    views = tuple(RawView(name, codec.image(EncodedPixels(_NOISE[number:number + size], 'jpeg'), stamp + 5, name),
                          codec.camera_info(_CAMERA, stamp, name), np.eye(4)) for name in ('left', 'right'))
    points = _NOISE[number:number + 240_000].astype(np.float32).reshape(-1, 12)[:, :3]
    return RawPair(codec.cloud(Scan(stamp, points)), views, np.eye(4))


def killed_writer(path: Path, seed: int, longest: float = 0.3) -> list[int]:
    """Let a child write to the bag `path`, and kill it; return the numbers of the pairs that `write` returned for."""
    chance = random.Random(seed)
    child = subprocess.Popen([sys.executable, __file__, str(path), str(seed)], stdout=subprocess.PIPE,
                             env=environment())
    acknowledged = child.stdout.read(4)
    time.sleep(chance.uniform(0, longest))
    child.kill()
    acknowledged += child.stdout.read()
    child.wait()
    child.stdout.close()
    count = len(acknowledged) // 4
    return list(struct.unpack(f'<{count}I', acknowledged[:4 * count]))


def environment() -> dict[str, str]:
    """Return that of a child which imports the same ros_kd."""
    return {**os.environ, 'PYTHONPATH': os.pathsep.join(sys.path)}


def _write_until_killed(path: Path, seed: int) -> None:
    writer = PairedBagWriter(path, rig(), STORAGES[seed % len(STORAGES)])
    threading.Thread(target=_sync, args=(writer,), daemon=True).start()
    number = 0
    while True:
        writer.write(pair(number))
        os.write(1, struct.pack('<I', number))
        number += 1


def _sync(writer: PairedBagWriter) -> None:
    while True:
        time.sleep(0.05)
        writer.sync()


if __name__ == '__main__':
    _write_until_killed(Path(sys.argv[1]), int(sys.argv[2]))
