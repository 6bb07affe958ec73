# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""The image side of training: networks that see images, how they are looked at, and labelled images to train on."""
