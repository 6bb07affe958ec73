# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""What /diagnostics says of a stream of pairs, and of how its images fit the scans."""

from __future__ import annotations

from types import MappingProxyType
from typing import Mapping

import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus, KeyValue

from ros_kd.alignment import Alignment
from ros_kd.nodes.paired_stream import PairedStream

OFF = 6  # pixels of the outlines' best shift that are worth a warning
_RECENT = 100  # pairs of which Δt is shown


def stream_status(name: str, hardware: str, stream: PairedStream,
                  faults: Mapping[str, int] = MappingProxyType({})) -> DiagnosticStatus:
    """Return the state of a stream: ERROR while an input is silent, WARN if pairs were lost or there were faults."""
    tally, silent = stream.tally, stream.silent()
    status = DiagnosticStatus(name=name, hardware_id=hardware, level=DiagnosticStatus.OK,
                              message=f'{tally.pairs} pairs, {tally.rate:.1f}/s')
    if not stream.inputs:
        status.level, status.message = DiagnosticStatus.ERROR, 'looking for cameras and LiDAR'
    elif silent:
        status.level, status.message = DiagnosticStatus.ERROR, f'silent: {", ".join(silent)}'
    elif tally.lost.total() or tally.faults or faults:
        status.level = DiagnosticStatus.WARN
    values = {'pairs': tally.pairs, 'waiting for transforms': len(stream.pending or ()), **tally.received}
    for prefix, counts in (('lost: ', tally.lost), ('left out: ', tally.left_out), ('in no pair: ', tally.unused),
                           ('', tally.faults), ('', faults)):
        values |= {prefix + reason: count for reason, count in tuple(counts.items())}
    for camera, offsets in tally.recent_offsets(_RECENT).items():
        values[f'delta_t of {camera}, ms'] = (f'mean {1e3 * offsets.mean():+.1f}, at most '
                                              f'{1e3 * np.abs(offsets).max():.1f}')
    status.values = [KeyValue(key=key, value=str(value)) for key, value in values.items()]
    return status


def alignment_status(name: str, hardware: str, found: Alignment) -> DiagnosticStatus:
    """Return whether edges of depth lie on edges of a camera's images: WARN if they would fit better elsewhere."""
    u, _ = found.offset
    status = DiagnosticStatus(name=name, hardware_id=hardware, level=DiagnosticStatus.OK,
                              message='edges of depth lie on edges of the image')
    if not found.trusted:
        status.message = 'not enough edges of depth so far to judge the calibration'
    elif abs(u) >= OFF:
        status.level = DiagnosticStatus.WARN
        status.message = (f'edges of depth fit the image best when moved by {u:+d} pixels to the right: check the '
                          'extrinsics; if only while driving, the stamps')
    status.values = [KeyValue(key=key, value=str(value)) for key, value in (
        ('best shift, pixels to the right', u), ('better than the mean shift by', f'{100 * found.contrast:.0f} %'),
        ('images', found.images), ('edge points', found.points))]
    return status
