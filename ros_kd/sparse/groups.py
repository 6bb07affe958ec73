# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Rows that belong together: the points of a voxel, the voxels of a coarser cell."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Groups:
    """index: int64 [N], the group 0..size-1 of each row. size: how many groups there are."""

    index: Tensor
    size: int

    @cached_property
    def count(self) -> Tensor:
        """The rows in each group, int64 [size]."""
        return torch.bincount(self.index, minlength=self.size)
