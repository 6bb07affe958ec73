# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""One page that shows what a student sees: the scans and images that went in, the labels that came out, the scores."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from string import Template

import cv2
import numpy as np

from ros_kd.frames import PairedFrame
from ros_kd.pictures.colors import class_colors, intensity_colors
from ros_kd.pictures.points import from_above, over_image
from ros_kd.projection import project
from ros_kd.scores import Confusion
from ros_kd.taxonomy import Taxonomy

_EXTENT = 40.0


@dataclass(frozen=True, eq=False)
class Shown:
    """A frame to draw. label: class ids [N] of the student. truth: class ids [N] of the same taxonomy, or None."""

    frame: PairedFrame
    label: np.ndarray
    truth: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class Report:
    """What the page says.

    facts: short lines of text by heading (checkpoint, data ...). latency_ms: float [K]. scans: how many were labelled.
    """

    title: str
    taxonomy: Taxonomy
    shown: list[Shown]
    facts: dict[str, str] = field(default_factory=dict)
    confusion: Confusion | None = None
    latency_ms: np.ndarray = field(default_factory=lambda: np.empty(0))
    scans: int = 0

    def write(self, path: Path) -> Path:
        """Write one HTML file with its pictures inside; returns its path."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(_PAGE.substitute(
            title=escape(self.title), tiles=self._tiles(), legend=self._legend(), table=self._table(),
            facts=''.join(f'<p><b>{escape(k)}</b> {escape(v)}</p>' for k, v in self.facts.items()),
            frames=''.join(_frame(shown, self.taxonomy) for shown in self.shown)), encoding='utf-8')
        return path

    def _tiles(self) -> str:
        tiles = []
        if self.confusion is not None and self.confusion.total:
            tiles += [(f'{100 * self.confusion.mean_iou:.1f} %', 'mIoU against ground truth'),
                      (f'{100 * self.confusion.accuracy:.1f} %', 'of points right')]
        if len(self.latency_ms):
            median, late = np.percentile(self.latency_ms, [50, 95])
            tiles += [(f'{median:.0f} ms', f'per scan (median; 95 % under {late:.0f} ms)')]
        tiles += [(str(self.scans), 'scans labelled')] if self.scans else []
        return ''.join(f'<div class="tile"><strong>{value}</strong>{escape(text)}</div>' for value, text in tiles)

    def _legend(self) -> str:
        return ''.join(f'<span><i style="background:{_css(color)}"></i>{escape(name)}</span>'
                       for name, color in zip(self.taxonomy.names, self.taxonomy.colors) if name is not None)

    def _table(self) -> str:
        if self.confusion is None or not self.confusion.total:
            return ''
        rows = []
        for i, name in enumerate(self.taxonomy.names):
            if name is not None and self.confusion.support[i]:
                iou = 100 * self.confusion.iou[i]
                rows.append(f'<tr><td>{escape(name)}</td><td class="n">{iou:.1f}</td><td class="bar"><i style="width:'
                            f'{iou:.0f}%;background:{_css(self.taxonomy.colors[i])}"></i></td>'
                            f'<td class="n">{self.confusion.support[i]:,}</td></tr>')
        return ('<h2>IoU of each class</h2><table><tr><th>class</th><th>IoU %</th><th></th><th>true points</th></tr>'
                + ''.join(rows) + '</table>')


def _frame(shown: Shown, taxonomy: Taxonomy) -> str:
    frame, scan = shown.frame, shown.frame.scan
    classes = [('labels of the student, from above', shown.label), ('ground truth, from above', shown.truth)]
    pictures = [(text, from_above(scan.points, class_colors(label, taxonomy), _EXTENT))
                for text, label in classes if label is not None]
    if scan.intensity is not None:
        pictures.append(('what the student is given: points and intensity',
                         from_above(scan.points, intensity_colors(scan.intensity), _EXTENT)))
    views = []
    for view in frame.views:
        image, seen = view.image(), project(scan.points, view)
        colors = class_colors(shown.label[seen.index], taxonomy)
        views.append((f'{view.name}: labels of the LiDAR over the image, {(view.stamp - frame.stamp) / 1e6:+.0f} ms',
                      over_image(image, seen.uv, colors, 2, seen.depth, dim=0.6)))
    return (f'<h2>{escape(frame.key)}</h2><div class="above">{_figures(pictures, "png")}</div>'
            f'<div class="views" style="--columns:{min(len(views), 3)}">{_figures(views, "jpg")}</div>')


def _figures(pictures: list[tuple[str, np.ndarray]], kind: str) -> str:
    return ''.join(f'<figure><img src="{_data(picture, kind)}" alt="{escape(text)}"><figcaption>{escape(text)}'
                   '</figcaption></figure>' for text, picture in pictures)


def _data(picture: np.ndarray, kind: str) -> str:
    done, data = cv2.imencode(f'.{kind}', np.ascontiguousarray(picture[..., ::-1]))
    assert done
    return f'data:image/{"jpeg" if kind == "jpg" else kind};base64,{b64encode(data).decode()}'


def _css(color: tuple[int, int, int]) -> str:
    return '#%02x%02x%02x' % tuple(color)


_PAGE = Template('''<!doctype html><html lang="en"><meta charset="utf-8"><title>$title</title>
<meta name="viewport" content="width=device-width,initial-scale=1"><style>
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:1320px;padding:0 1rem;color:#1c2530;
background:#fafbfc}
h1{font-size:1.6rem;margin:0 0 1rem}h2{font-size:1.1rem;margin:2rem 0 .6rem}p{margin:.2rem 0}
.tiles{display:flex;flex-wrap:wrap;gap:1rem;margin:1rem 0}.tile{background:#fff;border:1px solid #dde3ea;
border-radius:10px;padding:.8rem 1.2rem;color:#5a6675}.tile strong{display:block;font-size:1.7rem;color:#1c2530}
.legend{position:sticky;top:0;background:#fafbfcee;padding:.5rem 0;display:flex;flex-wrap:wrap;gap:.3rem 1rem}
.legend i{display:inline-block;width:.9em;height:.9em;border-radius:3px;margin-right:.35em;vertical-align:-.1em}
.above,.views{display:grid;gap:.8rem;grid-template-columns:repeat(var(--columns,3),1fr);margin-bottom:.8rem}
figure{margin:0}img{width:100%;border-radius:6px;display:block}figcaption{color:#5a6675;font-size:.85rem}
table{border-collapse:collapse}td,th{padding:.15rem .8rem .15rem 0;text-align:left}.n{text-align:right}
.bar{width:260px}.bar i{display:block;height:.8em;border-radius:3px}
</style><h1>$title</h1>$facts<div class="tiles">$tiles</div><div class="legend">$legend</div>$frames$table</html>
''')
