# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""A training step of MinkUNet-14 on the CPU: forward, cross-entropy, backward and SGD, against spconv and torch.

A scan of 120,000 points of a simulated town in voxels of 0.1 m, float32. All networks begin with the same weights and
are timed in turn; medians. Losses and the first layer's gradients are compared first. STEP_RUNS: how often each is
timed.
"""

from __future__ import annotations

import os
import sys
from copy import deepcopy
from typing import Callable

import torch
from torch import Tensor, nn

from benchmarks.parts.scans import dense_scan
from benchmarks.parts.timing import interleaved, show, show_times
from ros_kd.memory import keep_freed_memory
from ros_kd.sparse import SparseTensor, choose_backend
from ros_kd.students import build_student
from ros_kd.students.inputs import InputSpec
from ros_kd.students.voxels import VoxelBatch

try:
    from benchmarks.parts import peers
except ImportError as error:
    peers = None
    print(f'spconv is left out: {error}', file=sys.stderr)

RUNS = int(os.environ.get('STEP_RUNS', 12))
CLASSES = 20
OURS = choose_backend(torch.device('cpu')).name


def step(network: nn.Module, logits: Callable[[], Tensor], target: Tensor) -> Callable[[], float]:
    """Return a step of training, which returns its loss."""
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-3, momentum=0.9, nesterov=True)

    def run() -> float:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(logits(), target)
        loss.backward()
        optimizer.step()
        return float(loss.detach())
    return run


def ours(network: nn.Module, batch: VoxelBatch, backend: str) -> Callable[[], Tensor]:
    """Return what gives the logits, kernel maps built anew."""
    def logits() -> Tensor:
        tensor = SparseTensor(batch.tensor.keys, batch.tensor.features, backend=backend)
        return network(VoxelBatch(tensor, batch.points, batch.voxels, batch.point_voxel, batch.point_scan))
    return logits


def check(networks: dict[str, nn.Module], losses: dict[str, float]) -> None:
    """Raise RuntimeError if a network does not learn what the first one learns."""
    gradients = {name: network.stem[0].norm.weight.grad for name, network in networks.items()}
    reference, *others = networks
    for name in others:
        error = float((gradients[name] - gradients[reference]).norm() / gradients[reference].norm())
        if abs(losses[name] - losses[reference]) > 1e-3 or error > 1e-2:
            raise RuntimeError(f'loss {losses[name]} of {name}, {losses[reference]} of {reference}; '
                               f'gradients differ by {error:.2g}')


def main() -> None:
    """Print one JSON object a line."""
    keep_freed_memory()  # for all of them
    torch.manual_seed(0)
    spec = InputSpec()
    batch = spec.prepare([dense_scan(120_000)])
    target = torch.randint(CLASSES, (len(batch.tensor),))
    network = build_student('minkunet14', len(spec.columns), CLASSES).train()
    networks: dict[str, nn.Module] = {name: deepcopy(network) for name in dict.fromkeys((OURS, 'torch'))}
    logits = {name: ours(copied, batch, name) for name, copied in networks.items()}
    if peers:
        peer = networks['spconv'] = peers.SpconvMinkUNet(network)
        logits['spconv'] = lambda: peer(peers.spconv_tensor(batch.tensor.keys, batch.tensor.features))
    steps = {name: step(networks[name], logits[name], target) for name in networks}
    check(networks, {name: run() for name, run in steps.items()})
    seconds = interleaved(steps, RUNS, warm=1)
    show_times('sparse.train_step', seconds)
    if peers:
        peer_ms = f'spconv {1e3 * seconds["spconv"]:.0f} ms'
        show('sparse.train_step_vs_spconv', round(seconds['spconv'] / seconds[OURS], 2), 'times faster', peer=peer_ms)


if __name__ == '__main__':
    main()
