# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""Puts tables and plots of grids into a document, between marks, and leaves the words around them alone.

    <!-- begin main/methods -->          the table (or the plot) "methods" of the grid "main"
    <!-- end main/methods -->
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Mapping

from training.grid.plan import Grid, Plot, Table
from training.grid.results import Results
from training.grid.tables import draw, finished, markdown

_MARKED = re.compile(r'<!-- begin (?P<name>[^>]+?) -->\n(?P<old>.*?)<!-- end (?P=name) -->', re.S)
_BEGIN = re.compile(r'<!-- begin ([^>]+?) -->')


def parts_of(grid: Grid) -> dict[str, Table | Plot]:
    """Return the tables and plots of a grid by the names of their marks; a plot's name begins with "plot/"."""
    return {**{f'{grid.name}/{table.name}': table for table in grid.tables},
            **{f'{grid.name}/plot/{plot.name}': plot for plot in grid.plots}}


def section(grid: Grid, results: Results, part: Table | Plot, document: Path, images: Path) -> str:
    """Return what stands between the marks of a table or plot; a plot is drawn under `images`."""
    if isinstance(part, Table):
        return markdown(grid, results, part)
    if not any(finished(grid, results, part.where)):
        return 'No run of this plot has ended yet.'
    path = draw(grid, results, part, images / f'{grid.name}-{part.name}.png')
    place = path.relative_to(document.parent) if path.is_relative_to(document.parent) else path
    caption = part.caption or f'{part.metric} over {part.x}'
    return f'![{caption}]({place.as_posix()})'


def rewrite(document: Path, grids: Mapping[Grid, Results], images: Path) -> list[str]:
    """Rewrite the marked parts of a document that belong to the grids; the others stay as they are.

    Returns the names of tables and plots that the document has no marks for. Raises ValueError naming marks that are
    not closed, or that name no table or plot of these grids though they begin with the name of one.
    """
    text = document.read_text()
    known = {name: (grid, part) for grid in grids for name, part in parts_of(grid).items()}
    marked = [match['name'] for match in _MARKED.finditer(text)]
    if unclosed := sorted(set(_BEGIN.findall(text)) - set(marked)):
        raise ValueError(f'{document}: no "<!-- end {unclosed[0]} -->" after its begin')
    names = {grid.name for grid in grids}
    if strange := [name for name in marked if name not in known and name.partition('/')[0] in names]:
        raise ValueError(f'{document}: nothing is called "{strange[0]}"; there are {sorted(known)}')

    def renewed(match: re.Match) -> str:
        name = match['name']
        if name not in known:
            return match[0]
        grid, part = known[name]
        return f'<!-- begin {name} -->\n{section(grid, grids[grid], part, document, images)}\n<!-- end {name} -->'

    document.write_text(_MARKED.sub(renewed, text))
    return [name for name in known if name not in marked]


def overview(grid: Grid, results: Results, folder: Path) -> Path:
    """Write a document of all tables and plots of a grid into `folder`; returns its path."""
    document = folder / f'{grid.name}.md'
    folder.mkdir(parents=True, exist_ok=True)
    parts = [f'# {grid.name}']
    for name, part in parts_of(grid).items():
        parts += [f'## {part.name}', section(grid, results, part, document, folder / 'images')]
    document.write_text('\n\n'.join(parts) + '\n')
    return document
