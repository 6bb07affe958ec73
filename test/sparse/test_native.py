# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""What only the native backend has: instruction sets, threads, operators, kept weights."""

import gc
import os
import pickle
import subprocess
import sys
import weakref
from copy import deepcopy

import pytest
import torch
from torch.export import Dim, export

from ros_kd.sparse import Groups, InverseConv3d, Linear, SparseConv3d, SparseTensor, SubMConv3d, choose_backend
from ros_kd.sparse.native.library import load

if load() is None:
    pytest.skip('the C++ kernels are not built (make setup builds them where there is a compiler)',
                allow_module_level=True)

CPU = torch.device('cpu')


class Network(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.fine, self.down = SubMConv3d(4, 16, bias=True), SparseConv3d(16, 20)
        self.coarse, self.up, self.head = SubMConv3d(20, 24), InverseConv3d(24, 16), SubMConv3d(16, 5, 1)

    def forward(self, keys, features):
        fine = self.fine(SparseTensor(keys, features, backend='native'), slope=0.0)
        return self.head(self.up(self.coarse(self.down(fine)), residual=fine.features)).features


def scan(voxels=4000, channels=4, edge=30, seed=0):
    generator = torch.Generator().manual_seed(seed)
    coordinates = torch.unique(torch.randint(-edge, edge, (voxels, 3), generator=generator), dim=0)
    features = torch.randn(len(coordinates), channels, generator=generator)
    return SparseTensor.from_coordinates(coordinates, features, backend='native')


@pytest.fixture(params=load().instruction_sets)
def instruction_set(request):
    before = load().name
    load().select(request.param)
    yield request.param
    load().select(before)


@pytest.fixture
def network():
    torch.manual_seed(1)
    return Network()


@pytest.mark.parametrize('channels', [(1, 1), (3, 20), (17, 64), (64, 96), (130, 130)])
@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
def test_every_instruction_set_computes_what_torch_computes(instruction_set, channels, dtype):
    tensor, layer = scan(channels=channels[0], edge=12), SubMConv3d(*channels).to(dtype)
    tensor = tensor.with_features(tensor.features.to(dtype))
    as_torch = SparseTensor(tensor.keys, tensor.features.float(), backend='torch')
    with torch.no_grad():
        result = layer(tensor).features
        expected = SubMConv3d.forward(layer.float(), as_torch).features
    tolerance = 1e-4 if dtype == torch.float32 else 2e-2
    assert result.dtype == dtype
    torch.testing.assert_close(result.float(), expected, rtol=tolerance, atol=tolerance)


def test_gradients_are_torchs_with_every_instruction_set(instruction_set, network):
    tensor = scan(edge=8)
    as_torch = deepcopy(network)
    loss = network(tensor.keys, tensor.features).square().sum()
    fine = as_torch.fine(SparseTensor(tensor.keys, tensor.features, backend='torch'), slope=0.0)
    expected = as_torch.head(as_torch.up(as_torch.coarse(as_torch.down(fine)), residual=fine.features)).features
    for got, wanted in zip(torch.autograd.grad(loss, network.parameters()),
                           torch.autograd.grad(expected.square().sum(), as_torch.parameters())):
        torch.testing.assert_close(got, wanted, rtol=1e-3, atol=1e-3 * float(wanted.abs().max()))


def test_probabilities_are_torchs_with_every_instruction_set(instruction_set):
    logits, offset = 30 * torch.randn(3000, 33), torch.zeros(33)
    offset[[0, 5]] = -torch.inf
    results = [choose_backend(CPU, name).classify(logits, offset, 0.8) for name in ('native', 'torch')]
    assert torch.equal(results[0][0], results[1][0])
    torch.testing.assert_close(results[0][1], results[1][1], rtol=1e-5, atol=0)


@pytest.mark.parametrize('threads', [1, 2, 3, 7])
def test_the_number_of_threads_changes_nothing(network, threads):
    tensor = scan(60_000, edge=60)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        expected = network(tensor.keys, tensor.features)
        torch.set_num_threads(threads)
        assert torch.equal(network(tensor.keys, tensor.features), expected)
    finally:
        torch.set_num_threads(before)


def test_the_threads_are_those_of_torchs_own_runtime():
    program = """
import os, torch
from ros_kd.sparse import SparseTensor, SubMConv3d
torch.set_num_threads(3)
torch.rand(4_000_000).exp()
before = len(os.listdir('/proc/self/task'))
coordinates = torch.cartesian_prod(*[torch.arange(20)] * 3)
SubMConv3d(8, 8)(SparseTensor.from_coordinates(coordinates, torch.rand(8000, 8), backend='native'))
print(before, len(os.listdir('/proc/self/task')) - before)
"""
    run = subprocess.run([sys.executable, '-c', program], capture_output=True, text=True,
                         env={**os.environ, 'PYTHONPATH': os.getcwd()})
    started, added = run.stdout.split()
    assert int(started) >= 3 and added == '0', run.stderr


@pytest.mark.filterwarnings('ignore')
@pytest.mark.parametrize('gradients', [False, True])
def test_torch_compile_takes_a_network_in_one_piece(network, gradients):
    tensor = scan()
    torch._dynamo.reset()
    with torch.set_grad_enabled(gradients):
        compiled = torch.compile(network, backend='aot_eager', fullgraph=True)
        result = compiled(tensor.keys, tensor.features)
        torch.testing.assert_close(result, network(tensor.keys, tensor.features))
        if gradients:
            result.sum().backward()
            assert float(network.fine.weight.grad.abs().sum()) > 0
    torch._dynamo.reset()


@pytest.mark.filterwarnings('ignore')
def test_an_exported_network_takes_scans_of_any_size(network):
    tensor, other = scan(), scan(900, seed=1)
    with torch.no_grad():
        voxels = Dim('voxels', min=2, max=1_000_000)
        program = export(network, (tensor.keys, tensor.features), dynamic_shapes=({0: voxels}, {0: voxels}))
        for x in (tensor, other):
            torch.testing.assert_close(program.module()(x.keys, x.features), network(x.keys, x.features))


def test_operators_keep_the_rules_of_torch_library():
    tensor = scan(500, channels=6, edge=6)
    kernel_map = tensor.geometry.submanifold(1, 3)
    weight = torch.randn(27, 6, 10, requires_grad=True)
    features = tensor.features.requires_grad_()
    checks = ('test_schema', 'test_autograd_registration', 'test_faketensor')
    torch.library.opcheck(torch.ops.ros_kd.convolve.default, (
        features, weight, *kernel_map.lists, len(tensor), kernel_map.tile, None, None, None, 0), test_utils=checks)
    index = torch.arange(len(tensor)) % 7
    torch.library.opcheck(torch.ops.ros_kd.mean.default, (features, index, 7), test_utils=checks)


def test_weights_are_packed_once_until_they_change():
    tensor, layer, linear = scan(), SubMConv3d(4, 8).requires_grad_(False), Linear(4, 8).requires_grad_(False)
    backend = choose_backend(CPU, 'native')
    with torch.no_grad():
        for make in (lambda: layer(tensor).features, lambda: linear(tensor.features, backend)):
            first, kept = make(), {layer: layer.cache._kept, linear: linear.cache._kept}
            assert torch.equal(make(), first) and all(module.cache._kept is value for module, value in kept.items())
        before = layer(tensor).features
        layer.weight.mul_(2)
        torch.testing.assert_close(layer(tensor).features, 2 * before)
        layer.load_state_dict({'weight': layer.weight / 2})
        torch.testing.assert_close(layer(tensor).features, before)
        narrow = layer.to(torch.bfloat16)(tensor.with_features(tensor.features.bfloat16())).features
        assert narrow.dtype == torch.bfloat16
    for copy in (deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert copy.cache is not layer.cache and copy.cache._kept is None


@pytest.mark.parametrize('kernel_size', [1, 3])
def test_weights_that_are_trained_are_never_kept_since_fused_optimisers_leave_no_trace(kernel_size):
    tensor, layer = scan(), SubMConv3d(4, 8, kernel_size)
    linear = Linear(4, 8)
    optimiser = torch.optim.SGD([*layer.parameters(), *linear.parameters()], 1.0, fused=True)

    def outputs():
        return layer(tensor).features, linear(tensor.features, tensor.geometry.backend)
    for answer in (torch.no_grad, torch.inference_mode):
        with answer():
            before = outputs()
        sum(part.square().mean() for part in outputs()).backward()
        optimiser.step()
        after = outputs()
        with answer():
            for old, new, now in zip(before, after, outputs()):
                torch.testing.assert_close(now, new, rtol=1e-4, atol=1e-4)
                assert not torch.allclose(now, old, rtol=1e-2, atol=1e-3)


def test_weights_that_autocast_makes_anew_are_packed_anew():
    tensor, backend = scan(channels=16, edge=8), choose_backend(CPU, 'native')
    layer = SubMConv3d(16, 16).requires_grad_(False)
    kernel_map = tensor.geometry.submanifold(1, 3)
    with torch.no_grad(), torch.autocast('cpu', torch.bfloat16):
        for _ in range(20):  # a weight in bfloat16 is freed after use, and the next one may get its memory
            assert torch.equal(layer(tensor).features, backend.convolve(tensor.features, layer.weight, kernel_map))
            layer.weight.normal_()


def test_kernel_maps_are_freed_with_their_tensor():
    tensor, down, up = scan(), SparseConv3d(4, 8), InverseConv3d(8, 4)
    up(down(tensor)).features.sum().backward()
    kernel_map = weakref.ref(tensor.geometry.strided(1, 2))
    gc.disable()
    try:
        del tensor
        assert kernel_map() is None
    finally:
        gc.enable()


def test_second_derivatives_of_a_strided_convolution_are_right():
    tensor, layer = scan(300, edge=5), SparseConv3d(4, 6)

    def gradient(features, **options):
        outputs = layer(tensor.with_features(features)).features
        return torch.autograd.grad(outputs.square().sum(), features, **options)[0]
    x, direction = tensor.features.requires_grad_(), torch.randn(tensor.features.shape, requires_grad=True)
    found, = torch.autograd.grad((gradient(x, create_graph=True) * direction.detach()).sum(), x)
    torch.testing.assert_close(found, gradient(direction), rtol=1e-4, atol=1e-4)  # which is linear in the features


def test_what_kernels_would_read_or_write_beyond_is_refused():
    tensor, backend = scan(), choose_backend(CPU, 'native')
    kernel_map, weight, index = tensor.geometry.submanifold(1, 3), torch.randn(27, 4, 8), torch.arange(6).int()
    with torch.no_grad():
        with pytest.raises(ValueError, match=r'\(10, 4\).*expect'):
            backend.convolve(tensor.features[:10], weight, kernel_map)
        with pytest.raises(ValueError, match=r'\(10, 3\).*expect \(10, 4\)'):
            backend.linear(tensor.features[:10, :3].bfloat16(), weight[0].bfloat16())
    for refused in (lambda: backend.unique(index), lambda: backend.mean(torch.ones(6, 2), Groups(index, 6)),
                    lambda: backend.submanifold_map(tensor.keys.int(), 3)):
        with pytest.raises(ValueError, match='torch.int32, expected torch.int64'):
            refused()
    for keys in (tensor.keys.flip(0), tensor.keys[:1].repeat(500)):
        with pytest.raises(ValueError, match='ascend'):
            backend.submanifold_map(keys, 3)


@pytest.mark.parametrize('value', [float('nan'), float('inf')])
def test_a_row_without_a_class_leaves_the_others_alone(instruction_set, value):
    logits = torch.randn(50, 13)
    expected = choose_backend(CPU, 'native').classify(logits, torch.zeros(13), 1.0)
    logits[20] = value
    label, confidence = choose_backend(CPU, 'native').classify(logits, torch.zeros(13), 1.0)
    others = torch.arange(50) != 20
    assert torch.equal(label[others], expected[0][others]) and torch.equal(confidence[others], expected[1][others])
    assert label[20] == 0 and confidence[20].isnan()  # as torch's


def test_views_of_rows_are_read_where_they_lie():
    tensor, layer = scan(channels=8), SubMConv3d(4, 8)
    with torch.no_grad():
        result = layer(tensor.with_features(tensor.features[:, 3:7]))
        torch.testing.assert_close(result.features, layer(tensor.with_features(
            tensor.features[:, 3:7].contiguous())).features)


def test_other_types_are_refused_with_the_way_out():
    tensor = scan()
    with torch.no_grad(), pytest.raises(ValueError, match='torch.float64.*float32 and bfloat16.*"torch"'):
        SubMConv3d(4, 8).double()(tensor.with_features(tensor.features.double()))


def test_the_instruction_set_of_the_environment_is_used_and_an_unknown_one_refused():
    program = 'from ros_kd.sparse.native.library import load; print(load().name)'
    for name, expected in (('generic', 'generic'), ('mmx', "instruction set \"mmx\"")):
        run = subprocess.run([sys.executable, '-c', program], capture_output=True, text=True,
                             env={**os.environ, 'ROS_KD_INSTRUCTION_SET': name, 'PYTHONPATH': os.getcwd()})
        assert expected in run.stdout + run.stderr
