# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Sparse convolutions and whole students on the CPU against spconv, torch and the speed of a matrix product.

A scan of 120,000 points of a simulated town in voxels of 0.1 m. Peers have the same weights and give the same logits,
which is checked before they are timed in turn; medians (see parts/timing.py). Networks build their kernel maps anew
each time; layers find theirs built. Ours is the backend that is chosen by itself. `of_gemm_peak`: useful floating point
operations per second, those of pairs of voxels that exist, over what a large float32 product reaches in the same run.
Memory: growth of a process of its own at the peak of one forward pass. Agreement: points of scans of other towns that
the shipped student labels alike in both precisions. SPARSE_RUNS: how often each is timed.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from pathlib import Path
from typing import Callable

import torch
from torch import Tensor

from benchmarks.parts.scans import dense_scan
from benchmarks.parts.timing import interleaved, show, show_times
from ros_kd.datasets import open_dataset
from ros_kd.memory import keep_freed_memory
from ros_kd.sparse import SparseTensor, SubMConv3d, choose_backend
from ros_kd.sparse.backends.onednn import product
from ros_kd.students import build_student
from ros_kd.students.folding import fold
from ros_kd.students.inputs import POINTS, InputSpec
from ros_kd.students.predictor import Predictor
from ros_kd.students.voxels import VoxelBatch

try:
    from benchmarks.parts import peers
except ImportError as error:
    peers = None
    print(f'spconv is left out: {error}', file=sys.stderr)

RUNS = int(os.environ.get('SPARSE_RUNS', 20))
SHIPPED = Path(__file__).parents[1] / 'config' / 'students' / 'simulated.safetensors'
CLASSES = 20
CPU = torch.device('cpu')
OURS = choose_backend(CPU)
STUDENTS = {'minkunet14': ('minkunet14', InputSpec()), 'minkunet18': ('minkunet18', InputSpec()),
            'twodpass': ('twodpass64', InputSpec(columns=POINTS))}
MEMORY = ('ours_f32', 'ours_bf16', 'torch', 'spconv')


def student(architecture: str, spec: InputSpec) -> torch.nn.Module:
    """Return a student in evaluation with random weights, its batch normalisations not trivial."""
    torch.manual_seed(0)
    network = build_student(architecture, len(spec.columns), CLASSES).eval().requires_grad_(False)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm1d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2.0)
    return network


def alternatives(network: torch.nn.Module, batch: VoxelBatch) -> dict[str, Callable[[], Tensor]]:
    """Return what is compared, each giving logits of the voxels (spconv's 2DPASS: of the points)."""
    folded = fold(network)
    half, tensor = fold(network).to(torch.bfloat16), batch.tensor
    actions = {'ours_f32': lambda: folded(anew(batch, OURS.name)),
               'ours_bf16': lambda: half(anew(batch, OURS.name).cast(torch.bfloat16)),
               'torch': lambda: folded(anew(batch, 'torch'))}
    if peers and hasattr(network, 'stem') and hasattr(network, 'up'):
        unet = peers.SpconvMinkUNet(network)
        actions['spconv'] = lambda: unet(peers.spconv_tensor(tensor.keys, tensor.features, tensor.batch_size))
    elif peers:
        branches = peers.SpconvTwoDPass(network)
        actions['spconv'] = lambda: branches(batch)
    return actions


def anew(batch: VoxelBatch, backend: str) -> VoxelBatch:
    """Return the batch as if its kernel maps had not been built."""
    old = batch.tensor
    return VoxelBatch(SparseTensor(old.keys, old.features, 1, old.batch_size, backend=backend), batch.points,
                      batch.voxels, batch.point_voxel, batch.point_scan)


def check(name: str, actions: dict[str, Callable[[], Tensor]], batch: VoxelBatch) -> None:
    """Raise RuntimeError if a peer's logits are not ours."""
    expected = actions['torch']()
    for peer, action in actions.items():
        logits, reference = action().float(), expected
        if len(logits) != len(expected):
            reference = expected[batch.voxels.index]
        error = float((logits - reference).abs().max() / reference.abs().max())
        if error > (0.1 if peer.endswith('bf16') else 1e-3):
            raise RuntimeError(f'{name}: logits of {peer} are off by {error:.2g} of the largest')


