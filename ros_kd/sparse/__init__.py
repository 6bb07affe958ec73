# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Sparse 3D convolution on voxels kept in the order of packed keys; needs torch only."""

from ros_kd.sparse.backends import BACKENDS, choose_backend
from ros_kd.sparse.layers import InverseConv3d, SparseConv3d, SubMConv3d
from ros_kd.sparse.maps import KernelMap
from ros_kd.sparse.tensor import SparseTensor

__all__ = ['BACKENDS', 'InverseConv3d', 'KernelMap', 'SparseConv3d', 'SparseTensor', 'SubMConv3d', 'choose_backend']
