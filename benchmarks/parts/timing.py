# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Times of alternatives, taken in turn since machines are noisy, and how figures are printed."""

from __future__ import annotations

import json
from statistics import median
from time import perf_counter
from typing import Callable, Mapping

Action = Callable[[], object]


def interleaved(actions: Mapping[str, Action], runs: int, warm: int = 2) -> dict[str, float]:
    """Return the median seconds of each action; every run takes all of them, each time beginning with another."""
    seconds: dict[str, list[float]] = {name: [] for name in actions}
    names = list(actions)
    for run in range(runs + warm):
        first = run % len(names)
        for name in names[first:] + names[:first]:
            started = perf_counter()
            actions[name]()
            seconds[name].append(perf_counter() - started)
    return {name: median(values[warm:]) for name, values in seconds.items()}


def show(name: str, value: float, unit: str, **peer: object) -> None:
    """Print a figure as a JSON object on a line."""
    print(json.dumps({'name': name, 'value': value, 'unit': unit, **peer}), flush=True)


def show_times(prefix: str, seconds: Mapping[str, float]) -> None:
    """Print the milliseconds of each alternative."""
    for name, value in seconds.items():
        show(f'{prefix}_{name}_ms', round(1e3 * value, 2), 'ms')
