# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""The spconv backend and weights of spconv's own layers; on the CPU, by a wheel for CUDA."""

import logging
import pickle

import pytest
import torch
from torch import nn

from ros_kd.sparse import InverseConv3d, SparseConv3d, SparseTensor, SubMConv3d, choose_backend
from ros_kd.sparse import keys as packing
from ros_kd.sparse.backends import spconv as backend
from ros_kd.sparse.spconv_weights import from_spconv, state_from_spconv, state_to_spconv, to_spconv

spconv = pytest.importorskip('spconv.pytorch', reason='spconv-cu118 is not installed')

CPU = torch.device('cpu')


def voxels(count=400, seed=0):
    """Return unique coordinates int64 [V, 3] around the origin."""
    generator = torch.Generator().manual_seed(seed)
    return torch.unique(torch.randint(-10, 10, (count, 3), generator=generator), dim=0)


def tensor_of(coordinates, channels, name='spconv', seed=1):
    features = torch.randn(len(coordinates), channels, generator=torch.Generator().manual_seed(seed))
    return SparseTensor.from_coordinates(coordinates, features, backend=name)


def to_spconv_tensor(tensor, origin=-16, size=32):
    indices = torch.cat([tensor.batch[:, None], tensor.coordinates - origin // tensor.stride], 1).int()
    return spconv.SparseConvTensor(tensor.features, indices, [size // tensor.stride] * 3, tensor.batch_size)


def sorted_features(result, origin=-16, stride=1):
    indices = result.indices.long()
    return result.features[packing.pack(indices[:, 1:] + origin // stride, indices[:, 0]).argsort()]


class Ours(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.down = SubMConv3d(4, 6), SparseConv3d(6, 8, 2)
        self.wide, self.point = SubMConv3d(8, 8, 5, bias=True), SubMConv3d(8, 5, 1, bias=True)
        self.up, self.norm = InverseConv3d(5, 3, 2), nn.BatchNorm1d(3)

    def forward(self, tensor):
        return self.norm(self.up(self.point(self.wide(self.down(self.stem(tensor))))).features)


class Theirs(nn.Module):
    def __init__(self):
        super().__init__()
        native = spconv.ConvAlgo.Native
        self.stem = spconv.SubMConv3d(4, 6, 3, bias=False, algo=native)
        self.down = spconv.SparseConv3d(6, 8, 2, stride=2, bias=False, algo=native, indice_key='down')
        self.wide = spconv.SubMConv3d(8, 8, 5, algo=native)
        self.point = spconv.SubMConv3d(8, 5, 1, algo=native)
        self.up = spconv.SparseInverseConv3d(5, 3, 2, bias=False, algo=native, indice_key='down')
        self.norm = nn.BatchNorm1d(3)

    def forward(self, tensor):
        return self.norm(self.up(self.point(self.wide(self.down(self.stem(tensor))))).features)


@pytest.mark.parametrize('name', ['torch', 'spconv'])
def test_a_network_with_spconvs_weights_gives_what_spconvs_network_gives_and_back(name):
    torch.manual_seed(0)
    theirs, ours = Theirs(), Ours()  # in training, since spconv on the CPU leaves biases out in evaluation
    tensor = tensor_of(voxels(), 4, name)
    assert list(theirs.state_dict()) == list(ours.state_dict())
    ours.load_state_dict(state_from_spconv(theirs.state_dict()))
    expected = theirs(to_spconv_tensor(tensor))
    torch.testing.assert_close(ours(tensor), expected, rtol=1e-4, atol=1e-5)
    again = Theirs()
    again.load_state_dict(state_to_spconv(ours.state_dict()))
    torch.testing.assert_close(again(to_spconv_tensor(tensor)), expected)


@pytest.mark.parametrize('kernel_size', [1, 2, 3, 5])
@pytest.mark.parametrize(('layout', 'shape'), [('KRSC', '{out}kkk{in}'), ('RSKC', 'kkk{out}{in}'),
                                               ('RSCK', 'kkk{in}{out}')])
def test_weights_go_through_every_layout_and_come_back(kernel_size, layout, shape):
    weight = torch.randn(kernel_size ** 3, 6, 7)
    converted = to_spconv(weight, layout)
    expected = shape.format(**{'in': 6, 'out': 7}).replace('k', str(kernel_size))
    assert ''.join(map(str, converted.shape)) == expected and converted.is_contiguous()
    assert torch.equal(from_spconv(converted, layout), weight)


def test_weights_that_are_not_of_a_cubic_kernel_are_refused_with_their_shape():
    with pytest.raises(ValueError, match=r'\(6, 3, 3, 1, 4\), expected that of a cubic 3D kernel in layout KRSC'):
        from_spconv(torch.zeros(6, 3, 3, 1, 4))
    with pytest.raises(ValueError, match=r'\(9, 4, 6\), expected \[kernel volume'):
        to_spconv(torch.zeros(9, 4, 6))
    with pytest.raises(ValueError, match=r"\"CKRS\".*'KRSC', 'RSKC', 'RSCK'"):
        from_spconv(torch.zeros(6, 3, 3, 3, 4), 'CKRS')


def test_on_the_cpu_spconv_is_used_only_if_named():
    assert choose_backend(CPU).name != 'spconv' and choose_backend(CPU, 'spconv').name == 'spconv'


def test_the_wrong_build_is_refused_with_the_right_one(monkeypatch):
    monkeypatch.setattr('spconv.cppconstants.CPU_ONLY_BUILD', True)
    backend.library.cache_clear()
    try:
        with pytest.raises(ImportError, match='install spconv-cu118'):
            SubMConv3d(4, 4)(tensor_of(voxels(), 4))
    finally:
        backend.library.cache_clear()


@pytest.mark.parametrize('scans', [1, 2])
def test_grids_that_spconv_gets_wrong_are_computed_by_torch_which_is_said_once(caplog, scans):
    """With two scans of 2048 x 2048 x 1024 cells, spconv meets voxels of one scan in the other."""
    backend._say_too_large.cache_clear()
    far = torch.cat([voxels() % 4, voxels() % 4 + torch.tensor([2044, 2044, 1020])]).unique(dim=0)
    coordinates = far.repeat(scans, 1)
    batch = torch.arange(scans).repeat_interleave(len(far))
    features = torch.randn(len(coordinates), 4)
    down, up, layer = SparseConv3d(4, 4), InverseConv3d(4, 4), SubMConv3d(4, 4)
    with caplog.at_level(logging.WARNING), torch.no_grad():
        results = [up(down(layer(SparseTensor.from_coordinates(coordinates, features, batch, scans, name))))
                   for name in ('spconv', 'torch')]
    torch.testing.assert_close(*(result.features for result in results), rtol=1e-4, atol=1e-5)
    assert [record.message.split(':')[0] for record in caplog.records] == [
        'torch computes sparse convolutions on grids of more than 2^31 voxels, which spconv gets wrong']


@pytest.mark.parametrize('kernel_size', [2, 3])
def test_an_inverse_convolution_needs_no_convolution_before_it(kernel_size):
    fine = voxels()
    layer, results = InverseConv3d(5, 6, kernel_size), []
    for name in ('spconv', 'torch'):
        tensor = tensor_of(fine, 4, name)
        coarse = tensor.geometry.coarser(1)
        features = torch.randn(len(coarse), 5, generator=torch.Generator().manual_seed(3))
        results.append(layer(tensor.at_stride(2, features)).features)
    torch.testing.assert_close(*results, rtol=1e-4, atol=1e-5)


def test_a_map_made_without_gradients_serves_training():
    tensor, layer = tensor_of(voxels(), 4), SubMConv3d(4, 4)
    with torch.no_grad():
        expected = layer(tensor).features
    result = layer(tensor).features
    torch.testing.assert_close(result, expected)
    result.square().sum().backward()
    assert float(layer.weight.grad.abs().sum()) > 0


def test_weights_that_change_are_converted_again():
    tensor, layer = tensor_of(voxels(), 4), SubMConv3d(4, 4)
    with torch.no_grad():
        before = layer(tensor).features
        layer.weight.mul_(2.0)
        torch.testing.assert_close(layer(tensor).features, 2 * before)


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_half_precision_is_kept_outside_and_computed_in_float32_on_the_cpu(dtype):
    tensor, layer = tensor_of(voxels(), 16), SubMConv3d(16, 8)
    half = layer.to(dtype)(tensor.with_features(tensor.features.to(dtype))).features
    expected = layer.float()(tensor.with_features(tensor.features.to(dtype).float())).features
    assert half.dtype == dtype
    torch.testing.assert_close(half.float(), expected, rtol=1e-2, atol=1e-2)


def test_the_backend_draws_no_random_numbers():
    tensor, layer = tensor_of(voxels(), 11), SubMConv3d(11, 13)
    before = torch.get_rng_state()
    layer(tensor)
    assert torch.equal(torch.get_rng_state(), before)


def test_layers_that_ran_are_still_pickled_and_copied():
    layer = SubMConv3d(4, 4)
    with torch.no_grad():
        layer(tensor_of(voxels(), 4))
    assert torch.equal(pickle.loads(pickle.dumps(layer)).weight, layer.weight)


def test_convolutions_may_go_down_by_the_same_map_and_one_comes_back():
    first, second, up = SparseConv3d(4, 6, 3), SparseConv3d(4, 6, 3), InverseConv3d(6, 4, 3)
    results = []
    for name in ('spconv', 'torch'):
        tensor = tensor_of(voxels(), 4, name)
        both = first(tensor).features + second(tensor).features
        results.append(up(tensor.at_stride(2, both)).features)
        results.append(torch.autograd.grad(results[-1].square().sum(), first.weight)[0])
    torch.testing.assert_close(results[0], results[2], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(results[1], results[3], rtol=1e-3, atol=1e-3)
