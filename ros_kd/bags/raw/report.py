# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""What pairing a raw bag left out, and why."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass(frozen=True)
class SkipReport:
    """Scans of a raw bag that became no pair, by reason, and what else the user should know.

    no_partner: the images that fit it fit another scan better. interval: by camera, no image within the slop.
    no_transform: by what is missing. no_calibration: by what is wrong with which camera's. unreadable: messages (of any
    topic) that could not be used, by topic and what is wrong. notes: what concerns all pairs.
    """

    scans: int
    pairs: int
    no_partner: int = 0
    interval: Counter[str] = field(default_factory=Counter)
    no_transform: Counter[str] = field(default_factory=Counter)
    no_calibration: Counter[str] = field(default_factory=Counter)
    unreadable: Counter[str] = field(default_factory=Counter)
    notes: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        """Whether there is anything to say."""
        return self.pairs < self.scans or bool(self.unreadable or self.notes)

    def text(self) -> str:
        """Return the report in plain words, a reason a line."""
        lines = [f'{self.pairs} pairs of {self.scans} scans']
        if self.no_partner:
            lines.append(f'{self.no_partner} scans: the images that fit them fit other scans better')
        lines += [f'{count} scans: no image of {name}' for name, count in self.interval.most_common()]
        lines += [f'{count} scans: no transform: {what}' for what, count in self.no_transform.most_common()]
        lines += [f'{count} scans: no calibration: {what}' for what, count in self.no_calibration.most_common()]
        lines += [f'{count} messages cannot be used: {what}' for what, count in self.unreadable.most_common()]
        return '\n  '.join([*lines, *self.notes])
