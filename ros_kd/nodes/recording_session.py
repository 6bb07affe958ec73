# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""From the recorder's activation to its end: the bags it fills, what it keeps, and its report."""

from __future__ import annotations

from pathlib import Path
from typing import Callable

from ros_kd.bags import BagError, layout
from ros_kd.bags.recording import Recording
from ros_kd.bags.selection import Selection, Snapshot
from ros_kd.bags.writer import RawPair
from ros_kd.nodes.paired_stream import PairedStream
from ros_kd.nodes.record_parameters import RecordParameters

TOO_SLOW, REFUSED = 'pairs that the disk was too slow for', 'pairs that the disk refused'
NOT_WANTED = 'pairs not selected'


class Session:
    """Pairs go to a bag that begins with the first of them; after a jump of time, to another."""

    def __init__(self, parameters: RecordParameters, stream: PairedStream, fixed_frame: str,
                 next_output: Callable[[], Path], log: object) -> None:
        self._parameters, self._stream, self._fixed_frame = parameters, stream, fixed_frame
        self._next_output, self._log = next_output, log
        self._selection = Selection(parameters.every, parameters.min_distance)
        self._snapshot = Snapshot(parameters.snapshot, parameters.limits.backlog) if parameters.snapshot else None
        self._latched: list[tuple[str, bytes]] = []
        self.recording: Recording | None = None
        self._bags: list[str] = []
        self.size = self._put = 0
        self._unposed = False
        self._problem: BagError | None = None
        self._end = ''

    # ---- pairs

    def take_pair(self, pair: RawPair) -> bool:
        """Record a pair or hold it for a snapshot; return whether it was selected."""
        if not self._selection.keep(pair.world_from_lidar):
            self._stream.tally.left_out[NOT_WANTED] += 1
            return False
        if self._parameters.min_distance and pair.world_from_lidar is None and not self._unposed:
            self._unposed = True
            self._log.warning('min_distance needs odometry, but the pair has no pose: it is recorded all the same')
        if self._snapshot is not None:
            self._snapshot.add(pair)
        else:
            self._write(pair)
        return True

    def take_latched(self, topic: str, raw: bytes) -> None:
        """Record what holds from now on."""
        self._latched.append((topic, raw))
        if self.recording is not None:
            self.recording.latch(topic, raw)

    def snapshot(self) -> str:
        """Write the pairs that are held. Raises RuntimeError where none are held."""
        if self._snapshot is None:
            raise RuntimeError('nothing is held: set snapshot_duration to the seconds to hold')
        pairs = self._snapshot.take()
        for pair in pairs:
            self._write(pair)
        return f'{len(pairs)} pairs are written'

    def split(self) -> None:
        """Begin a new file with the next pair."""
        if self.recording is not None:
            self.recording.split()

    def _write(self, pair: RawPair) -> None:
        if self.ended():
            return
        try:
            if self.recording is None:
                self._begin(pair)
        except BagError as error:
            self._problem = error
            return
        if self.recording.put(pair):
            self._put += 1
        else:
            self._stream.tally.lost[TOO_SLOW] += 1

    def _begin(self, pair: RawPair) -> None:
        parameters, path = self._parameters, self._next_output()
        self.recording = Recording(path, self._rig(pair), parameters.storage, parameters.limits, self._written)
        for topic, message in self._latched:
            self.recording.latch(topic, message)
        self._log.info(f'recording to {path}')

    def _written(self, pair: RawPair) -> None:
        """Runs in the writing thread."""
        stamp = layout.header_stamp(pair.cloud)
        self._stream.tally.add_pair({view.camera: (layout.header_stamp(view.image) - stamp) * 1e-9
                                     for view in pair.views})

    def _rig(self, pair: RawPair) -> layout.Rig:
        frames = {view.camera: layout.header_frame(view.image) for view in pair.views}
        cameras = tuple(layout.CameraTopics.under(
            camera.name, frames.get(camera.name, ''), camera.compressed, camera.image, camera.camera_info,
            camera.labels, camera.label_info, camera.rectified) for camera in self._stream.cameras)
        return layout.Rig(cameras, self._stream.points, layout.header_frame(pair.cloud), self._fixed_frame,
                          pose=self._stream.label_info.rsplit('/', 1)[0] + '/pose', label_info=self._stream.label_info)

    # ---- the end

    def ended(self) -> bool:
        """Tell whether no more pairs are taken: enough are recorded, or the disk is full or refuses."""
        limit, recording = self._parameters.max_pairs, self.recording
        if recording is not None and recording.full and not self._end:
            self._end = recording.full
            self._log.error(f'recording ends: {recording.full}')
        return bool(0 < limit <= self._put or self._end or self._problem or recording and recording.error)

    def end_bag(self) -> None:
        """Finish the bag; the next pair begins another."""
        recording, self.recording = self.recording, None
        if recording is None:
            return
        try:
            recording.close()
        except BagError as error:
            self._problem = self._problem or error
        self.size += recording.size
        if recording.lost:
            self._stream.tally.lost[REFUSED] += recording.lost
        files = f', {len(recording.files)} files' if len(recording.files) > 1 else ''
        self._bags.append(f'bag: {recording.path} ({recording.size / 1e6:.1f} MB{files})')

    def close(self) -> None:
        """Finish all. Raises BagError with what went wrong since the beginning."""
        self.end_bag()
        if self._problem is not None:
            raise self._problem

    def line(self) -> str:
        """Return the state in one line."""
        recording = self.recording
        disk = '' if recording is None else (f'; {(self.size + recording.size) / 1e6:.0f} MB on disk, '
                                             f'{recording.backlog / 1e6:.0f} MB waiting')
        return self._stream.tally.line() + disk

    def report(self) -> str:
        """Return the report at the end."""
        lines = self._stream.tally.report()
        if self._end:
            lines.append(f'ended early: {self._end}')
        return '\n  '.join(lines + (self._bags or ['no bag: nothing was recorded']))


def check_output(path: Path) -> Path:
    """Return `path` if a bag can be made there. Raises BagError saying why not."""
    if path.exists():
        raise BagError(f'output {path} exists already: choose another, or move it away')
    parent = next(folder for folder in path.absolute().parents if folder.exists())
    try:
        probe = parent / f'.{path.name}.probe'
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise BagError(f'output {path} cannot be made: {error}') from None
    return path
