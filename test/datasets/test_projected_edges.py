# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Real scans projected into real images: depth edges meet image edges (Levinson and Thrun, RSS 2013)."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from agreement import turned

from ros_kd.alignment import gradient, outlines
from ros_kd.datasets import open_dataset
from ros_kd.frames import PairedFrame
from ros_kd.pictures import sample
from ros_kd.projection import project_all


def edge_strength(frame: PairedFrame, edges: list[np.ndarray], degrees: float) -> np.ndarray:
    """How strong the image is where depth jumps, by camera: sums and numbers of points [C, 2]."""
    tried = project_all(frame.points[outlines(frame.points)], [turned(view, degrees) for view in frame.views])
    return np.array([(sample(edge, seen.uv).sum(), len(seen.uv)) for edge, seen in zip(edges, tried)])


@pytest.mark.parametrize('spec, cameras', [('kitti_object:{}/kitti_object', 1), ('nuscenes:{}/nuscenes', 6),
                                           ('pandaset:{}/pandaset/002?frames=4', 6)])
def test_depth_edges_meet_the_edges_of_real_images_better_than_one_degree_to_the_side(real_data, spec: str, cameras: int):
    total = {degrees: np.zeros((cameras, 2)) for degrees in (-1, 0, 1)}
    for frame in open_dataset(spec.format(real_data)):
        edges = [cv2.GaussianBlur(gradient(cv2.GaussianBlur(view.image(), (0, 0), 1)), (0, 0), 1.5)
                 for view in frame.views]
        for degrees in total:
            total[degrees] += edge_strength(frame, edges, degrees)
    assert (total[0][:, 1] > 100).all()
    mean = {degrees: sums[:, 0] / sums[:, 1] for degrees, sums in total.items()}
    gain = mean[0] / np.maximum(mean[-1], mean[1])
    assert (gain > 1).all() and gain.mean() > 1.1, gain
