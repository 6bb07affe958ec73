# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""What a CameraInfo says of the images beside it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ros_kd.cameras import Camera, rectification


@dataclass(frozen=True, eq=False)
class Calibration:
    """A camera, and raw camera to the camera of its images, float64 [4, 4] (identity unless they are rectified)."""

    camera: Camera
    rectification: np.ndarray

    @classmethod
    def of(cls, info: Any, rectified: bool, baseline: bool = True) -> Calibration:
        """Take what a CameraInfo says of rectified or raw images. Raises ValueError as `Camera.from_info`.

        baseline: whether P's baseline is between the frame of rectified images and their camera.
        """
        return cls(Camera.from_info(info, rectified), rectification(info, baseline) if rectified else np.eye(4))
