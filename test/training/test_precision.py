# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Training in lower precision than that of the weights."""

from __future__ import annotations

import pytest
import torch
from curves import losses
from streets import RECIPE, street, write_drive

from ros_kd.sparse import Groups
from ros_kd.sparse.backends import BACKENDS
from ros_kd.students import STUDENTS, build_student
from ros_kd.students.inputs import InputSpec
from ros_kd.students.predictor import Predictor
from training.__main__ import main

BACKEND_NAMES = [name for name in ('torch', 'native') if BACKENDS[name].supports(torch.device('cpu'))]


@pytest.mark.parametrize('backend', BACKEND_NAMES)
def test_a_training_in_mixed_precision_learns_and_keeps_float32_weights(backend, tmp_path, monkeypatch):
    monkeypatch.setattr('ros_kd.sparse.backends.AUTOMATIC', {'cpu': (backend,)})
    (tmp_path / 'tiny.yaml').write_text(RECIPE)
    run = tmp_path / 'run'
    assert main(['fit', '--config', str(tmp_path / 'tiny.yaml'), '--data.root', str(write_drive(tmp_path, 6)), '--run',
                 str(run), '--trainer.max_epochs', '10', '--trainer.precision', 'bf16-mixed', '--data.val',
                 '["semantickitti:.?sequences=00&frames=1"]']) == 0
    found = losses(run)
    assert found[max(found)] < 0.4 * found[0]
    state = torch.load(run / 'checkpoints/last.ckpt', weights_only=True)
    assert {value.dtype for value in state['state_dict'].values() if value.is_floating_point()} == {torch.float32}
    scan = street(77).scan
    assert (Predictor.load(run / 'student.safetensors').predict(scan).label == scan.label).mean() > 0.9


@pytest.mark.parametrize('backend', BACKEND_NAMES)
@pytest.mark.parametrize('architecture', sorted(STUDENTS))
def test_gradients_in_mixed_precision_are_near_those_of_float32(architecture, backend):
    torch.manual_seed(0)
    inputs = InputSpec(0.5, (-20, -20, -4), (20, 20, 4), ('z', 'intensity', 'dx', 'dy', 'dz'))
    student = build_student(architecture, 5, 12, 0.25).eval()  # a dropped out value would differ anyway
    batch = inputs.prepare([street(0).scan, street(1).scan], 'cpu', backend=backend)
    target = torch.arange(len(batch.tensor)) % 12
    gradients = []
    for lower in (False, True):
        student.zero_grad()
        with torch.autocast('cpu', torch.bfloat16, enabled=lower):
            logits = student(batch)
        torch.nn.functional.cross_entropy(logits.float(), target).backward()
        gradients.append(torch.cat([value.grad.flatten() for value in student.parameters() if value.grad is not None]))
    assert gradients[1].dtype == torch.float32 and gradients[1].isfinite().all()
    assert torch.nn.functional.cosine_similarity(*gradients, dim=0) > 0.98


@pytest.mark.parametrize('backend', BACKEND_NAMES)
@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_means_of_many_rows_do_not_overflow_in_lower_precision(backend, dtype):
    if backend == 'native' and dtype == torch.float16:
        pytest.skip('the native backend computes in float32 and bfloat16')
    rows = torch.full((5_000, 2), 100.0, dtype=dtype)
    mean = BACKENDS[backend].mean(rows, Groups(torch.zeros(5_000, dtype=torch.long), 1))
    assert mean.dtype == dtype and torch.equal(mean, torch.full((1, 2), 100.0, dtype=dtype))
