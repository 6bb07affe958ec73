# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Plots of an inspection as SVG that reads on light and dark paper; the only file that imports matplotlib."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Iterator

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from ros_kd.bags import layout
from ros_kd.inspection.figures import CameraPairing, Curve, Figures, Topic

_STYLE = {
    'font.size': 9, 'font.family': 'sans-serif', 'svg.fonttype': 'none', 'svg.hashsalt': 'ros_kd',
    **dict.fromkeys(('text.color', 'axes.labelcolor', 'axes.edgecolor', 'xtick.color', 'ytick.color'), '#7d8590'),
    'axes.spines.top': False, 'axes.spines.right': False, 'axes.titlesize': 9, 'legend.frameon': False,
    'axes.facecolor': 'none', 'figure.facecolor': 'none', 'axes.prop_cycle': matplotlib.cycler(
        color=['#2f81f7', '#d9730d', '#2da44e', '#bf4bbf', '#c23b4b', '#1b9aa8', '#8f7b1e', '#6e6ad8'])}
_WIDTH, _ROW = 5.0, 1.8  # inches; the page stretches plots to its columns


@dataclass(frozen=True)
class Plot:
    """A plot as SVG, and what it shows."""

    caption: str
    svg: bytes


def plots(figures: Figures) -> Iterator[Plot]:
    """Draw what there is to draw."""
    with matplotlib.rc_context(_STYLE):
        paired = [camera for camera in (figures.pairing.cameras if figures.pairing else ())
                  if camera.histogram is not None]
        if paired:
            yield Plot('Images after their scans: one narrow peak is a trigger, an even block a free-running camera',
                       _svg(_deltas(paired)))
        topics = [topic for topic in figures.topics if topic.type != layout.CAMERA_INFO]
        active = [topic for topic in topics if topic.activity is not None and topic.logged.regular]
        if active:
            yield Plot('Messages by time against the usual rate: dark = none, light = all, by log time',
                       _svg(_activity(active, figures.logged)))
        clocked = [topic for topic in topics if topic.offsets is not None and topic.rhythm.regular]
        if clocked:
            yield Plot('Header stamps minus log times around their median: flat is good, a slope is a drifting clock, '
                       'a step a clock that was set, spikes downwards are late messages',
                       _svg(_offsets(clocked, figures.logged)))
        if figures.drive is not None and len(figures.drive.speeds.values) > 1:
            yield Plot('Speed from the poses', _svg(_speed(figures.drive.speeds, figures.start)))


def _svg(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format='svg', metadata={'Date': None})
    return buffer.getvalue()


def _deltas(cameras: list[CameraPairing]) -> Figure:
    columns = min(2, len(cameras))
    rows = -(-len(cameras) // columns)
    figure = Figure((_WIDTH, _ROW * rows), layout='constrained')
    for axes, camera in zip(figure.subplots(rows, columns, squeeze=False).flat, cameras):
        edges = np.array(camera.histogram.edges)
        axes.stairs(camera.histogram.counts, edges, fill=True)
        axes.set_title(camera.camera)
        axes.set_ylim(0)
    for axes in figure.axes[len(cameras):]:
        axes.set_visible(False)
    figure.supxlabel('ms', fontsize=9)
    figure.supylabel('pairs', fontsize=9)
    return figure


def _activity(topics: list[Topic], start: int) -> Figure:
    """Draw a strip for each topic, its name above it."""
    figure = Figure((_WIDTH, 0.5 + 0.38 * len(topics)), layout='constrained')
    axes = figure.subplots()
    for row, topic in enumerate(topics):
        curve = topic.activity
        share = np.clip(np.array(curve.values) / topic.logged.usual_rate, 0, 1)[None]
        left = (curve.start - start) / 1e9
        axes.imshow(share, cmap='viridis', vmin=0, vmax=1, aspect='auto', interpolation='nearest',
                    extent=(left + curve.seconds[0], left + curve.seconds[-1], row + 0.45, row))
        axes.annotate(topic.name, (left, row), (0, 1.5), textcoords='offset points', va='bottom', fontsize=8)
    axes.set_yticks([])
    axes.spines['left'].set_visible(False)
    axes.set_ylim(len(topics) - 0.4, -0.5)
    ends = [((topic.activity.start - start) / 1e9, topic.activity.seconds[-1]) for topic in topics]
    axes.set_xlim(min(left for left, _ in ends), max(left + length for left, length in ends))
    axes.set_xlabel('s')
    return figure


def _offsets(topics: list[Topic], start: int) -> Figure:
    figure = Figure((_WIDTH, 1.3 * _ROW + 0.16 * len(topics)), layout='constrained')
    axes = figure.subplots()
    for topic in topics:
        values = np.array(topic.offsets.values)
        axes.plot((topic.offsets.start - start) / 1e9 + np.array(topic.offsets.seconds),
                  1e3 * (values - np.median(values)), linewidth=0.8, label=f'{topic.name} '
                  f'({_median(topic.clock.median)})')
    axes.set_xlabel('s')
    axes.set_ylabel('ms')
    axes.legend(loc='lower left', bbox_to_anchor=(0, 1), fontsize=8)
    return figure


def _median(seconds: float) -> str:
    return f'{seconds:+.1f} s' if abs(seconds) >= 1 else f'{1e3 * seconds:+.1f} ms'


def _speed(curve: Curve, start: int) -> Figure:
    figure = Figure((_WIDTH, _ROW), layout='constrained')
    axes = figure.subplots()
    axes.plot((curve.start - start) / 1e9 + np.array(curve.seconds), curve.values, linewidth=1)
    axes.set_ylim(0)
    axes.set_xlabel('s')
    axes.set_ylabel('m/s')
    return figure
