# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""The page of an inspection: one HTML file with everything inside, for a screen of any size, light or dark."""

from __future__ import annotations

from base64 import b64encode
from html import escape
from string import Template

import cv2
import numpy as np

from ros_kd.inspection.drawing import DrawnFrame, Picture
from ros_kd.inspection.figures import Figures, Finding, Severity, Verdict
from ros_kd.inspection.plots import Plot
from ros_kd.inspection.summary import ANSWERS, facts
from ros_kd.inspection.tables import Table

_QUALITY = 80
_TONES = {Verdict.GOOD: 'good', Verdict.FAULTS: 'warning', Verdict.UNUSABLE: 'fault'}
_MARKS = {Severity.FAULT: 'Fault', Severity.WARNING: 'Mend', Severity.NOTE: 'Note'}


def page(figures: Figures, verdict: Verdict, findings: tuple[Finding, ...], tables: list[Table], plots: list[Plot],
         frames: list[DrawnFrame]) -> str:
    """Return the page."""
    return _PAGE.substitute(
        title=escape(figures.name), tone=_TONES[verdict], verdict=escape(verdict.value.capitalize()),
        answer=ANSWERS[verdict], facts=escape(facts(figures)),
        findings=''.join(map(_finding, findings)) or '<li class="note">Nothing to mend.',
        pictures=_pictures(frames, figures.start), plots=f'<div class="plots">{"".join(map(_plot, plots))}</div>',
        first=''.join(map(_table, tables[:1])), tables=''.join(map(_table, tables[1:])),
        tree=f'<h2>Frames</h2><pre>{escape(figures.frames.text)}</pre>' if figures.frames else '')


def _finding(finding: Finding) -> str:
    return (f'<li class="{finding.severity.value}"><b>{_MARKS[finding.severity]}</b> '
            f'{escape(finding.text[:1].upper() + finding.text[1:])}.')


def _table(table: Table) -> str:
    def cells(row: tuple[str, ...], kind: str) -> str:
        return ''.join(f'<{kind}{"" if i < table.texts else " class=n"}>{escape(cell)}' for i, cell in enumerate(row))

    note = f'<p class="small">{escape(table.note)}</p>' if table.note else ''
    return (f'<h2>{escape(table.title)}</h2><div class="wide"><table><tr>{cells(table.heads, "th")}'
            + ''.join(f'<tr>{cells(row, "td")}' for row in table.rows) + f'</table></div>{note}')


def _plot(plot: Plot) -> str:
    source = f'data:image/svg+xml;base64,{b64encode(plot.svg).decode()}'
    return _figure(source, plot.caption)


def _pictures(frames: list[DrawnFrame], start: int) -> str:
    if not frames:
        return ''
    return ('<h2>Pictures</h2><p class="small">Depth edges must sit on the edges of poles, cars and people. If all are '
            'off the same way, check the extrinsics; if they are off more the faster the vehicle moves, check the '
            'stamps.</p>' + ''.join(_frame(frame, start) for frame in frames))


def _frame(frame: DrawnFrame, start: int) -> str:
    views = ''.join(_picture(picture, f'{picture.caption}, {abs(view.delay) / 1e6:.1f} ms '
                             f'{"after" if view.delay > 0 else "before"} the scan, {view.visible:,} points'
                             + (f' ({view.hidden:,} more hidden)' if view.hidden else ''))
                    for view in frame.views for picture in view.pictures)
    above = ''.join(_picture(picture, picture.caption, 'above') for picture in frame.above)
    own = '' if frame.key == str(frame.stamp) else f'{frame.key}, '
    return (f'<h3>{escape(own)}{(frame.stamp - start) / 1e9:.1f} s</h3><p class="small">Scan of {frame.points:,} '
            f'points at {frame.stamp} ns.</p><div class="views">{views}{above}</div>')


def _picture(picture: Picture, caption: str, kind: str = '') -> str:
    return _figure(_jpeg(picture.pixels), caption, kind)


def _figure(source: str, caption: str, kind: str = '') -> str:
    return (f'<figure class="{kind}"><img src="{source}" alt="{escape(caption)}"><figcaption>{escape(caption)}'
            '</figcaption></figure>')


def _jpeg(pixels: np.ndarray) -> str:
    data = cv2.imencode('.jpg', np.ascontiguousarray(pixels[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1]
    return f'data:image/jpeg;base64,{b64encode(data).decode()}'


_PAGE = Template('''<!doctype html><html lang="en"><meta charset="utf-8"><title>$title: $verdict</title>
<meta name="viewport" content="width=device-width,initial-scale=1">
<meta name="color-scheme" content="light dark"><style>
:root{--paper:#fbfcfd;--ink:#1c2530;--soft:#5a6675;--line:#d8dee6;--card:#fff;--good:#1a7f37;--warning:#9a6700;
--fault:#c62333;--note:#57606a}
@media(prefers-color-scheme:dark){:root{--paper:#12161c;--ink:#e3e8ee;--soft:#98a3b0;--line:#303843;--card:#1a2028;
--good:#3fb950;--warning:#d9a32b;--fault:#f4606c;--note:#98a3b0}}
body{font:16px/1.5 system-ui,sans-serif;margin:1.2rem auto 4rem;max-width:1240px;padding:0 1rem;color:var(--ink);
background:var(--paper)}
h1{font-size:1.3rem;margin:0;overflow-wrap:anywhere}h2{font-size:1.15rem;margin:2.2rem 0 .5rem}
h3{font-size:1rem;margin:1.4rem 0 0}
.verdict{border-left:8px solid var(--tone);padding:.4rem 0 .4rem 1rem;margin:1rem 0;font-size:1.8rem;font-weight:600;
color:var(--tone);line-height:1.2}.verdict small{display:block;font-size:1rem;font-weight:400;color:var(--soft)}
.tone-good{--tone:var(--good)}.tone-warning{--tone:var(--warning)}.tone-fault{--tone:var(--fault)}
ul{list-style:none;padding:0;max-width:60rem}li{border-left:3px solid var(--tone);padding:.25rem 0 .25rem .8rem;
margin:.5rem 0;overflow-wrap:anywhere}li b{color:var(--tone);margin-right:.3em}li.fault{--tone:var(--fault)}
li.warning{--tone:var(--warning)}li.note{--tone:var(--note)}
.wide{overflow-x:auto}table{border-collapse:collapse;font-size:.9rem;font-variant-numeric:tabular-nums}
td,th{padding:.25rem .7rem;border-bottom:1px solid var(--line);text-align:left;white-space:nowrap}
th{color:var(--soft);font-weight:500;white-space:normal;min-width:3.5rem;vertical-align:bottom}.n{text-align:right}
.small,figcaption{color:var(--soft);font-size:.85rem;margin:.3rem 0}figure{margin:0}img{max-width:100%;height:auto;
display:block;border-radius:4px}
.views,.plots{display:grid;gap:.8rem;grid-template-columns:repeat(auto-fit,minmax(min(100%,28rem),1fr));margin:.8rem 0;
align-items:start}.plots img{width:100%}
.above{max-width:min(100%,26rem)}
pre{background:var(--card);border:1px solid var(--line);border-radius:6px;padding:.8rem;overflow-x:auto;
font-size:.85rem}
</style><h1>$title</h1><div class="verdict tone-$tone">$verdict<small>$answer</small><small>$facts</small></div>
<ul>$findings</ul>$first$plots$pictures$tables$tree</html>
''')
