# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""From a value for each point to one number."""

from __future__ import annotations

from torch import Tensor


def weighted_mean(values: Tensor, weight: Tensor | None = None) -> Tensor:
    """Return sum_i w_i v_i / sum_i w_i of values [M]; weight: [M], not negative; None: all alike.

    Without points, or where all weigh nothing, 0 with a gradient of 0: a batch of which nothing is known changes
    nothing.
    """
    if weight is None:
        return values.sum() / max(len(values), 1)
    return (weight * values).sum() / weight.sum().clamp(min=1e-6)
