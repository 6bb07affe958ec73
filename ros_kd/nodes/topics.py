# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""The relative topic names that the simulated vehicle, the replay and the recorder agree on by default."""

POINTS = 'points'
ODOMETRY = 'odom'
LABEL_INFO = 'label_info'  # latched; of the field gt_label in POINTS


def image(camera: str) -> str:
    """sensor_msgs/Image."""
    return f'{camera}/image'


def compressed(camera: str) -> str:
    """sensor_msgs/CompressedImage."""
    return f'{camera}/image/compressed'


def camera_info(camera: str) -> str:
    """sensor_msgs/CameraInfo."""
    return f'{camera}/camera_info'


def labels(camera: str) -> str:
    """sensor_msgs/Image, mono8: a class id for each pixel, 255 = unknown."""
    return f'{camera}/labels'


def label_info(camera: str) -> str:
    """std_msgs/String, latched: the taxonomy of `labels`."""
    return f'{camera}/label_info'
