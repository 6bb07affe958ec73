# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""Hands out a grid's work to processes: each stage once, each run scored when its last stage is trained."""

from __future__ import annotations

import logging
import multiprocessing
import os
import subprocess
import threading
import time
import traceback
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Callable, Iterator

from training.grid.plan import Grid, Run, Stage
from training.grid.results import Result, Results
from training.grid.runs import Interrupted, ScoreRun, TrainStage, Workshop

Work = TrainStage | ScoreRun
_THREADS = {'OMP_NUM_THREADS': '1', 'OMP_WAIT_POLICY': 'passive'}
_ATTEMPTS = 2  # of work whose process died, which another process beside it may have caused


@dataclass(eq=False)
class _Job:
    """Work and the keys of the jobs that come before it."""

    key: str
    name: str
    work: Work
    needs: tuple[str, ...] = ()
    attempts: int = 0


@dataclass
class Outcome:
    """finished: results of this invocation. failed: what went wrong, by the name of the run or stage."""

    finished: list[Result] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)


def spawned(jobs: int) -> Executor:
    """Return processes that work one thread each; spawned, since torch's threads do not survive a fork."""
    return ProcessPoolExecutor(jobs, multiprocessing.get_context('spawn'), initializer=_start)


def say_now(text: str) -> None:
    """Print a line, also into a file that someone follows."""
    print(text, flush=True)


def run_grid(grid: Grid, results: Results, workshop: Workshop, jobs: int = 1, say: Callable[[str], None] = say_now,
             workers: Callable[[int], Executor] = spawned) -> Outcome:
    """Train and score what has no result yet, `jobs` at a time; a failed run does not stop the others.

    What a stage said is in its folder's output.txt, failures in failed.txt of `workshop.out`. Raises Interrupted on
    Ctrl-C: what was begun goes on when the same is called again.
    """
    pending = _jobs(grid, results, workshop)
    total, outcome = sum(isinstance(job.work, ScoreRun) for job in pending.values()), Outcome()
    done = len({run.key for run in grid.runs if run.key in results})
    say(f'{grid.name}: {total} runs to do, {done} done before')
    if not pending:
        return outcome
    began = time.monotonic()
    with _environment(_THREADS):
        for job, value in _executed(pending, jobs, workers):
            if isinstance(value, BaseException):
                _note_failure(workshop.out, job, value, outcome, say)
            elif isinstance(value, Result):
                results.add(value)
                outcome.finished.append(value)
                left = (time.monotonic() - began) / len(outcome.finished) * (total - len(outcome.finished))
                say(f'{len(outcome.finished)}/{total} {grid.name}: {job.name}: {100 * value.mean_iou:.1f} % mIoU, '
                    f'{value.seconds:.0f} s of training; about {left / 60:.0f} min left')
    return outcome


def _jobs(grid: Grid, results: Results, workshop: Workshop) -> dict[str, _Job]:
    """Return what is to do: stages in front of the runs that are made of them."""
    pending: dict[str, _Job] = {}
    revision = git_revision()
    for run in grid.runs:
        if run.key in results or run.key in pending:
            continue
        for stage in _needed(run):
            if not workshop.is_trained(stage.key):
                pending.setdefault(stage.key, _Job(stage.key, f'{run.name} ({stage.name})',
                                                   TrainStage(stage, run.seed, workshop), tuple(stage.needs.values())))
        pending[run.key] = _Job(run.key, run.name, ScoreRun(run, grid.name, revision, workshop),
                                tuple(stage.key for stage in _needed(run)))
    return pending


def _needed(run: Run) -> list[Stage]:
    """The stages that the last one is built upon, and itself."""
    by_key = {stage.key: stage for stage in run.stages}
    wanted, kept = [run.stages[-1].key], set()
    while wanted:
        key = wanted.pop()
        kept.add(key)
        wanted += by_key[key].needs.values()
    return [stage for stage in run.stages if stage.key in kept]


def _executed(pending: dict[str, _Job], jobs: int,
              workers: Callable[[int], Executor]) -> Iterator[tuple[_Job, object]]:
    """Yield each job with what it returned or raised; those that need a failed one fail with it."""
    waiting, failed = dict(pending), set()
    pool = workers(jobs)
    running: dict[Future, _Job] = {}
    try:
        while waiting or running:
            for job in [job for job in waiting.values() if failed & set(job.needs)]:
                failed.add(waiting.pop(job.key).key)
                yield job, RuntimeError('a stage that it needs failed')
            unfinished = set(waiting) | {job.key for job in running.values()}
            ready = [job for job in waiting.values() if not unfinished & set(job.needs)]
            # Scores first: they are short, and tell most.
            ready.sort(key=lambda job: not isinstance(job.work, ScoreRun))
            for job in ready[:jobs - len(running)]:
                running[pool.submit(job.work)] = waiting.pop(job.key)
            ended, _ = wait(running, return_when=FIRST_COMPLETED)
            if any(isinstance(future.exception(), BrokenProcessPool) for future in ended):
                ended, _ = wait(running)  # one process died, and the pool with it
                pool.shutdown()
                pool = workers(jobs)
            for future in ended:
                job, error = running.pop(future), future.exception()
                if isinstance(error, (Interrupted, KeyboardInterrupt)):
                    raise error
                if isinstance(error, BrokenProcessPool):
                    job.attempts += 1
                    if job.attempts < _ATTEMPTS:
                        waiting[job.key] = job
                        continue
                    error = RuntimeError('its process was killed twice: there may be too little memory')
                if error is not None:
                    failed.add(job.key)
                yield job, future.result() if error is None else error
    finally:
        pool.shutdown(cancel_futures=True)


def _start() -> None:
    import torch

    from ros_kd.memory import keep_freed_memory

    # A pool's process waits for work for ever if the one that made it was killed.
    threading.Thread(target=_end_with, args=(multiprocessing.parent_process(),), daemon=True).start()
    torch.set_num_threads(1)
    logging.getLogger('lightning.fabric').setLevel(logging.WARNING)
    keep_freed_memory()


def _end_with(parent: BaseProcess) -> None:
    parent.join()
    os._exit(1)


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _note_failure(folder: Path, job: _Job, error: BaseException, outcome: Outcome, say: Callable[[str], None]) -> None:
    text = f'{type(error).__name__}: {error}'
    outcome.failed[job.name] = text
    say(f'failed: {job.name}: {text.splitlines()[0]}')
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / 'failed.txt').open('a') as file:
        file.write(f'{job.name} ({job.key})\n{"".join(traceback.format_exception(error))}\n')


def git_revision() -> str:
    """Return the short hash of the code's commit, with "+" if files were changed since; "" outside git."""
    here = Path(__file__).parent
    try:
        asked = [subprocess.run(['git', *words], cwd=here, capture_output=True, text=True, check=True).stdout.strip()
                 for words in (['rev-parse', '--short', 'HEAD'],
                               ['status', '--porcelain', '--untracked-files=no', '--', '..', '../../ros_kd'])]
    except (OSError, subprocess.CalledProcessError):
        return ''
    return asked[0] + ('+' if asked[1] else '')
