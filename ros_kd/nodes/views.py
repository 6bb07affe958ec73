# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Images of live pairs, decoded."""

from __future__ import annotations

from ros_kd.bags import codec, layout
from ros_kd.bags.calibration import Calibration
from ros_kd.bags.discovery import CameraInputs
from ros_kd.bags.pixels import pixels_of
from ros_kd.bags.writer import RawView
from ros_kd.frames import CameraView


def decode_view(raw: RawView, inputs: CameraInputs) -> CameraView:
    """Return a camera's part of a pair that is not in a bag. Raises ValueError for a bad image or calibration."""
    calibration = Calibration.of(codec.read(raw.camera_info, layout.CAMERA_INFO), inputs.rectified)
    image = codec.read(raw.image, layout.COMPRESSED if inputs.compressed else layout.IMAGE)
    return CameraView(raw.camera, codec.stamp_of(image.header), calibration.camera,
                      calibration.rectification @ raw.lidar_to_camera,
                      pixels_of(image, inputs.compressed, inputs.image), image.header.frame_id)
