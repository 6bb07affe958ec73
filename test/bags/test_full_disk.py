# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""A disk that refuses costs the pair that did not fit, and says so; what was written stays readable."""

import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from crash import environment, pair, rig

from ros_kd.bags import BagError
from ros_kd.bags.reader import PairedBag
from ros_kd.bags.recover import recover
from ros_kd.bags.writer import PairedBagWriter, Storage

MB = 2**20


def text_of(action):
    try:
        action()
    except BagError as error:
        return str(error)
    return ''


def fill(path, most, storage=Storage()):
    """Write until the disk refuses. Returns pairs written and what the errors said: of write, again, and of close."""
    writer = PairedBagWriter(path, rig(), storage)
    error = ''
    while not error and writer.pairs < most:
        error = text_of(lambda: writer.write(pair(writer.pairs)))
    sizes = [file.stat().st_size for file in writer.files]
    again = text_of(lambda: writer.write(pair(writer.pairs)))
    assert sizes == [file.stat().st_size for file in writer.files]
    return writer.pairs, error, again, text_of(writer.close)


def limited_files(path):
    resource.setrlimit(resource.RLIMIT_FSIZE, (8 * MB, 8 * MB))
    return fill(Path(path), 100)


def small_disk(folder):
    """On a file system of 8 MB: fill it, read, make room, recover, read."""
    folder, ballast = Path(folder), Path(folder) / 'ballast'
    written, error, again, closing = fill(folder / 'bag', 100)
    ballast.write_bytes(b'')
    found = len(PairedBag(folder / 'bag'))
    return written, error, again, closing, found


def no_room_at_all(folder):
    """The last free byte goes to something else before the bag is closed."""
    folder, ballast = Path(folder), Path(folder) / 'ballast'
    writer = PairedBagWriter(folder / 'bag', rig())
    while not (error := text_of(lambda: writer.write(pair(writer.pairs)))):
        pass
    with ballast.open('wb', buffering=0) as file:
        try:
            while file.write(bytes(4096)):
                pass
        except OSError:
            pass
    closing, found = text_of(writer.close), len(PairedBag(folder / 'bag'))
    unrecovered = text_of(lambda: recover(folder / 'bag', say=list))
    still = len(PairedBag(folder / 'bag'))
    ballast.unlink()
    recovered = recover(folder / 'bag', say=list)
    read = PairedBag(folder / 'bag')
    return writer.pairs, error, closing, found, unrecovered, still, recovered, len(read), list(read.warnings)


def in_child(name, path, *before):
    code = f'import json, sys, test_full_disk; print(json.dumps(test_full_disk.{name}(sys.argv[1])))'
    done = subprocess.run([*before, sys.executable, '-W', 'ignore', '-c', code, str(path)], text=True,
                          capture_output=True, env=environment())
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture
def disk(tmp_path):
    """A folder, and what to run a command with so that the folder is a disk of 8 MB for it."""
    mount = ['unshare', '-rm', 'sh', '-c', f'mount -t tmpfs -o size=8m none {tmp_path} && exec "$@"', 'sh']
    try:
        subprocess.run([*mount, 'true'], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f'no small disk to fill: mounting one is not allowed here ({error})')
    return tmp_path, mount


def test_a_limit_of_the_file_size_leaves_the_pairs_before_it(tmp_path):
    written, error, again, closing = in_child('limited_files', tmp_path / 'bag')
    assert 2 < written < 100 and f'The {written} pairs so far are safe; allow larger files' in error
    assert again == error and closing == ''
    read = PairedBag(tmp_path / 'bag')
    assert len(read) == written and read.warnings == ()
    assert bytes(read[written - 1].views[1].pixels.data) in bytes(pair(written - 1).views[1].image)


def test_splitting_keeps_below_a_limit_of_the_file_size(tmp_path):
    writer = PairedBagWriter(tmp_path / 'bag', rig(), Storage(max_bytes=4 * MB))
    for number in range(80, 92):
        writer.write(pair(number))
    writer.close()
    assert len(writer.files) > 2 and all(file.stat().st_size < 4 * MB for file in writer.files)
    assert len(PairedBag(tmp_path / 'bag')) == 12


def test_a_full_disk_ends_the_bag_cleanly(disk):
    written, error, again, closing, found = in_child('small_disk', disk[0], *disk[1])
    assert 2 < written < 100 and 'No space left on device' in error
    assert f'The {written} pairs so far are safe; free space on the disk' in error and again == error
    assert closing == '' and found == written


def test_without_room_for_the_index_the_pairs_are_read_all_the_same_and_recovered_later(disk):
    written, error, closing, found, unrecovered, still, recovered, kept, warned = in_child('no_room_at_all', disk[0],
                                                                                          *disk[1])
    assert written > 2 and 'No space left' in error
    assert f'Its {written} pairs are safe and can be read; free space on the disk, then `ros2 run ros_kd recover' \
        in closing
    assert 'could not be finished: No space left on device. Nothing whole is lost' in unrecovered
    assert found == still == written == kept and recovered == 0 and warned == []
