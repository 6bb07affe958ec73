# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""The command `inspect`: a bag or data set in, a verdict in words and one HTML page out.

`ros2 run ros_kd inspect BAG`. Exit code 0: good or usable with faults, 1: not usable, 2: wrong arguments or no bag.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from importlib import import_module
from pathlib import Path
from typing import Sequence

from ros_kd.arguments import without_ros_arguments
from ros_kd.bags import layout
from ros_kd.bags.store import open_store
from ros_kd.datasets import KINDS, Options, parse
from ros_kd.datasets.bag import raw_settings
from ros_kd.inspection.dataset import inspect_dataset
from ros_kd.inspection.drawing import Style
from ros_kd.inspection.figures import Verdict
from ros_kd.inspection.findings import judge
from ros_kd.inspection.inspected import Inspected
from ros_kd.inspection.page import page
from ros_kd.inspection.paired_bag import inspect_pairs
from ros_kd.inspection.plots import plots
from ros_kd.inspection.raw_bag import inspect_raw
from ros_kd.inspection.summary import as_json, summary
from ros_kd.inspection.tables import tables
from ros_kd.label_sets import get_taxonomy
from ros_kd.projection import OcclusionFilter


def main(args: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code. What is wrong with the arguments or the bag is said in one line."""
    options = _parser().parse_args(without_ros_arguments(sys.argv[1:] if args is None else args))
    try:
        style = Style(tuple(name for name in options.cameras.split(',') if name),
                      None if options.no_occlusion else OcclusionFilter(),
                      get_taxonomy(options.taxonomy) if options.taxonomy else None, options.radius, options.width)
        inspected = inspect(options.bag, style, options.frames)
        verdict = _write(inspected, Path(options.out).expanduser(),
                         Path(options.json).expanduser() if options.json else None)
    except (ValueError, KeyError, OSError) as error:
        print(f'inspect: {error.args[0] if isinstance(error, KeyError) else error}', file=sys.stderr)
        return 2
    return 1 if verdict is Verdict.UNUSABLE else 0


def inspect(specification: str, style: Style, frames: int) -> Inspected:
    """Inspect a bag or data set and draw so many frames of it.

    Raises ValueError (BagError, DatasetError) if there is none, or if it lacks what was asked for.
    """
    kind, path, options = parse(specification)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # what readers warn of is among the figures
        if kind == 'bag':
            return _inspect_bag(path, options, style, frames)
        return inspect_dataset(import_module(KINDS[kind]).open(path, options), style, frames)


def _inspect_bag(path: Path, options: Options, style: Style, frames: int) -> Inspected:
    store = open_store(path)
    try:
        if layout.RIG not in store.types:
            return inspect_raw(path, store, raw_settings(options), style, frames)
        options.finish('bag', 'none where it holds pairs')
        return inspect_pairs(path, store, style, frames)
    finally:
        store.close()


def _write(inspected: Inspected, out: Path, json: Path | None) -> Verdict:
    figures = inspected.figures
    findings, verdict = judge(figures)
    for file in filter(None, (out, json)):
        file.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(page(figures, verdict, findings, list(tables(figures)), list(plots(figures)), inspected.frames),
                   encoding='utf-8')
    if json is not None:
        json.write_text(as_json(figures, verdict, findings), encoding='utf-8')
    print(summary(figures, verdict, findings))
    print(f'\npage: {out.resolve()}')
    return verdict


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog='inspect', description='Can one train on this bag, and if not, what is to be '
                                     'mended on the vehicle?')
    parser.add_argument('bag', help='a bag (of pairs or raw; rosbag2 folder, .mcap, .db3, .bag), or a data set as '
                        'kind:path?option=value; a raw bag may have options, as in bag:PATH?points=/points&slop=0.05')
    parser.add_argument('--out', default='inspect.html', help='the page, one HTML file (default: inspect.html)')
    parser.add_argument('--json', default='', help='write all figures to this file, too')
    parser.add_argument('--frames', type=_positive, default=4, help='pairs to draw, spread over the bag (default: 4)')
    parser.add_argument('--cameras', default='', help='names of those to draw, separated by commas (default: all)')
    parser.add_argument('--no-occlusion', action='store_true', help='draw hidden points too')
    parser.add_argument('--taxonomy', default='', help='map labels to this taxonomy, such as street-12')
    parser.add_argument('--radius', type=_positive, help='of a point, pixels (default: by the density of the points)')
    parser.add_argument('--width', type=_positive, default=800, help='of a picture, pixels, at most (default: 800)')
    return parser


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) == 0:
        raise argparse.ArgumentTypeError(f'{text}: expected a whole number above 0')
    return int(text)
