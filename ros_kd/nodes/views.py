# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Images of live pairs, decoded."""

from __future__ import annotations

from ros_kd.bags import codec, layout
from ros_kd.bags.discovery import CameraInputs
from ros_kd.bags.pixels import compressed_pixels, image_pixels
from ros_kd.bags.writer import RawView
from ros_kd.cameras import Camera, rectification
from ros_kd.frames import CameraView


def decode_view(raw: RawView, inputs: CameraInputs) -> CameraView:
    """Return a camera's part of a pair that is not in a bag. Raises ValueError for a bad image or calibration."""
    info = codec.read(raw.camera_info, layout.CAMERA_INFO)
    image = codec.read(raw.image, layout.COMPRESSED if inputs.compressed else layout.IMAGE)
    found = compressed_pixels(image.data, image.format, inputs.image) if inputs.compressed else image_pixels(image)
    matrix = rectification(info) @ raw.lidar_to_camera if inputs.rectified else raw.lidar_to_camera
    return CameraView(raw.camera, codec.stamp_of(image.header), Camera.from_info(info, inputs.rectified), matrix, found,
                      image.header.frame_id)
