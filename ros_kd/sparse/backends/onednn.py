# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Products of float32 matrices by oneDNN, which torch takes by itself for other types only.

On AMD's processors torch's own float32 product (MKL) reaches about half of oneDNN's speed; elsewhere they are alike.
torch reaches oneDNN's through an operation meant for its compiler, so that it is tried once, and torch's own serves
where it is missing or has changed.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor


def product(rows: Tensor, matrix: Tensor, bias: Tensor | None = None, slope: float = 1.0) -> Tensor:
    """Return leaky_relu(rows [N, C_in] @ matrix [C_in, C_out] + bias [C_out], slope), which has no gradient.

    slope: 1 leaves negative values, 0 is a ReLU.
    """
    if not _suits(rows, matrix) or not _works():
        result = rows @ matrix if bias is None else torch.addmm(bias, rows, matrix)
        return _activate(result, slope)
    return _linear(rows, matrix, bias, slope)


def _linear(rows: Tensor, matrix: Tensor, bias: Tensor | None, slope: float) -> Tensor:
    activation, scalars = ('none', []) if slope == 1.0 else ('relu', []) if slope == 0.0 else ('leaky_relu', [slope])
    return torch.ops.mkldnn._linear_pointwise(rows, matrix.T, bias, activation, scalars, '')


def _activate(result: Tensor, slope: float) -> Tensor:
    if slope == 1.0:
        return result
    return result.relu_() if slope == 0.0 else torch.nn.functional.leaky_relu_(result, slope)


def _suits(rows: Tensor, matrix: Tensor) -> bool:
    """Tell whether oneDNN takes these; compilers and exporters shall see torch's own operations."""
    return (rows.device.type == 'cpu' and rows.dtype == matrix.dtype == torch.float32 and rows.is_contiguous()
            and rows.numel() > 0 and matrix.numel() > 0 and torch.backends.mkldnn.enabled
            and not torch.compiler.is_compiling())


@lru_cache(maxsize=None)
def _works() -> bool:
    """Tell whether oneDNN is there and gives what torch gives."""
    if not torch.backends.mkldnn.is_available():
        return False
    with torch.inference_mode():
        rows, matrix, bias = (torch.arange(n, dtype=torch.float32) - n / 2 for n in (20, 15, 3))
        rows, matrix = rows.view(4, 5), matrix.view(5, 3)
        expected = torch.addmm(bias, rows, matrix)
        try:
            return all(torch.allclose(_linear(rows, matrix, bias, slope), _activate(expected.clone(), slope))
                       for slope in (1.0, 0.0, 0.1))
        except (AttributeError, RuntimeError, TypeError):
            return False