def networks(batches: dict[str, VoxelBatch]) -> None:
    """Print whole students."""
    for name, (architecture, spec) in STUDENTS.items():
        actions = alternatives(student(architecture, spec), batches[name])
        check(name, actions, batches[name])
        seconds = interleaved(actions, RUNS)
        show_times(f'sparse.{name}', seconds)
        if 'spconv' not in seconds:
            continue
        peer, unit = f'spconv {1e3 * seconds["spconv"]:.0f} ms', 'times faster'
        for precision in ('f32', 'bf16'):
            ratio = round(seconds['spconv'] / seconds[f'ours_{precision}'], 2)
            show(f'sparse.{name}_{precision}_vs_spconv', ratio, unit, peer=peer)
        if name == 'twodpass':
            show('sparse.twodpass_vs_spconv', round(seconds['spconv'] / seconds['ours_f32'], 2), unit, peer=peer)


def layers(tensor: SparseTensor) -> None:
    """Print submanifold convolutions of 3 x 3 x 3 with as many channels in as out, and the building of their map."""
    square = torch.randn(2, 2048, 2048)
    keys, pairs = tensor.keys, pair_count(tensor)
    for channels in (32, 64, 128):
        features = torch.randn(len(keys), channels)
        layer = SubMConv3d(channels, channels).requires_grad_(False)
        half = SubMConv3d(channels, channels).to(torch.bfloat16).requires_grad_(False)
        built = {name: SparseTensor(keys, features, backend=name) for name in {OURS.name, 'torch'}}
        halved = built[OURS.name].with_features(features.to(torch.bfloat16))
        actions = {'ours_f32': lambda: layer(built[OURS.name]), 'ours_bf16': lambda: half(halved),
                   'torch': lambda: layer(built['torch'])}
        if peers:
            actions['spconv'] = spconv_layer(layer, keys, features)
            outputs = (actions[name]().features for name in ('spconv', 'ours_f32'))
            torch.testing.assert_close(*outputs, rtol=1e-3, atol=1e-3)
        seconds = interleaved({**actions, 'gemm': lambda: product(square[0], square[1])}, RUNS)
        peak = 2 * 2048 ** 3 / seconds.pop('gemm')
        show(f'sparse.layer{channels}_gemm_peak', round(peak / 1e9), 'GFLOP/s')
        show_times(f'sparse.layer{channels}', seconds)
        for name, value in seconds.items():
            share = 2 * pairs * channels ** 2 / value / peak
            show(f'sparse.layer{channels}_{name.removeprefix("ours_")}_of_gemm_peak', round(share, 3), 'of its speed')


def spconv_layer(layer: SubMConv3d, keys: Tensor, features: Tensor) -> Callable:
    """Return spconv's layer with the same weight, its pairs found."""
    peer = peers.submanifold(layer.in_channels, layer.out_channels, 1)
    peer.load_state_dict(peers.state_to_spconv(layer.state_dict()))
    peer.requires_grad_(False)
    tensor = peer(peers.spconv_tensor(keys, features)).replace_feature(features)
    return lambda: peer(tensor)


def pair_count(tensor: SparseTensor) -> int:
    """Return how many pairs of voxels a kernel of 3 x 3 x 3 joins, each voxel with itself included."""
    pairs = choose_backend(CPU, 'torch').submanifold_map(tensor.keys, 3).pairs
    return len(tensor) + sum(len(rows) for rows, _ in pairs)


def maps(tensor: SparseTensor) -> None:
    """Print the building of a kernel map of 3 x 3 x 3."""
    actions = {name: (lambda backend: lambda: backend.submanifold_map(tensor.keys, 3))(choose_backend(CPU, name))
               for name in dict.fromkeys((OURS.name, 'torch'))}
    if peers:
        layer, features = peers.submanifold(1, 1, 1), torch.zeros(len(tensor), 1)
        actions['spconv_with_1_channel'] = lambda: layer(peers.spconv_tensor(tensor.keys, features))
    show_times('sparse.map', interleaved(actions, RUNS))


