# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Sparse convolutions against torch's dense ones."""

import pytest
import torch
from torch.nn import functional as F

from ros_kd.sparse import (BACKENDS, Groups, InverseConv3d, Linear, SparseConv3d, SparseTensor, SubMConv3d,
                           choose_backend)
from ros_kd.sparse import keys as packing

LOWER, SIZE = torch.tensor([-6, -8, -4]), (12, 16, 8)
OFFSETS = torch.cartesian_prod(*[torch.arange(-1, 2)] * 3)


@pytest.fixture(params=list(BACKENDS))
def backend(request):
    if not BACKENDS[request.param].supports(torch.device('cpu')):
        pytest.skip(f'backend {request.param} is not installed')
    return request.param


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def random_tensor(channels, backend, batch_size=2, share=0.3, seed=0):
    """Return a random sparse tensor around the origin and what its voxels' indices in a dense grid are."""
    generator = torch.Generator().manual_seed(seed)
    occupied = torch.rand((batch_size, *SIZE), generator=generator) < share
    index = occupied.nonzero()[torch.randperm(int(occupied.sum()), generator=generator)]
    features = torch.randn(len(index), channels, generator=generator)
    return SparseTensor.from_coordinates(index[:, 1:] + LOWER, features, index[:, 0], batch_size, backend)


