# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""Which points of a scan a camera sees, and at which pixel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ros_kd import extrinsics
from ros_kd.frames import CameraView


@dataclass(frozen=True)
class OcclusionFilter:
    """Hides points behind nearer ones: a z-buffer of the projected scan with cells of `cell` pixels.

    A point is hidden if the nearest point of its cell is nearer by more than `relative` of its depth + `absolute`
    metres. The margins are wide because ground seen at a grazing angle is deep within one cell: with 0.1 and 0.3 the
    filter took 2 to 10 % of rightly labelled ground from PandaSet and SemanticKITTI, with these 1 to 3 %, and of the
    background that a foreground pixel would have labelled it still takes 41 to 48 % (44 to 53).
    """

    cell: int = 8
    relative: float = 0.2
    absolute: float = 0.5

    def hidden(self, uv: np.ndarray, depth: np.ndarray, width: int) -> np.ndarray:
        """Return bool [M] for pixels uv [M, 2] and depths [M] (metres) of points inside the image."""
        columns = width // self.cell + 2
        cells = ((uv + 0.5) // self.cell).astype(np.int64)
        index = cells[:, 1] * columns + cells[:, 0]
        nearest = np.full(index.max(initial=0) + 1, np.inf, depth.dtype)
        np.minimum.at(nearest, index, depth)
        return depth > nearest[index] * (1 + self.relative) + self.absolute


@dataclass(frozen=True, eq=False)
class Projection:
    """The points that a camera sees.

    index: int64 [M], rows of the scan. uv: float32 [M, 2], pixels. depth: float32 [M], metres along the optical axis.
    """

    index: np.ndarray
    uv: np.ndarray
    depth: np.ndarray


def project(points: np.ndarray, view: CameraView, occlusion: OcclusionFilter | None = OcclusionFilter()) -> Projection:
    """Project points float32 [N, 3] (metres, LiDAR frame) into a view; without `occlusion` hidden points stay.

    NaN points are never visible.
    """
    in_camera = extrinsics.apply(view.lidar_to_camera, points)
    uv, valid = view.camera.project(in_camera)
    index = np.nonzero(valid)[0]
    uv, depth = uv[index], in_camera[index, 2]
    if occlusion is not None and len(index):
        seen = ~occlusion.hidden(uv, depth, view.camera.width)
        index, uv, depth = index[seen], uv[seen], depth[seen]
    return Projection(index, uv, depth)
