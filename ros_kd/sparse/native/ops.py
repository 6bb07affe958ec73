# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Torch operators on the native library, with gradients, and with fake kernels for torch.compile and torch.export.

A kernel map is three tensors, see src/api.h: row int32 [T * tile * volume], local int16 of the same length, and start
int32 [T, volume + 1], for T tiles of outputs.
"""

from ros_kd.sparse.native import convolution, kernel_maps, voxels  # noqa: F401  defines torch.ops.ros_kd
