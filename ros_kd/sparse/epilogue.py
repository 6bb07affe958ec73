# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""What follows a convolution at once, so that its outputs need not be read again."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Epilogue:
    """leaky_relu(x + bias + residual, slope) of a layer's outputs x [V, C].

    bias: [C] or None. residual: [V, C] or None. slope: of negative values; 1 leaves them, 0 is a ReLU.
    """

    bias: Tensor | None = None
    residual: Tensor | None = None
    slope: float = 1.0

    def __call__(self, outputs: Tensor) -> Tensor:
        """Return the result with gradients; `outputs` may be overwritten."""
        # In place only where autograd does not need the values: a leaky ReLU's gradient comes from its output.
        for term in (self.bias, self.residual):
            if term is not None:
                outputs = outputs.add_(term) if outputs.dtype == term.dtype else outputs + term
        if self.slope == 1.0:
            return outputs
        return outputs.relu_() if self.slope == 0.0 else torch.nn.functional.leaky_relu_(outputs, self.slope)


NONE = Epilogue()
