# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Times of alternatives, taken in turn since machines are noisy, and how figures are printed."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from statistics import median
from time import perf_counter, sleep
from typing import Callable, Mapping

Action = Callable[[], object]


def interleaved(actions: Mapping[str, Action], runs: int, warm: int = 2) -> dict[str, float]:
    """Return the median seconds of each action; every run takes all of them, each time beginning with another.

    The half of the runs counts in which other processes took least of the machine. How much they took of it is said on
    stderr if it is more than a twentieth of a core: then figures are too long, those of many threads most of all.
    """
    rounds: list[tuple[float, dict[str, float]]] = []
    names = list(actions)
    for run in range(runs + warm):
        first = run % len(names)
        began, before = perf_counter(), others_seconds()
        seconds = {name: timed(actions[name]) for name in names[first:] + names[:first]}
        rounds.append(((others_seconds() - before) / (perf_counter() - began), seconds))
    quiet = sorted(rounds[warm:], key=lambda each: each[0])[:(runs + 1) // 2]
    most = quiet[-1][0]
    if most > 0.05:
        print(f'not alone: other processes took up to {most:.2f} cores beside {", ".join(names)}', file=sys.stderr)
    return {name: median(seconds[name] for _, seconds in quiet) for name in names}


def timed(action: Action) -> float:
    """Return the seconds that an action takes."""
    sleep(0.02)  # threads of the one before spin for some milliseconds
    began = perf_counter()
    action()
    return perf_counter() - began


def others_seconds() -> float:
    """Return the CPU time that all other processes and the hypervisor have taken so far."""
    user, nice, system, _, _, *rest = map(int, Path('/proc/stat').read_text().splitlines()[0].split()[1:9])
    own = os.times()
    return (user + nice + system + sum(rest)) / os.sysconf('SC_CLK_TCK') - own.user - own.system


def show(name: str, value: float, unit: str, **peer: object) -> None:
    """Print a figure as a JSON object on a line."""
    print(json.dumps({'name': name, 'value': value, 'unit': unit, **peer}), flush=True)


def show_times(prefix: str, seconds: Mapping[str, float]) -> None:
    """Print the milliseconds of each alternative."""
    for name, value in seconds.items():
        show(f'{prefix}_{name}_ms', round(1e3 * value, 2), 'ms')
