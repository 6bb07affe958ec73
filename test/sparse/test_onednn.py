# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Products by oneDNN against torch's own."""

import pytest
import torch
from torch.nn import functional as F

from ros_kd.sparse.backends import onednn


@pytest.fixture(params=['onednn', 'torch'])
def way(request, monkeypatch):
    """Both ways: oneDNN's, and torch's own where that is missing."""
    if request.param == 'torch':
        monkeypatch.setattr(onednn, '_works', lambda: False)
    elif not onednn._works():
        pytest.skip('this torch has no oneDNN')


@pytest.mark.parametrize('slope', [1.0, 0.0, 0.1])
@pytest.mark.parametrize('biased', [True, False])
@pytest.mark.parametrize(('rows', 'channels'), [(1000, (64, 32)), (3, (7, 1)), (1, (1, 20)), (0, (4, 5)), (5, (0, 3))])
def test_product_is_torchs_with_bias_and_activation(way, rows, channels, biased, slope):
    x, matrix = torch.randn(rows, channels[0]), torch.randn(channels)
    bias = torch.randn(channels[1]) if biased else None
    expected = F.leaky_relu(x @ matrix + (bias if biased else 0), slope)
    torch.testing.assert_close(onednn.product(x, matrix, bias, slope), expected, rtol=1e-4, atol=1e-4)


def test_views_are_taken_as_they_are(way):
    x, matrix = torch.randn(30, 20), torch.randn(16, 12)
    for rows, columns in ((x[:, 2:18], matrix), (x[:, :12].contiguous(), matrix.T), (x[:, 4:], matrix[:, ::2])):
        torch.testing.assert_close(onednn.product(rows, columns), rows @ columns, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float64])
def test_other_types_are_torchs_own_affair(way, dtype):
    x, matrix = torch.randn(9, 8, dtype=dtype), torch.randn(8, 4, dtype=dtype)
    assert torch.equal(onednn.product(x, matrix), x @ matrix)
