# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""The figures as tables of text, for the page and for the terminal."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Iterator

from ros_kd.inspection.figures import Figures, Source, Topic


@dataclass(frozen=True)
class Table:
    """Rows of text under their headings. texts: how many columns from the left are text; the others are numbers."""

    title: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    texts: int = 1
    note: str = ''


def tables(figures: Figures) -> Iterator[Table]:
    """Return the tables that the figures fill."""
    makers = (_pairing, _topics, _stamps, _clocks, _cameras, _images, _lidar, _chains, _edges, _mountings, _fits,
              _drive)
    return (_filled(table) for maker in makers if (table := maker(figures)) is not None and table.rows)


def _filled(table: Table) -> Table:
    """Return the table without the columns that are empty."""
    kept = [i for i in range(len(table.heads)) if any(row[i] for row in table.rows)]
    return replace(table, heads=tuple(table.heads[i] for i in kept), texts=sum(i < table.texts for i in kept),
                   rows=tuple(tuple(row[i] for i in kept) for row in table.rows))


def _topics(figures: Figures) -> Table:
    rows = tuple((topic.name, topic.type.replace('/msg/', '/'), str(topic.count), _rate(topic.rhythm.rate)
                  if figures.source is Source.RAW else '', _rate(topic.logged.rate), _rate(topic.megabytes_per_second),
                  _size(topic.size))
                 for topic in figures.topics)
    return Table('Topics', ('topic', 'type', 'messages', 'Hz by stamps', 'Hz by log times', 'MB/s', 'kB each'), rows, 2)


def _stamps(figures: Figures) -> Table | None:
    """Only topics with header stamps; in a bag of pairs log times are the scans' stamps and say nothing more."""
    if figures.source is not Source.RAW:
        return None
    rows = tuple(_stamp_row(topic) for topic in figures.topics if topic.order is not None and topic.rhythm.rate > 0)
    return Table('Stamps', ('topic', 'period, ms', 'jitter, ms', 'largest gap, s', 'gaps > 1.5 periods', '> 3 periods',
                            'missing', 'repeated', 'backward', 'zero'),
                 rows, note='Jitter: width of the middle 90 % of the periods, gaps left out.')


def _stamp_row(topic: Topic) -> tuple[str, ...]:
    rhythm, order = topic.rhythm, topic.order
    return (topic.name, _number(1e3 / rhythm.usual_rate, 1), _number(rhythm.jitter_ms, 2),
            _number(rhythm.largest_gap, 2), str(rhythm.wide_gaps), str(rhythm.long_gaps), str(rhythm.missing),
            str(order.repeated), str(order.backward), str(order.zero))


def _clocks(figures: Figures) -> Table:
    rows = tuple((topic.name, *(_number(1e3 * value, 1) for value in (topic.clock.median, topic.clock.low,
                                                                      topic.clock.high)),
                  _number(topic.clock.drift, 1) if topic.clock.drift else '0', _number(topic.clock.jump, 1)
                  if topic.clock.jump else '') for topic in figures.topics if topic.clock is not None)
    return Table('Clocks', ('topic', 'stamp - log time, ms', '5 %', '95 %', 'drift, ppm', 'jump, s'), rows,
                 note='Median and percentiles; a little below zero is the time from measurement to recording.')


def _pairing(figures: Figures) -> Table | None:
    pairing = figures.pairing
    if pairing is None:
        return None
    rows = tuple((camera.camera, str(camera.pairs), *(('',) * 4 if camera.delta is None else tuple(
        _number(value, 1) for value in (camera.delta.median, camera.delta.low, camera.delta.high,
                                        camera.delta.largest))),
        _maybe(camera.mean_delta, 2), _maybe(camera.best_delta, 2), _maybe(camera.late, 0))
        for camera in pairing.cameras)
    notes = [f'{pairing.pairs} pairs of {pairing.scans} scans.'] if figures.source is Source.RAW else \
        [f'{pairing.pairs} pairs.']
    notes += ['Mean size: of |image - scan|; best possible: that of the best pairs of the two topics.'] \
        if figures.source is Source.RAW else []
    notes += ['Scans without a pair: ' + ', '.join(f'{count} {reason}' for reason, count in pairing.lost) + '.'] \
        if pairing.lost else []
    heads = ('camera', 'images', 'image - scan, ms', '5 %', '95 %', 'largest', 'mean size', 'best possible',
             'arrives later, ms')
    return Table('Pairing', heads, rows, note=' '.join(notes))


