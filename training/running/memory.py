# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""What to do about a training that the memory is too small for."""

from __future__ import annotations

import torch
from lightning.pytorch import LightningModule, Trainer

from training.frames.data import Frames
from training.methods import Method

_SIGNS = ("can't allocate memory", 'out of memory', 'bad_alloc', 'ALLOC_FAILED', 'Cannot allocate memory')
_KILLED = 'is killed by signal: Killed'


def ran_out(error: BaseException) -> bool:
    """Tell whether an error says that memory could not be had: a GPU's, the computer's, or a loader process's."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in (*_SIGNS, _KILLED))


def advise(error: BaseException, trainer: Trainer) -> str | None:
    """Return what happened and the arguments to try, those that change the training least first; None if the error is
    another one."""
    if not ran_out(error):
        return None
    method, data = trainer.lightning_module, trainer.datamodule
    kind = getattr(method, 'device', torch.device('cpu')).type
    where = f'memory of {torch.cuda.get_device_name()}' if kind == 'cuda' else 'memory'
    unit = 'scan' if isinstance(method, Method) else 'image'
    what = f'batches of {data.batch_size} {unit}s' if data.batch_size > 1 else f'a single {unit}'
    lines = [f'not enough {where} for {what} ({_first_line(error)}). Try, the first ones first:']
    lines += [f'  {argument:<62} {effect}' for argument, effect in _remedies(error, kind, trainer, method)]
    if trainer.global_step:
        lines.append(f'Step {trainer.global_step} is saved: --ckpt_path last goes on from there with the same student.')
    return '\n'.join(lines)


def _remedies(error: BaseException, kind: str, trainer: Trainer, method: LightningModule) -> list[tuple[str, str]]:
    data, found = trainer.datamodule, []
    if _KILLED in str(error):
        found.append((f'--data.workers {data.workers // 2}', 'fewer loader processes, each holds frames of its own'))
    if data.batch_size > 1:
        found += _smaller_batch(data.batch_size, trainer.accumulate_grad_batches)
    if kind == 'cuda' and not str(trainer.precision).startswith(('bf16', '16')):
        found.append(('--trainer.precision bf16-mixed', 'about half the memory, weights stay float32'))
    return found + (_smaller_student(method, data, kind) if isinstance(method, Method) else [])


def _smaller_student(method: Method, data: Frames, kind: str) -> list[tuple[str, str]]:
    found, size = [], method.spec.inputs.voxel_size
    if method.looking is not None:
        height, width = method.looking.size
        found.append((f'looking.size [{height // 2}, {width // 2}] (in model.init_args)', 'a quarter of the pixels'))
    found.append((f'--model.student.inputs.voxel_size {1.5 * size:.3g}', f'fewer voxels than with {size:g} m'))
    if method.spec.width > 0.25:
        found.append((f'--model.student.width {method.spec.width / 2:g}', 'half the channels'))
    if data.cache is None and kind == 'cpu':
        found.append(('--data.cache DIR', 'frames and targets stay on disk'))
    return found


def _smaller_batch(batch: int, accumulated: int) -> list[tuple[str, str]]:
    """Half the batch with as many scans a step, if it can be halved."""
    half = batch // 2
    if batch % 2:
        return [(f'--data.batch_size 1 --trainer.accumulate_grad_batches {accumulated * batch}', 'the same step')]
    return [(f'--data.batch_size {half} --trainer.accumulate_grad_batches {accumulated * 2}',
             f'as many a step; batch norm sees {half}')]


def _first_line(error: BaseException) -> str:
    text = str(error).strip().splitlines()
    return f'{type(error).__name__}: {text[0]}'[:200] if text else type(error).__name__
