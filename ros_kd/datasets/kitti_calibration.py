# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""The calibration files of the KITTI family: lines of `name: numbers`."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ros_kd.datasets import DatasetError


def read_calibration(path: Path, **shapes: tuple[int, ...]) -> dict[str, np.ndarray]:
    """Return the named entries as float64 arrays of the given shapes.

    Raises DatasetError if the file or an entry is missing or an entry is malformed.
    """
    try:
        lines = path.read_text(encoding='utf-8', errors='replace').splitlines()
    except FileNotFoundError:
        raise DatasetError(f'calibration {path} is missing: without it no point finds its pixel') from None
    entries = {name.strip(): values for name, colon, values in (line.partition(':') for line in lines) if colon}
    missing = [name for name in shapes if name not in entries]
    if missing:
        raise DatasetError(f'calibration {path} has no {", ".join(missing)}; it has {sorted(entries)}')
    return {name: _matrix(path, name, entries[name], shape) for name, shape in shapes.items()}


def _matrix(path: Path, name: str, text: str, shape: tuple[int, ...]) -> np.ndarray:
    count = int(np.prod(shape))
    try:
        values = np.array(text.split(), np.float64)
    except ValueError:
        raise DatasetError(f'calibration {path}, line "{name}": {text.strip()[:60]!r} are not numbers') from None
    if len(values) != count or not np.isfinite(values).all():
        raise DatasetError(f'calibration {path}, line "{name}": {len(values)} numbers, expected {count} finite ones')
    return values.reshape(shape)


def homogeneous(matrix: np.ndarray) -> np.ndarray:
    """Return float64 [4, 4] from [3, 3] or [3, 4]."""
    wide = np.eye(4)
    wide[:matrix.shape[0], :matrix.shape[1]] = matrix
    return wide


def split_projection(projection: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Split P [3, 4] of a rectified camera into K [3, 3] and the shift [4, 4] from rectified camera 0 to this camera.

    P = K [I | t]: the stereo baseline t goes into the extrinsics, so that K alone projects (P x = K (x + t)).
    """
    intrinsics = projection[:, :3]
    shift = np.eye(4)
    shift[:3, 3] = np.linalg.solve(intrinsics, projection[:, 3])
    return intrinsics, shift


def camera_numbers(names: tuple[str, ...]) -> list[int]:
    """Return the numbers of the option cameras=02,03. Raises DatasetError for others than KITTI's 0 to 3."""
    try:
        numbers = [int(name) for name in names]
    except ValueError:
        numbers = [-1]
    if not all(0 <= number <= 3 for number in numbers):
        raise DatasetError(f'option cameras={",".join(names)}: expected numbers of KITTI cameras, such as 02 or 02,03')
    return numbers