def agreement() -> None:
    """Print how many points the shipped student labels alike in bfloat16 and in float32."""
    precise, rough = (Predictor.load(SHIPPED, CPU, precision=precision) for precision in ('float32', 'bfloat16'))
    same = total = 0
    for town in (201, 202, 203, 204, 205):
        scan = open_dataset(f'simulated:?seed={town}&frames=1&start=60')[0].scan
        same += int((precise.predict(scan).label == rough.predict(scan).label).sum())
        total += len(scan)
    show('sparse.bf16_argmax_agreement', round(same / total, 5), f'of {total} points')


def growth(spec: InputSpec) -> None:
    """Print what more points, smaller voxels and more scans at a time cost."""
    network = student('minkunet14', spec)
    folded, half = fold(network), fold(network).to(torch.bfloat16)
    for size in (0.1, 0.05):
        for points in (30_000, 60_000, 120_000, 250_000, 500_000):
            batch = InputSpec(size).prepare([dense_scan(points)])
            grown(f'{points // 1000}k_points_{size}m', folded, half, batch)
    scans = [dense_scan(120_000, number=number) for number in (40, 60, 80, 100)]
    for count in (1, 2, 3, 4):
        grown(f'batch_{count}', folded, half, spec.prepare(scans[:count]))


def grown(name: str, folded: torch.nn.Module, half: torch.nn.Module, batch: VoxelBatch) -> None:
    """Print MinkUNet-14 on a batch."""
    actions = {'f32': lambda: folded(anew(batch, OURS.name)),
               'bf16': lambda: half(anew(batch, OURS.name).cast(torch.bfloat16))}
    seconds = interleaved(actions, max(RUNS // 3, 2), warm=1)
    for precision, value in seconds.items():
        show(f'sparse.growth_{name}_{precision}_ms', round(1e3 * value, 1), 'ms', voxels=len(batch.tensor))


def memory() -> None:
    """Print the memory that MinkUNet-14 takes, each alternative in a process of its own."""
    for name in MEMORY if peers else MEMORY[:3]:
        done = subprocess.run([sys.executable, __file__, '--memory', name], stdout=subprocess.PIPE, text=True,
                              check=True)
        show(f'sparse.memory_minkunet14_{name}', int(done.stdout.split()[-1]), 'MB')


def measure_memory(name: str) -> None:
    """Print the MB by which this process grows at the peak of a forward pass."""
    spec = InputSpec()
    batch = spec.prepare([dense_scan(120_000)])
    action = alternatives(student('minkunet14', spec), batch)[name]
    ctypes.CDLL(None).malloc_trim(0)  # what was freed before does not serve the pass unseen
    before = resident('VmRSS')
    Path('/proc/self/clear_refs').write_text('5')  # the peak begins again
    action()
    print(resident('VmHWM') - before)


def resident(field: str) -> int:
    """Return a field of the process's status in MB."""
    lines = Path('/proc/self/status').read_text().splitlines()
    return int(next(line for line in lines if line.startswith(field)).split()[1]) // 1024


def main() -> None:
    """Print one JSON object a line."""
    with torch.inference_mode():
        if sys.argv[1:2] == ['--memory']:
            measure_memory(sys.argv[2])
            return
        keep_freed_memory()  # for all of them
        scan = dense_scan(120_000)
        batches = {name: spec.prepare([scan]) for name, (_, spec) in STUDENTS.items()}
        tensor = batches['minkunet14'].tensor
        description = f'{OURS.name} {getattr(OURS, "instruction_set", "")}'.strip()
        show('sparse.voxels', len(tensor), 'voxels', points=len(scan), backend=description,
             threads=torch.get_num_threads(), pairs_per_voxel=round(pair_count(tensor) / len(tensor), 2))
        maps(tensor)
        layers(tensor)
        networks(batches)
        agreement()
        memory()
        growth(STUDENTS['minkunet14'][1])


if __name__ == '__main__':
    main()
