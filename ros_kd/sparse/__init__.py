# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Sparse 3D convolution on voxels kept in the order of packed keys; needs torch only."""

from ros_kd.sparse.backends import BACKENDS, Backend, choose_backend
from ros_kd.sparse.epilogue import Epilogue
from ros_kd.sparse.groups import Groups
from ros_kd.sparse.layers import InverseConv3d, Linear, SparseConv3d, SubMConv3d
from ros_kd.sparse.tensor import SparseTensor

__all__ = ['BACKENDS', 'Backend', 'Epilogue', 'Groups', 'InverseConv3d', 'Linear', 'SparseConv3d', 'SparseTensor',
           'SubMConv3d', 'choose_backend']
