# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""The inspection in a few lines: of text for the terminal, of JSON for scripts."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import datetime, timezone

from ros_kd.inspection.figures import Figures, Finding, Severity, Verdict
from ros_kd.inspection.tables import Table, tables

_MARKS = {Severity.FAULT: 'FAULT', Severity.WARNING: 'mend ', Severity.NOTE: 'note '}
ANSWERS = {Verdict.GOOD: 'You can train on it.',
           Verdict.FAULTS: 'You can train on it. Mend what is listed before the next drive.',
           Verdict.UNUSABLE: 'You cannot train on it. Mend the faults and record again.'}
_YEAR_2000 = 946_684_800_000_000_000  # ns; data sets without stamps count from 0
_BRIEF = ('Pairing', 'Topics')


def facts(figures: Figures) -> str:
    """Return what the source is, in one line."""
    parts = [figures.source.value + (f' ({figures.storage})' if figures.storage else '')]
    if figures.pairing is not None:
        parts.append(f'{figures.pairing.pairs:,} pair' + ('' if figures.pairing.pairs == 1 else 's'))
    if figures.seconds:
        parts.append(f'{figures.seconds:,.1f} s')
    if figures.drive is not None:
        parts.append(f'{figures.drive.distance:,.0f} m')
    if figures.bytes:
        parts.append(f'{figures.bytes / 1e6:,.1f} MB' if figures.bytes < 1e9 else f'{figures.bytes / 1e9:,.2f} GB')
    if figures.logged > _YEAR_2000:
        parts.append(f'{datetime.fromtimestamp(figures.logged // 10**9, timezone.utc):%Y-%m-%d %H:%M:%S} UTC')
    return ', '.join(parts)


def summary(figures: Figures, verdict: Verdict, findings: tuple[Finding, ...]) -> str:
    """Return verdict, findings and the tables that matter most, for a terminal."""
    lines = [f'{figures.name}: {verdict.value}. {ANSWERS[verdict]}', facts(figures), '']
    lines += [f'{_MARKS[finding.severity]} {finding.text}' for finding in findings] or ['nothing to mend']
    for table in tables(figures):
        if table.title in _BRIEF:
            lines += ['', *_aligned(table)]
    return '\n'.join(lines)


def _aligned(table: Table) -> list[str]:
    rows = [table.heads, *table.rows]
    widths = [max(len(row[i]) for row in rows) for i in range(len(table.heads))]
    lines = ['  '.join(cell.ljust(width) if i < table.texts else cell.rjust(width)
                       for i, (cell, width) in enumerate(zip(row, widths))).rstrip() for row in rows]
    return lines + ([table.note] if table.note else [])


def as_json(figures: Figures, verdict: Verdict, findings: tuple[Finding, ...]) -> str:
    """Return everything, for scripts."""
    return json.dumps({'verdict': verdict, 'findings': [asdict(finding) for finding in findings], **asdict(figures)},
                      indent=1)