def dense_index(tensor):
    return (tensor.batch, *(tensor.coordinates - LOWER // tensor.stride).unbind(1))


def to_dense(tensor):
    """Return float [B, C, X, Y, Z]."""
    shape = [size // tensor.stride for size in SIZE]
    dense = tensor.features.new_zeros(tensor.batch_size, *shape, tensor.features.shape[1])
    return dense.index_put(dense_index(tensor), tensor.features).permute(0, 4, 1, 2, 3)


def at_voxels(dense, tensor):
    return dense.permute(0, 2, 3, 4, 1)[dense_index(tensor)]


def dense_weight(layer):
    """Return the weight in torch's layout [C_out, C_in, k, k, k]."""
    k = layer.kernel_size
    return layer.weight.permute(2, 1, 0).reshape(layer.out_channels, layer.in_channels, k, k, k)


def assert_same_with_gradients(layer, tensor, dense_layer):
    """Compare outputs and the gradients of features and parameters under a random loss."""
    tensor.features.requires_grad_()
    parameters = [tensor.features, *layer.parameters()]
    result = layer(tensor)
    expected = at_voxels(dense_layer(to_dense(tensor)), result)
    torch.testing.assert_close(result.features, expected, rtol=1e-4, atol=1e-5)
    weight = torch.randn_like(expected)
    gradients = torch.autograd.grad((result.features * weight).sum(), parameters)
    references = torch.autograd.grad((expected * weight).sum(), parameters)
    for gradient, reference in zip(gradients, references):
        torch.testing.assert_close(gradient, reference, rtol=1e-4, atol=1e-4)
    return result


@pytest.mark.parametrize('channels', [(4, 7), (16, 32), (33, 70)])
@pytest.mark.parametrize('kernel_size', [3, 5])
def test_submanifold_convolution_equals_dense_convolution_at_the_voxels(backend, channels, kernel_size):
    layer = SubMConv3d(*channels, kernel_size, bias=True)
    assert_same_with_gradients(layer, random_tensor(channels[0], backend),
                               lambda x: F.conv3d(x, dense_weight(layer), layer.bias, padding=kernel_size // 2))


def test_pointwise_convolution_is_a_linear_layer(backend):
    layer = SubMConv3d(5, 3, kernel_size=1, bias=True)
    assert_same_with_gradients(layer, random_tensor(5, backend), lambda x: F.conv3d(x, dense_weight(layer), layer.bias))


@pytest.mark.parametrize(('kernel_size', 'padding'), [(2, 0), (3, 1)])
def test_strided_convolution_equals_dense_convolution_and_keeps_keys_sorted(backend, kernel_size, padding):
    layer = SparseConv3d(4, 6, kernel_size)
    tensor = random_tensor(4, backend, share=0.1)
    result = assert_same_with_gradients(
        layer, tensor, lambda x: F.conv3d(x, dense_weight(layer), stride=2, padding=padding))
    assert result.stride == 2 and bool((result.keys[1:] > result.keys[:-1]).all())
    cells = torch.cat([tensor.batch[:, None], tensor.coordinates.div(2, rounding_mode='floor')], 1)
    occupied = torch.cat([result.batch[:, None], result.coordinates], 1)
    assert torch.equal(occupied, torch.unique(cells, dim=0))


@pytest.mark.parametrize(('kernel_size', 'padding'), [(2, 0), (3, 1)])
def test_inverse_convolution_equals_dense_transposed_convolution_on_the_finer_voxels(backend, kernel_size, padding):
    fine = random_tensor(4, backend, share=0.1)
    down, layer = SparseConv3d(4, 5, kernel_size), InverseConv3d(5, 6, kernel_size)
    coarse = down(fine)
    coarse = coarse.with_features(coarse.features.detach())
    result = assert_same_with_gradients(
        layer, coarse, lambda x: F.conv_transpose3d(x, dense_weight(layer).transpose(0, 1), stride=2, padding=padding,
                                                    output_padding=padding))
    assert torch.equal(result.keys, fine.keys)


def test_forty_thousand_voxels_with_two_threads(backend, two_threads):
    generator = torch.Generator().manual_seed(1)
    sheet = torch.cartesian_prod(torch.arange(-128, 128), torch.arange(-128, 128))
    height = (torch.rand(len(sheet), 2, generator=generator) * 4).long() - 2
    coordinates = torch.unique(torch.cat([torch.cat([sheet, height[:, i:i + 1]], 1) for i in range(2)]), dim=0)
    coordinates = coordinates[torch.rand(len(coordinates), generator=generator) < 0.5]
    assert len(coordinates) >= 40_000
    tensor = SparseTensor.from_coordinates(coordinates, torch.randn(len(coordinates), 8, generator=generator),
                                           backend=backend)
    layer = SubMConv3d(8, 8)
    index = (tensor.coordinates + torch.tensor([128, 128, 2])).unbind(1)
    dense = torch.zeros(256, 256, 4, 8).index_put(index, tensor.features).permute(3, 0, 1, 2)[None]
    with torch.no_grad():
        expected = F.conv3d(dense, dense_weight(layer), padding=1)[0].permute(1, 2, 3, 0)[index]
        for _ in range(3):
            torch.testing.assert_close(layer(tensor).features, expected, rtol=1e-4, atol=1e-5)


def test_scans_of_a_batch_do_not_touch(backend):
    border = torch.tensor([[packing.HIGHEST] * 3, [packing.LOWEST] * 3])
    features = torch.ones(4, 1)
    tensor = SparseTensor.from_coordinates(border.repeat(2, 1), features, torch.tensor([0, 0, 1, 1]), backend=backend)
    layer = SubMConv3d(1, 1)
    torch.testing.assert_close(layer(tensor).features, layer.weight[13].expand(4, 1))


def test_voxels_at_the_borders_of_the_range_have_the_neighbours_that_they_have(backend):
    corner = torch.tensor([packing.LOWEST, packing.HIGHEST, packing.LOWEST])
    coordinates = corner + torch.tensor([[0, 0, 0], [1, -1, 1]])
    tensor = SparseTensor.from_coordinates(coordinates, torch.eye(2), backend=backend)
    layer = SubMConv3d(2, 1)
    to_second = int((OFFSETS == torch.tensor([1, -1, 1])).all(1).nonzero())
    expected = torch.stack([layer.weight[13, 0] + layer.weight[to_second, 1],
                            layer.weight[13, 1] + layer.weight[26 - to_second, 0]])
    torch.testing.assert_close(layer(tensor).features, expected)


def test_empty_input_gives_empty_output_and_zero_gradients(backend):
    tensor = SparseTensor.from_coordinates(torch.empty(0, 3, dtype=torch.long), torch.empty(0, 4), backend=backend)
    layers = torch.nn.Sequential(SubMConv3d(4, 8), SparseConv3d(8, 8, 3), SubMConv3d(8, 8), InverseConv3d(8, 4, 3),
                                 SparseConv3d(4, 8), InverseConv3d(8, 4))
    result = layers(tensor)
    assert result.features.shape == (0, 4)
    result.features.sum().backward()
    assert all(float(layer.weight.grad.abs().sum()) == 0 for layer in layers)


@pytest.mark.parametrize('scans', [1, 3])
def test_points_find_their_voxels(backend, scans):
    generator = torch.Generator().manual_seed(6)
    points = 4 * torch.randn(5000, 3, generator=generator)
    points[::7] = torch.tensor([torch.nan, 0, 0])
    points[1::7, 2] = torch.inf
    points[2::7] = 0
    scan = torch.randint(0, scans, (5000,), generator=generator) if scans > 1 else None
    lower, upper = (-3.0, -2.0, -1.5), (3.0, 2.5, 1.5)
    computing = choose_backend(torch.device('cpu'), backend)
    rows, keys, axes = computing.voxel_keys(points, lower, upper, 0.3, scan)
    assert torch.equal(axes, points[rows].T)
    inside = ((points >= torch.tensor(lower)) & (points < torch.tensor(upper))).all(1) & (points != 0).any(1)
    assert torch.equal(rows, inside.nonzero().squeeze(1)) and 0 < len(rows) < 3000
    cells = (points[rows] / 0.3).floor().long()
    assert torch.equal(keys, packing.pack(cells, None if scan is None else scan[rows]))
    unique, place = computing.unique(keys)
    assert torch.equal(unique, torch.unique(keys)) and torch.equal(unique[place], keys)
    assert len(computing.voxel_keys(points[:0], lower, upper, 0.3)[0]) == 0


@pytest.mark.parametrize('classes', [1, 2, 20, 40, 256])
@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
def test_the_best_class_and_its_probability(backend, classes, dtype):
    logits = (8 * torch.randn(5000, classes, generator=torch.Generator().manual_seed(classes))).to(dtype)
    offset = torch.zeros(classes)
    offset[1::3] = -torch.inf
    label, confidence = choose_backend(torch.device('cpu'), backend).classify(logits, offset, 1.7)
    expected = ((logits.double() + offset) / 1.7).softmax(1)
    assert label.dtype == torch.uint8 and confidence.dtype == torch.float32
    torch.testing.assert_close(confidence.double(), expected.max(1).values, rtol=1e-5, atol=1e-7)
    chosen = expected.gather(1, label.long()[:, None])[:, 0]  # bfloat16 has ties
    torch.testing.assert_close(chosen, expected.max(1).values, rtol=1e-9, atol=0)


def test_packing_keeps_coordinates_and_batch_and_sorts_by_them():
    generator = torch.Generator().manual_seed(2)
    coordinates = torch.randint(packing.LOWEST, packing.HIGHEST + 1, (1000, 3), generator=generator)
    batch = torch.randint(0, packing.MAX_BATCH, (1000,), generator=generator)
    keys = packing.pack(coordinates, batch)
    assert torch.equal(packing.unpack(keys), coordinates) and torch.equal(packing.batch_index(keys), batch)
    rows = sorted(range(1000), key=lambda i: (int(batch[i]), *coordinates[i].tolist()))
    assert torch.equal(keys.sort().values, keys[rows])


def test_halving_keys_floors_coordinates():
    coordinates = torch.tensor([[-3, -2, -1], [0, 1, 2], [packing.LOWEST, packing.HIGHEST, 5]])
    coarse, place = packing.halve(packing.pack(coordinates, torch.tensor([0, 3, 510])))
    assert torch.equal(packing.unpack(coarse), coordinates.div(2, rounding_mode='floor'))
    assert packing.batch_index(coarse).tolist() == [0, 3, 510]
    assert place.tolist() == [4 + 1, 2, 2 + 1]
    assert torch.equal(packing.unpack(packing.double(coarse)), coordinates.div(2, rounding_mode='floor') * 2)


@pytest.mark.parametrize('value', [packing.LOWEST - 1, packing.HIGHEST + 1])
def test_coordinates_outside_the_range_are_refused_by_value(value):
    with pytest.raises(ValueError, match=f'{value} is outside'):
        SparseTensor.from_coordinates(torch.tensor([[0, value, 0]]), torch.zeros(1, 1))


def test_wrong_arguments_are_refused_with_what_was_expected():
    with pytest.raises(ValueError, match='scan index 511 is outside 0..510'):
        packing.pack(torch.zeros(1, 3, dtype=torch.long), torch.tensor([511]))
    with pytest.raises(ValueError, match='expected integers'):
        packing.pack(torch.zeros(1, 3))
    with pytest.raises(ValueError, match='given twice'):
        SparseTensor.from_coordinates(torch.zeros(2, 3, dtype=torch.long), torch.zeros(2, 1))
    with pytest.raises(ValueError, match=r'expected \[1, C\]'):
        SparseTensor.from_coordinates(torch.zeros(1, 3, dtype=torch.long), torch.zeros(1, 1)).with_features(
            torch.zeros(2, 1))
    tensor = random_tensor(3, 'auto')
    with pytest.raises(ValueError, match='expects 4 channels'):
        SubMConv3d(4, 4)(tensor)
    with pytest.raises(ValueError, match='no finer voxels below stride 1'):
        InverseConv3d(3, 3)(tensor)
    with pytest.raises(ValueError, match=r'kernel size 2; supported: \(1, 3, 5\)'):
        SubMConv3d(4, 4, kernel_size=2)


def test_an_unknown_backend_is_refused_with_the_names_of_the_others():
    with pytest.raises(ValueError, match="'auto', 'torch'|'auto'.*'torch'"):
        choose_backend(torch.device('cpu'), 'cuda-magic')


def test_layers_of_one_stride_share_a_kernel_map(backend):
    tensor = random_tensor(4, backend)
    SubMConv3d(4, 4)(SubMConv3d(4, 4)(tensor))
    InverseConv3d(4, 4)(SparseConv3d(4, 4)(tensor))
    assert set(tensor.geometry.maps) == {(1, 3, 'submanifold'), (1, 2, 'strided')}


def test_autocast_computes_in_the_lower_precision_and_trains_the_weights(backend):
    tensor, layer = random_tensor(4, backend), SubMConv3d(4, 4)
    with torch.autocast('cpu', torch.bfloat16):
        result = layer(tensor).features
    assert result.dtype == torch.bfloat16
    torch.testing.assert_close(result.float(), layer(tensor).features, rtol=0.05, atol=0.05)
    result.float().sum().backward()
    assert layer.weight.grad.dtype == torch.float32 and float(layer.weight.grad.abs().sum()) > 0


@pytest.mark.parametrize('slope', [1.0, 0.0, 0.1])
def test_layers_take_a_residual_and_an_activation_along(backend, slope):
    tensor = random_tensor(4, backend)
    residual = torch.randn(len(tensor), 6, requires_grad=True)
    for layer in (SubMConv3d(4, 6, 3, bias=True), SubMConv3d(4, 6, 1, bias=True)):
        torch.nn.init.normal_(layer.bias)
        parameters = [residual, *layer.parameters()]
        result = layer(tensor, residual, slope).features
        expected = F.leaky_relu(layer(tensor).features + residual, slope)
        torch.testing.assert_close(result, expected, rtol=1e-4, atol=1e-5)
        with torch.no_grad():
            torch.testing.assert_close(layer(tensor, residual, slope).features, expected, rtol=1e-4, atol=1e-5)
        for got, wanted in zip(torch.autograd.grad(result.square().sum(), parameters),
                               torch.autograd.grad(expected.square().sum(), parameters)):
            torch.testing.assert_close(got, wanted, rtol=1e-3, atol=1e-3)


def test_linear_layer_is_torchs_with_what_follows(backend):
    tensor, layer = random_tensor(5, backend), Linear(5, 7)
    expected = F.relu(F.linear(tensor.features, layer.weight, layer.bias))
    torch.testing.assert_close(layer(tensor.features, tensor.geometry.backend, slope=0.0), expected)


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
def test_mean_of_groups_and_its_gradient(backend, dtype):
    generator = torch.Generator().manual_seed(4)
    index = torch.randint(0, 50, (4000,), generator=generator)
    index[index == 7] = 8  # group 7 has no rows
    features = torch.randn(4000, 20, generator=generator).to(dtype).requires_grad_()
    groups = Groups(index, 50)
    result = choose_backend(torch.device('cpu'), backend).mean(features, groups)
    expected = torch.stack([features[index == i].float().mean(0) if i != 7 else torch.zeros(20) for i in range(50)])
    tolerance = {'rtol': 1e-2, 'atol': 1e-3} if dtype == torch.bfloat16 else {'rtol': 1e-5, 'atol': 1e-6}
    torch.testing.assert_close(result.float(), expected, **tolerance)
    weight = torch.randn(50, 20, generator=generator)
    got, = torch.autograd.grad((result.float() * weight).sum(), features)
    wanted, = torch.autograd.grad((expected * weight).sum(), features)
    torch.testing.assert_close(got, wanted, rtol=1e-2, atol=1e-4)
