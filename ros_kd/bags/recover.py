# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""The command `recover`: makes a whole bag of one that a crash, a power cut or a full disk left, and says what is lost.

`ros2 run ros_kd recover BAG [--out NEW]`. Exit code 0: the bag is whole (now), 1: it is not, 2: wrong arguments or no
bag.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Callable, Sequence

import numpy as np

from ros_kd.arguments import without_ros_arguments
from ros_kd.bags import BagError, EmptyBagError
from ros_kd.bags.index import BagIndex, bag_files
from ros_kd.bags.mcap.contents import Contents
from ros_kd.bags.mcap.finished import summary_is_wrong
from ros_kd.bags.mcap.repair import copy_file, cut_after, describe, finish_file
from ros_kd.bags.mcap.scan import scan
from ros_kd.bags.mcap.summary import Summary
from ros_kd.bags.metadata import FileEntry, read_metadata, write_metadata
from ros_kd.bags.reader import read_rig

Say = Callable[[str], None]


@dataclass
class State:
    """An open file of a bag, and what is in it."""

    path: Path
    file: int
    contents: Contents

    @property
    def whole(self) -> bool:
        """Whether there is nothing to do."""
        return self.contents.finished and not self.broken

    @property
    def broken(self) -> bool:
        """Whether more than the end is wrong, so that only a copy can be whole."""
        return bool(self.contents.damaged or self.contents.unnamed or len(self.stale))

    @property
    def stale(self) -> np.ndarray:
        """Chunks that have to be written again, but for the last of an unfinished file, which gets its index anyway."""
        last = [] if self.contents.finished else [len(self.contents.chunks) - 1]
        return np.setdiff1d(self.contents.stale, last)


