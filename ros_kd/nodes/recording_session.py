# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""From the recorder's activation to its end: the bags it fills, what it keeps, and its report."""

from __future__ import annotations

from pathlib import Path
from typing import Callable

from ros_kd.bags import BagError, codec, layout
from ros_kd.bags.recording import Recording
from ros_kd.bags.selection import Selection, Snapshot
from ros_kd.bags.writer import RawPair, RawView
from ros_kd.nodes.paired_stream import PairedStream, delays
from ros_kd.nodes.record_parameters import RecordParameters
from ros_kd.nodes.views import decode_view

TOO_SLOW, REFUSED = 'pairs that the disk was too slow for', 'pairs that the disk refused'
NOT_WANTED, UNASKED = 'pairs not selected', 'pairs that no snapshot asked for'


class Session:
    """Pairs go to a bag that begins with the first of them; after a jump of time, to another."""

    def __init__(self, parameters: RecordParameters, stream: PairedStream, fixed_frame: str,
                 next_output: Callable[[], Path], log: object) -> None:
        self._parameters, self._stream, self._fixed_frame = parameters, stream, fixed_frame
        self._next_output, self._log = next_output, log
        self._selection = Selection(parameters.every, parameters.min_distance)
        self._snapshot = Snapshot(parameters.snapshot, parameters.limits.backlog) if parameters.snapshot else None
        self._latched: list[tuple[str, bytes]] = []
        self._static = StaticFrames()
        self._sizes: dict[str, bytes] = {}
        self.recording: Recording | None = None
        self._bags: list[str] = []
        self.size = self._put = 0
        self._unposed = False
        self._problem: BagError | None = None

    # ---- pairs

    def take_pair(self, pair: RawPair) -> bool:
        """Record a pair or hold it for a snapshot; return whether it was selected."""
        if not self._selection.keep(pair.world_from_lidar):
            self._stream.tally.left_out[NOT_WANTED] += 1
            return False
        if self._parameters.min_distance and pair.world_from_lidar is None and not self._unposed:
            self._unposed = True
            self._log.warning('min_distance needs odometry, but the pair has no pose: it is recorded all the same')
        if self._snapshot is None:
            self._write(pair)
        elif gone := self._snapshot.add(pair):
            self._stream.tally.left_out[UNASKED] += gone
        return True

    def take_latched(self, topic: str, raw: bytes) -> None:
        """Record what holds from now on."""
        if topic == layout.TF_STATIC:
            if not self._static.learn(raw):
                return
        elif (topic, raw) in self._latched:
            return
        else:
            self._latched = [known for known in self._latched if known[0] != topic]
        self._latched.append((topic, raw))
        if self.recording is not None:
            self.recording.latch(topic, raw)

    def snapshot(self) -> str:
        """Write the pairs that are held. Raises RuntimeError where none are held."""
        if self._snapshot is None:
            raise RuntimeError('nothing is held: set snapshot_duration to the seconds to hold')
        pairs = self._snapshot.take()
        written = sum(map(self._write, pairs))
        if written < len(pairs):
            raise RuntimeError(f'only {written} of {len(pairs)} pairs are written: max_pairs, the backlog or the disk '
                               'are at their end')
        return f'{len(pairs)} pairs are written'

    def split(self) -> None:
        """Begin a new file with the next pair."""
        if self.recording is not None:
            self.recording.split()

    def _write(self, pair: RawPair) -> bool:
        lost = self._stream.tally.lost
        if self._enough():
            return False
        if self.ended():
            lost[REFUSED] += 1
            return False
        try:
            if self.recording is None:
                self._begin(pair)
        except BagError as error:
            self._problem = error
            lost[REFUSED] += 1
            return False
        if not self.recording.put(pair):
            lost[REFUSED if self.recording.full or self.recording.error else TOO_SLOW] += 1
            return False
        self._put += 1
        return True

    def _begin(self, pair: RawPair) -> None:
        parameters, path = self._parameters, self._next_output()
        self.recording = Recording(path, self._rig(pair), parameters.storage, parameters.limits, self._written)
        for topic, message in self._latched:
            self.recording.latch(topic, message)
        self._log.info(f'recording to {path}')

    def _written(self, pair: RawPair) -> None:
        """Runs in the writing thread."""
        self._stream.tally.add_pair(layout.header_stamp(pair.cloud), delays(pair))
        for view in pair.views:
            if self._sizes.get(view.camera) != (calibration := view.camera_info[layout.CONTENT:]):
                self._sizes[view.camera] = calibration
                self._check_size(view)

    def _check_size(self, view: RawView) -> None:
        """Say if an image is not as its calibration has it: decoded only where that is new."""
        camera = next(camera for camera in self._stream.cameras if camera.name == view.camera)
        try:
            decode_view(view, camera).image()
        except Exception as error:  # OpenCV has errors of its own, and no image must end a recording
            self._stream.tally.faults[f'images of {camera.name} that its calibration does not fit'] += 1
            self._log.error(f'{camera.image}: {error}. It is recorded all the same')

    def _rig(self, pair: RawPair) -> layout.Rig:
        frames = {view.camera: layout.header_frame(view.image) for view in pair.views}
        cameras = tuple(layout.CameraTopics.under(
            camera.name, frames.get(camera.name, ''), camera.compressed, camera.image, camera.camera_info,
            camera.labels, camera.label_info, camera.rectified) for camera in self._stream.cameras)
        return layout.Rig(cameras, self._stream.points, layout.header_frame(pair.cloud), self._fixed_frame,
                          pose=self._stream.label_info.rsplit('/', 1)[0] + '/pose', label_info=self._stream.label_info)

    # ---- the end

    def _enough(self) -> bool:
        return 0 < self._parameters.max_pairs <= self._put

    def ended(self) -> bool:
        """Tell whether no more pairs are taken: enough are recorded, or the disk is full or refuses."""
        recording = self.recording
        if recording is not None and recording.full and self._problem is None:
            self._problem = BagError(f'recording ends early: {recording.full}')
        return bool(self._enough() or self._problem or recording and recording.error)

    def end_bag(self) -> None:
        """Finish the bag; the next pair begins another."""
        if self._snapshot is not None and (held := self._snapshot.take()):
            self._stream.tally.left_out[UNASKED] += len(held)
        recording, self.recording = self.recording, None
        if recording is None:
            return
        try:
            recording.close(self._say_waiting)
        except BagError as error:
            self._problem = self._problem or error
        self.size += recording.size
        if recording.lost:
            self._stream.tally.lost[REFUSED] += recording.lost
        files = f', {len(recording.files)} files' if len(recording.files) > 1 else ''
        self._bags.append(f'bag: {recording.path} ({recording.size / 1e6:.1f} MB{files})')

    def _say_waiting(self, size: int) -> None:
        self._log.info(f'{size / 1e6:.0f} MB of pairs are still to be written to the disk')

    def close(self) -> None:
        """Finish all. Raises BagError with what ended the recording early or went wrong since the beginning."""
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
        if self._problem is not None:
            lines.append(f'not all is well: {self._problem}')
        return '\n  '.join(lines + (self._bags or ['no bag: nothing was recorded']))


class StaticFrames:
    """The transforms of /tf_static: nodes that repeat theirs with new stamps tell nothing new."""

    def __init__(self) -> None:
        self._known: dict[str, tuple] = {}

    def learn(self, raw: bytes) -> bool:
        """Tell whether a serialised TFMessage says something new."""
        transforms = {transform.child_frame_id: (transform.header.frame_id, repr(transform.transform))
                      for transform in codec.read(raw, layout.TF_MESSAGE).transforms}
        new = any(self._known.get(child) != value for child, value in transforms.items())
        self._known |= transforms
        return new


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
