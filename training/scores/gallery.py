# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""The frames that went worst, drawn, and which class was taken for which: one page in a folder of pictures."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from string import Template
from urllib.parse import quote

import numpy as np

from ros_kd.frames import PairedFrame
from ros_kd.scores import Confusion
from ros_kd.taxonomy import IGNORE, Taxonomy
from training.frames.targets import truth
from training.scores.pictures import save_comparison


@dataclass(frozen=True, order=True)
class DrawnFrame:
    """A frame's figures; the worst is the largest. points: labelled ones. mistaken: the most frequent confusion."""

    badness: float
    number: int
    dataset: str = field(compare=False)
    key: str = field(compare=False)
    picture: Path = field(compare=False)
    points: int = field(compare=False)
    accuracy: float = field(compare=False)
    mean_iou: float = field(compare=False)
    mistaken: str = field(compare=False)


class Gallery:
    """Draws frames while they are evaluated, and keeps the pictures of those with the lowest accuracy.

    most: how many frames are kept; None: all. Nothing but their figures stays in memory. Frames without labelled points
    are left out.
    """

    def __init__(self, folder: Path, taxonomy: Taxonomy, most: int | None = None) -> None:
        self.folder, self.taxonomy, self.most = folder, taxonomy, most
        self._kept: list[DrawnFrame] = []
        self._seen = 0

    def add(self, dataset: str, frame: PairedFrame, label: np.ndarray, only: np.ndarray | None = None) -> None:
        """Draw a frame with labels uint8 [N] if it is among the worst so far; `only`: see Evaluation.add."""
        expected = truth(frame, self.taxonomy)
        confusion = Confusion.empty(len(self.taxonomy))
        confusion.add(expected if only is None else np.where(only, expected, IGNORE), label)
        self._seen += 1
        if not confusion.total:
            return
        path = self.folder / f'{self._seen:05}-{frame.key.replace("/", "-")}.png'
        drawn = DrawnFrame(-confusion.accuracy, -self._seen, dataset, frame.key, path, confusion.total,
                           confusion.accuracy, confusion.mean_iou, _mistaken(confusion, self.taxonomy))
        if self.most is not None and len(self._kept) == self.most:
            if drawn < self._kept[0]:
                return
            heapq.heappop(self._kept).picture.unlink()
        save_comparison(path, frame, label, self.taxonomy)
        heapq.heappush(self._kept, drawn)

    @property
    def frames(self) -> list[DrawnFrame]:
        """The frames that are kept, the worst first."""
        return sorted(self._kept, reverse=True)

    def write(self, title: str, confusion: Confusion) -> Path:
        """Write index.html and, of all points, confusion.svg into the folder; returns the page's path."""
        self.folder.mkdir(parents=True, exist_ok=True)
        draw_confusion(self.folder / 'confusion.svg', confusion, self.taxonomy)
        rows = ''.join(_row(rank, drawn) for rank, drawn in enumerate(self.frames, 1))
        pictures = ''.join(_figure(rank, drawn) for rank, drawn in enumerate(self.frames, 1))
        shown = 'all' if len(self._kept) == self._seen else f'the {len(self._kept)} worst of {self._seen}'
        page = self.folder / 'index.html'
        page.write_text(_PAGE.substitute(title=escape(title), shown=f'{shown} frames', rows=rows, pictures=pictures,
                                         accuracy=f'{100 * confusion.accuracy:.1f}',
                                         miou=f'{100 * confusion.mean_iou:.1f}'), encoding='utf-8')
        return page


def draw_confusion(path: Path, confusion: Confusion, taxonomy: Taxonomy) -> Path:
    """Draw which share (%) of each true class was labelled as which, over the classes that occur; returns the path."""
    from matplotlib.figure import Figure

    counts = confusion.counts
    true = np.flatnonzero(counts.sum(1))
    found = np.flatnonzero(counts.sum(0) + np.append(counts.sum(1), 0))
    share = 100 * counts[np.ix_(true, found)] / np.maximum(counts[true].sum(1, keepdims=True), 1)
    names = [*taxonomy.names, 'no label']
    figure = Figure((2.5 + 0.5 * len(found), 1.8 + 0.42 * len(true)), layout='constrained')
    axes = figure.subplots()
    axes.imshow(share, cmap='Blues', vmin=0, vmax=100, aspect='auto')
    axes.set_xticks(range(len(found)), [names[i] for i in found], rotation=60, ha='right')
    axes.set_yticks(range(len(true)), [f'{names[i]} ({counts[i].sum():,})' for i in true])
    axes.set(xlabel='labelled as', ylabel='true class (points)', title='% of each true class')
    for row, column in np.argwhere(share >= 0.5):
        value = share[row, column]
        axes.text(column, row, f'{value:.0f}', ha='center', va='center', color='white' if value > 55 else 'black')
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    return path


def _mistaken(confusion: Confusion, taxonomy: Taxonomy) -> str:
    wrong = confusion.counts.copy()
    np.fill_diagonal(wrong, 0)
    true, found = np.unravel_index(wrong.argmax(), wrong.shape)
    if not wrong[true, found]:
        return ''
    names = [*taxonomy.names, 'nothing']
    return f'{names[true]} taken for {names[found]} ({100 * wrong[true, found] / confusion.total:.1f} % of the points)'


def _row(rank: int, drawn: DrawnFrame) -> str:
    return (f'<tr><td><a href="#f{rank}">{rank}</a></td><td>{escape(drawn.key)}</td><td>{escape(drawn.dataset)}</td>'
            f'<td class="n">{drawn.points:,}</td><td class="n">{100 * drawn.accuracy:.1f}</td>'
            f'<td class="n">{100 * drawn.mean_iou:.1f}</td><td>{escape(drawn.mistaken)}</td></tr>')


def _figure(rank: int, drawn: DrawnFrame) -> str:
    return (f'<figure id="f{rank}"><figcaption>{rank}. {escape(drawn.key)}: {100 * drawn.accuracy:.1f} % right; '
            f'{escape(drawn.mistaken)}</figcaption><img loading="lazy" src="{quote(drawn.picture.name)}" '
            f'alt="{escape(drawn.key)}"></figure>')


_PAGE = Template('''<!doctype html><html lang="en"><meta charset="utf-8"><title>$title</title>
<meta name="viewport" content="width=device-width,initial-scale=1"><style>
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:1320px;padding:0 1rem;color:#1c2530}
table{border-collapse:collapse}td,th{padding:.15rem .8rem .15rem 0;text-align:left}.n{text-align:right}
figure{margin:2rem 0 0}img{max-width:100%}figcaption{font-weight:600}
</style><h1>$title</h1><p>$accuracy % of all points right, $miou % mIoU. Shown: $shown, the lowest accuracy first.</p>
<img src="confusion.svg" alt="confusion matrix">
<table><tr><th>#</th><th>frame</th><th>data set</th><th>points</th><th>right %</th><th>mIoU %</th>
<th>most frequent mistake</th></tr>$rows</table>$pictures</html>
''')