def main(args: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code. What is wrong with the arguments or the bag is said in one line."""
    parser = argparse.ArgumentParser(prog='recover', description='Make an unfinished or damaged bag whole.')
    parser.add_argument('bag', help='folder of a bag, or an .mcap file')
    parser.add_argument('--out', default='', help='write a new bag there and leave this one as it is; needed where '
                                                  'more than the end of a file is damaged')
    options = parser.parse_args(without_ros_arguments(sys.argv[1:] if args is None else args))
    try:
        return recover(Path(options.bag).expanduser(), Path(options.out).expanduser() if options.out else None)
    except (BagError, OSError) as error:
        print(f'recover: {error}', file=sys.stderr)
        return 2


def recover(path: Path, out: Path | None = None, say: Say = print) -> int:
    """Make a bag whole, in place or as a new bag `out`; returns the exit code of the command.

    Raises BagError where there is no mcap bag, nothing in it, somebody still writes it, or the disk refuses.
    """
    if out is not None and out.exists():
        raise BagError(f'{out} exists already: choose another output, or move it away')
    with ExitStack() as stack:
        states = [_examine(file, stack, say) for file in bag_files(path)]
        clouds = _cloud_topic(path)
        for state in states:
            _leave_out_partial_pair(state, clouds)
        if not any(len(state.contents.messages) for state in states):
            raise EmptyBagError(f'{path} holds no whole {"pair" if clouds else "message"}: there is nothing to recover')
        held = _holdings([state.contents for state in states], clouds)
        if all(state.whole for state in states) and (path.is_file() or _metadata_holds(path, states)):
            say(f'{path} is whole, nothing is to be done. It holds {held}')
            return 0
        for state in states:
            say(f'{state.path.name}: {_explanation(state)}')
        if any(state.broken for state in states) and out is None:
            say(f'{path} is left as it is: what is damaged lies before the end of a file, so only a copy can be whole: '
                f'`ros2 run ros_kd recover {path} --out NEW` makes one that holds {held}')
            return 1
        try:
            _finish(path, states) if out is None else _copy(states, out)
        except OSError as error:
            raise BagError(f'{out or path} could not be finished: {error.strerror or error}. Nothing whole is lost: '
                           'see to the disk, then try again' + (' with another --out' if out else '')) from None
        say(f'{out or path} is whole now. It holds {held}')
        return 0


def _examine(path: Path, stack: ExitStack, say: Say) -> State:
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise BagError(f'cannot read {path}: {error.strerror}') from None
    stack.callback(os.close, file)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise BagError(f'{path} is being written at this moment: stop the recorder first') from None
    except OSError:  # a file system without locks
        pass
    say(f'reading {path} ({os.fstat(file).st_size / 1e6:.1f} MB)')
    contents = scan(file, verify=True)
    state = State(path, file, contents)
    if state.whole and summary_is_wrong(file, len(contents.messages)):
        contents.finished = False
    return state


def _cloud_topic(path: Path) -> str:
    """Return the topic that completes each pair, '' for a raw bag."""
    try:
        store = BagIndex(path)
    except BagError:
        return ''
    try:
        return read_rig(store, path).points
    except BagError:
        return ''
    finally:
        store.close()


def _leave_out_partial_pair(state: State, clouds: str) -> None:
    if state.contents.cut and clouds:
        cut_after(state.file, state.contents, {number for number, channel in state.contents.channels.items()
                                               if channel.topic == clouds})


def _metadata_holds(folder: Path, states: Sequence[State]) -> bool:
    listed = read_metadata(folder)
    return listed is not None and set(listed.names) == {state.path.name for state in states} \
        and listed.messages == sum(len(state.contents.messages) for state in states)


# ---- making whole


def _finish(path: Path, states: Sequence[State]) -> None:
    entries = []
    for state in states:
        if state.contents.finished:
            summary = describe(Summary(), state.contents)
        elif len(state.contents.messages) == 0:
            state.path.unlink()
            continue
        else:
            file = os.open(state.path, os.O_RDWR | os.O_CLOEXEC)
            try:
                summary = finish_file(file, state.contents)
            finally:
                os.close(file)
        entries.append(FileEntry(state.path.name, summary))
    if path.is_dir():
        write_metadata(path, entries)


def _copy(states: Sequence[State], out: Path) -> None:
    out.mkdir(parents=True)
    entries = []
    for number, state in enumerate(state for state in states if len(state.contents.messages)):
        target = out / f'{out.name}_{number}.mcap'
        entries.append(FileEntry(target.name, copy_file(state.file, state.contents, target)))
    write_metadata(out, entries)


# ---- in words


def _explanation(state: State) -> str:
    contents = state.contents
    if state.whole:
        return 'whole'
    if len(contents.messages) == 0:
        return f'nothing in its {os.fstat(state.file).st_size} bytes is whole'
    parts = [f'{end - begin} bytes from byte {begin} on are damaged{_gap(contents, begin)}'
             for begin, end in contents.damaged]
    if contents.unnamed:
        parts.append(f'{contents.unnamed} messages are lost with the name of their topic')
    if len(state.stale):
        parts.append(f'the index of {len(state.stale)} chunks is wrong, nothing of them is lost')
    if not contents.finished:
        parts.append('not finished; ' + (f'the last {contents.torn} bytes are not whole' if contents.torn else
                                         'nothing is lost'))
    return '; '.join(parts)


def _gap(contents: Contents, begin: int) -> str:
    number = int(np.searchsorted(contents.chunks['offset'], begin))
    if not 0 < number < len(contents.chunks):
        return ''
    return f', between {_time(contents.chunks["end"][number - 1])} and {_time(contents.chunks["start"][number])}'


def _holdings(files: Sequence[Contents], clouds: str) -> str:
    stamps = np.concatenate([_stamps(contents, clouds) for contents in files])
    if len(stamps) == 0:
        return 'no pairs'
    first, last = stamps.min(), stamps.max()
    return (f'{len(stamps)} {"pairs" if clouds else "messages"} from {_time(first)} to {_time(last)} '
            f'({(last - first) * 1e-9:.1f} s)')


def _stamps(contents: Contents, topic: str) -> np.ndarray:
    """Return the log times of a topic's messages ('': of all)."""
    channels = [number for number, channel in contents.channels.items() if topic in ('', channel.topic)]
    return contents.messages['stamp'][np.isin(contents.messages['channel'], channels)]


def _time(stamp: int) -> str:
    moment = datetime.fromtimestamp(int(stamp) * 1e-9, timezone.utc)
    return f'{moment:%Y-%m-%d %H:%M:%S}.{moment.microsecond // 1000:03} UTC'


if __name__ == '__main__':
    sys.exit(main())