def _cameras(figures: Figures) -> Table:
    rows = []
    for camera in figures.cameras:
        intrinsics = camera.intrinsics or ()
        rows.append((camera.name, camera.model + (', rectified' if camera.rectified else ''), camera.encoding,
                     camera.roi or 'whole image', _pixels(camera.width, camera.height),
                     _pixels(camera.image_width, camera.image_height),
                     *(tuple(_number(value, 1) for value in intrinsics) or ('',) * 4)))
    return Table('Cameras', ('camera', 'model', 'encoding', 'region', 'calibrated for', 'images', 'fx', 'fy', 'cx',
                             'cy'), tuple(rows), 4)


def _images(figures: Figures) -> Table:
    rows = tuple((camera.name, _percent(camera.bright), _percent(camera.dark), _maybe(camera.sharpness, 0))
                 for camera in figures.cameras if camera.bright is not None)
    return Table('Images', ('camera', 'overexposed', 'black', 'sharpness'), rows,
                 note='Of a few images. Sharpness: variance of the Laplacian of the grey image, 640 pixels wide.')


def _lidar(figures: Figures) -> Table | None:
    lidar = figures.lidar
    if lidar is None:
        return None
    row = (lidar.topic, lidar.frame, ', '.join(lidar.columns) or 'none', str(lidar.points), _percent(lidar.invalid),
           _number(lidar.reach, 0), _percent(lidar.seen))
    heads = ('scans', 'frame', 'columns', 'points', 'invalid', '99 % within, m', 'in an image')
    return Table('LiDAR', heads, (row,), 3)


def _chains(figures: Figures) -> Table | None:
    if figures.frames is None:
        return None
    rows = tuple((chain.what, chain.source, chain.target, str(chain.asked), str(chain.found))
                 for chain in figures.frames.chains)
    return Table('Transforms at the stamps of the pairs', ('to', 'LiDAR frame', 'frame', 'asked', 'found'), rows, 3)


def _edges(figures: Figures) -> Table | None:
    if figures.frames is None:
        return None
    rows = tuple((edge.parent, edge.child, *(('static', '', '', '') if edge.static else (
        'moving', str(edge.count), _number(edge.rate, 1), _number(edge.largest_gap, 2))))
        for edge in figures.frames.edges)
    return Table('Tree of frames', ('parent', 'child', 'kind', 'transforms', 'Hz', 'largest gap, s'), rows, 3)


def _mountings(figures: Figures) -> Table:
    rows = tuple((mounting.camera, str(mounting.pairs), _number(mounting.shift, 1), _number(mounting.turn, 3),
                  _number(mounting.motion, 0)) for mounting in figures.mountings)
    return Table('Extrinsics', ('camera', 'pairs', 'spread, mm', 'spread, degrees', 'motion, mm'), rows,
                 note='Spread: largest difference to the median mounting, the motion between scan and image taken out. '
                      'Motion: the largest of those.')


def _fits(figures: Figures) -> Table:
    rows = tuple((fit.camera, str(fit.images), str(fit.outlines), f'{fit.right:+d}', f'{fit.down:+d}',
                  'yes' if fit.trusted else 'no') for fit in figures.fits)
    return Table('Edges of depth', ('camera', 'images', 'points of edges', 'fit best, pixels to the right', 'down',
                                    'enough to judge'), rows,
                 note='Zero where calibration and stamps are right; within 4 pixels is as good.')


def _drive(figures: Figures) -> Table | None:
    drive = figures.drive
    if drive is None:
        return None
    row = (str(drive.poses), _number(drive.distance, 0), _number(drive.speed.median, 1),
           _number(drive.speed.largest, 1), _percent(drive.standing), str(drive.jumps))
    return Table('Drive', ('poses', 'distance, m', 'speed, m/s', 'largest', 'standing', 'jumps'), (row,), 0)


def _number(value: float, digits: int) -> str:
    return f'{value:.{digits}f}'


def _rate(value: float) -> str:
    return '' if value == 0 else f'{value:.2f}' if value >= 0.01 else '< 0.01'


def _maybe(value: float | None, digits: int) -> str:
    return '' if value is None else _number(value, digits)


def _percent(share: float | None) -> str:
    return '' if share is None else f'{100 * share:.1f} %'


def _pixels(width: int, height: int) -> str:
    return f'{width} x {height}' if width else ''


def _size(size: float) -> str:
    return f'{size / 1e3:.1f}' if size < 1e5 else f'{size / 1e3:.0f}'
