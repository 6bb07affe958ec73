# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Pictures of paired frames as uint8 RGB arrays: pure functions, for reports and checks by eye."""

from ros_kd.pictures.colors import as_rgb, class_colors, depth_colors, intensity_colors, sample
from ros_kd.pictures.layout import caption, fit, legend, stack, write
from ros_kd.pictures.points import from_above, over_image, over_labels, radius_by_density

__all__ = ['as_rgb', 'caption', 'class_colors', 'depth_colors', 'fit', 'from_above', 'intensity_colors', 'legend',
           'over_image', 'over_labels', 'radius_by_density', 'sample', 'stack', 'write']
