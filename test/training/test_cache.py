# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""What teachers say, on disk: shared by processes, checked, and never stale."""

from __future__ import annotations

import json
import multiprocessing
import os
import pickle
import resource
import signal
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from streets import RECIPE, street, write_drive

from ros_kd.datasets.files import FrameList
from ros_kd.extrinsics import Trajectory
from training.__main__ import main
from training.frames.cache import CacheError, TargetCache
from training.frames.prepared import PreparedFrames
from training.frames.targets import Makers, Targets


def _targets(seed: int, count: int = 50, group: bool = False) -> Targets:
    random = np.random.default_rng(seed)
    return Targets(np.sort(random.permutation(1000)[:count]), random.random((count, 5)).astype(np.float16),
                   random.random(count, np.float32), random.integers(0, 9, count).astype(np.int32) if group else None)


def _same(found: Targets | None, expected: Targets) -> bool:
    return found is not None and all(
        np.array_equal(a, b) and a.dtype == b.dtype if a is not None else b is None
        for a, b in zip(vars(found).values(), vars(expected).values()))


def _shards(folder: Path) -> list[Path]:
    return sorted(folder.glob('*.safetensors'))


@pytest.mark.parametrize('targets', [_targets(0), _targets(1, group=True), Targets.none(7)])
def test_what_is_put_comes_back_also_in_another_process(tmp_path, targets):
    cache = TargetCache(tmp_path / 'new')
    assert cache.get('street 1') is None
    cache.put('street 1', targets)
    for reader in (cache, TargetCache(tmp_path / 'new')):
        assert _same(reader.get('street 1'), targets)
        assert reader.get('street 2') is None
    found = cache.get('street 1')
    found.weight[:] = 0  # augmentation may write to what it gets


def test_a_reader_sees_what_another_process_adds_later(tmp_path):
    reader, writer = TargetCache(tmp_path), TargetCache(tmp_path)
    for number in range(3):
        assert reader.get(f'{number}') is None
        writer.put(f'{number}', _targets(number))
        assert _same(reader.get(f'{number}'), _targets(number))


def test_shards_hold_several_frames_and_are_followed_by_others(tmp_path):
    cache = TargetCache(tmp_path, shard_size=4000)
    for number in range(20):
        cache.put(f'{number}', _targets(number))
    assert 3 <= len(_shards(tmp_path)) <= 12
    assert all(_same(TargetCache(tmp_path).get(f'{number}'), _targets(number)) for number in range(20))


def _flip(shard: Path) -> None:
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 1
    shard.write_bytes(data)


def _cut(shard: Path) -> None:
    os.truncate(shard, shard.stat().st_size - 10)


def _remove(shard: Path) -> None:
    shard.unlink()


@pytest.mark.parametrize('damage,lost', [(_flip, 1), (_cut, 1), (_remove, 9)])
def test_a_damaged_shard_is_named_once_and_its_frames_are_computed_anew(tmp_path, capsys, damage, lost):
    cache = TargetCache(tmp_path)
    for number in range(9):
        cache.put(f'{number}', _targets(number))
    damage(_shards(tmp_path)[0])
    again, made = TargetCache(tmp_path), []
    for _ in range(2):
        for number in range(9):
            found = again.get_or_make(f'{number}', lambda: made.append(number) or _targets(number))
            assert _same(found, _targets(number))
    assert len(made) == lost
    assert capsys.readouterr().err.count('computed anew') == 1
    later = TargetCache(tmp_path)
    assert all(_same(later.get(f'{number}'), _targets(number)) for number in range(9))
    assert capsys.readouterr().err == ''  # what was computed anew comes first


def test_torn_and_foreign_lines_of_an_index_are_left_out(tmp_path, capsys):
    cache = TargetCache(tmp_path)
    for number in range(3):
        cache.put(f'{number}', _targets(number))
    index = next(tmp_path.glob('*.jsonl'))
    lines = index.read_bytes().splitlines(keepends=True)
    assert [json.loads(line)['of'] for line in lines] == ['0', '1', '2']
    index.write_bytes(lines[0] + b'{"key": 5}\n' + lines[1] + lines[2][:-9])
    again = TargetCache(tmp_path)
    assert [again.get(f'{number}') is not None for number in range(3)] == [True, True, False]
    assert capsys.readouterr().err.count('has a line that is none of an index') == 1


def _write(folder: str, first: int, count: int) -> None:
    cache = TargetCache(Path(folder), shard_size=20_000)
    for number in range(first, first + count):
        cache.put(f'{number % 60}', _targets(number % 60))


def test_processes_that_write_at_once_do_not_disturb_each_other(tmp_path):
    context = multiprocessing.get_context('fork')
    writers = [context.Process(target=_write, args=(str(tmp_path), 20 * i, 40)) for i in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    cache = TargetCache(tmp_path)
    assert len(cache) == 60 and all(_same(cache.get(f'{number}'), _targets(number)) for number in range(60))


def test_a_copy_in_a_loader_process_writes_a_shard_of_its_own(tmp_path):
    cache = TargetCache(tmp_path)
    cache.put('0', _targets(0))
    process = multiprocessing.get_context('fork').Process(target=lambda: cache.put('1', _targets(1)))
    process.start()
    process.join()
    pickle.loads(pickle.dumps(cache)).put('2', _targets(2))
    cache.put('3', _targets(3))
    assert len(_shards(tmp_path)) == 3
    assert all(_same(cache.get(f'{number}'), _targets(number)) for number in range(4))


FILL = '''
import sys
from pathlib import Path
import numpy as np
from training.frames.cache import TargetCache
from training.frames.targets import Targets
cache = TargetCache(Path(sys.argv[1]))
for number in range(10 ** 9):
    values = np.full((900, 5), number % 7, np.float16)
    cache.put(str(number), Targets(np.arange(900), values, np.ones(900, np.float32)))
'''


def test_a_killed_writer_loses_no_more_than_the_frame_it_was_at(tmp_path, capsys):
    process = subprocess.Popen([sys.executable, '-c', FILL, str(tmp_path)],
                               env={**os.environ, 'PYTHONPATH': os.pathsep.join(sys.path)})
    while not any(file.stat().st_size > 20_000 for file in tmp_path.glob('*.jsonl')):
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    cache = TargetCache(tmp_path)
    documents = _shards(tmp_path)[0].stat().st_size
    assert len(cache) > 50
    assert all((cache.get(str(number)).values == number % 7).all() for number in range(len(cache)))
    each = json.loads(next(tmp_path.glob('*.jsonl')).read_text().partition('\n')[0])['size']
    assert documents < (len(cache) + 2) * each
    assert capsys.readouterr().err == ''


def test_a_disk_that_refuses_is_told_and_what_was_written_stays(tmp_path):
    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000))
        cache = TargetCache(tmp_path)
        try:
            for number in range(1000):
                cache.put(f'{number}', _targets(number))
        except CacheError as error:
            (tmp_path / 'said').write_text(f'{number} {error}')
    process = multiprocessing.get_context('fork').Process(target=limited)
    process.start()
    process.join()
    number, said = (tmp_path / 'said').read_text().split(' ', 1)
    assert 'cannot be written to (File too large): choose another folder' in said
    cache = TargetCache(tmp_path)
    assert len(cache) == int(number) > 10
    assert all(_same(cache.get(f'{i}'), _targets(i)) for i in range(int(number)))
    assert _shards(tmp_path)[0].stat().st_size < 30_000  # half a frame was taken back


@pytest.mark.skipif(not Path('/dev/full').exists(), reason='no /dev/full to be refused by')
def test_a_full_disk_is_called_full(tmp_path):
    cache = TargetCache(tmp_path)
    cache.put('0', _targets(0))
    cache._writer._documents.close()
    cache._writer._documents = _Full(open('/dev/full', 'wb', buffering=0))
    with pytest.raises(CacheError, match=r'no space left for the cache .* \(\d+ MB free\)'):
        cache.put('1', _targets(1))
    assert _same(TargetCache(tmp_path).get('0'), _targets(0))


class _Full:
    """/dev/full with the methods of a file that it lacks."""

    def __init__(self, device) -> None:
        self.write, self.close = device.write, device.close

    def tell(self) -> int:
        return 0

    def seek(self, place: int) -> None:
        """Nowhere to go."""

    def truncate(self) -> None:
        """Nothing to take back."""


class _Maker:
    """Knows the first point, and counts how often it is asked."""

    width = 1

    def __init__(self, identity: str = 'first') -> None:
        self.identity, self.calls = identity, 0

    def __call__(self, frame, others=()) -> Targets:
        self.calls += 1
        return Targets(np.zeros(1, np.int64), np.full((1, 1), len(others), np.float16), np.ones(1, np.float32))


def _calls(folder: Path, frames: list, name: str = 'streets', identity: str = 'first', neighbours: int = 0,
           trajectory: Trajectory | None = None) -> int:
    maker = _Maker(identity)
    source = FrameList('streets', [partial(frames.__getitem__, i) for i in range(len(frames))], trajectory)
    prepared = PreparedFrames([(name, source)], Makers(classes=maker), neighbours, folder)
    for i in range(len(prepared)):
        prepared[i]
    return maker.calls


def test_only_the_same_frames_asked_the_same_way_are_taken_from_the_cache(tmp_path):
    frames = [street(seed) for seed in range(3)]
    assert _calls(tmp_path, frames) == 3 and _calls(tmp_path, frames) == 0
    assert _calls(tmp_path, frames, identity='second') == 3
    assert _calls(tmp_path, frames, neighbours=1) == 3
    assert _calls(tmp_path, frames, name='other streets') == 3
    assert _calls(tmp_path, [street(seed) for seed in range(3, 6)]) == 3  # recorded anew under the same name
    moved = frames[0].views[0].lidar_to_camera.copy()
    moved[0, 3] += 0.01
    calibrated = replace(frames[0], views=(replace(frames[0].views[0], lidar_to_camera=moved),))
    assert _calls(tmp_path, [calibrated, *frames[1:]]) == 1
    assert _calls(tmp_path, frames) == 0


def test_images_of_other_moments_are_asked_anew_where_the_drive_is_another(tmp_path):
    poses = np.tile(np.eye(4), (4, 1, 1))
    poses[:, 0, 3] = range(4)
    frames = [replace(street(seed), world_from_lidar=pose) for seed, pose in enumerate(poses)]
    path = Trajectory(np.arange(4) * 10 ** 8, poses)
    assert _calls(tmp_path, frames, neighbours=1, trajectory=path) == 4
    assert _calls(tmp_path, frames, neighbours=1, trajectory=path) == 0
    # The last frame has nobody after it now.
    assert _calls(tmp_path, frames[:3], neighbours=1, trajectory=path) == 1
    poses = poses.copy()
    poses[1:, 1, 3] = 0.1  # better odometry; the first pose is the origin of both
    moved = [replace(frame, world_from_lidar=pose) for frame, pose in zip(frames, poses)]
    assert _calls(tmp_path, moved, neighbours=1, trajectory=Trajectory(path.stamps, poses)) == 4
    assert _calls(tmp_path, frames[:1]) == 1 and _calls(tmp_path, moved[:1]) == 0  # by itself, it is the same


class _OnGpu(_Maker):
    """Fails as CUDA does in a process that was forked after it was used."""

    def __call__(self, frame, others=()) -> Targets:
        raise RuntimeError('Cannot re-initialize CUDA in forked subprocess. To use CUDA with multiprocessing, you must '
                           'use the \'spawn\' start method')


def test_a_teacher_on_a_gpu_that_a_loader_process_asks_says_what_to_do(tmp_path):
    prepared = PreparedFrames([('streets', [street()])], Makers(classes=_OnGpu()), cache=tmp_path)
    with pytest.raises(ValueError, match='python -m training cache'):
        prepared[0]
    assert _calls(tmp_path, [street()]) == 1
    assert sum(prepared.fill()) == 0 and len(prepared[0].known.classes) == 1


def test_processes_share_the_work_and_find_it_done(tmp_path):
    frames = [street(seed) for seed in range(5)]
    counts = []
    for rank in (0, 1, 0):
        maker = _Maker()
        prepared = PreparedFrames([('streets', frames)], Makers(classes=maker), cache=tmp_path)
        counts.append((sum(prepared.fill(rank, 2)), maker.calls))
    assert counts == [(3, 3), (2, 2), (0, 0)]
    assert _calls(tmp_path, frames) == 0


def _drive(tmp_path: Path) -> list[str]:
    write_drive(tmp_path, 3)
    (tmp_path / 'recipe.yaml').write_text(RECIPE)
    return ['cache', '--config', str(tmp_path / 'recipe.yaml'), '--data.root', str(tmp_path / 'data')]


def test_the_command_computes_once_what_a_training_then_finds(tmp_path, capsys):
    command, out = _drive(tmp_path), tmp_path / 'answers'
    assert main([*command, '--out', str(out), '--rank', '1', '--world', '2']) == 0
    assert 'train, frames 1 of 2: 1 frames, 1 targets computed, 0 frames were known already' in capsys.readouterr().out
    assert main([*command, '--data.cache', str(out)]) == 0
    said = capsys.readouterr().out
    assert 'train: 3 frames, 2 targets computed, 1 frames were known already' in said and f'--data.cache {out}' in said
    before = sorted((file.name, file.stat().st_size) for file in out.iterdir())
    for folder in (tmp_path / 'data/teacher/sequences/00/image_2').iterdir():
        folder.unlink()  # whoever asked the teacher would find no answer
    fit = ['fit', *command[1:], '--data.cache', str(out), '--run', str(tmp_path / 'run'), '--trainer.max_steps', '2']
    assert main(fit) == 0
    assert 'epoch 2, step 2/2, loss' in capsys.readouterr().out  # how many epochs that makes is not known
    assert sorted((file.name, file.stat().st_size) for file in out.iterdir()) == before


def test_wrong_arguments_of_the_command_are_named(tmp_path, capsys):
    command = _drive(tmp_path)
    assert main(command) == 1
    assert 'give --out DIR' in capsys.readouterr().err
    assert main([*command, '--out', str(tmp_path / 'out'), '--rank', '2', '--world', '2']) == 1
    assert '--rank 2 of --world 2' in capsys.readouterr().err
    assert main([*command, '--out', str(tmp_path / 'out'), '--model', 'training.methods.supervised.Supervised']) == 0
    assert 'nothing to compute' in capsys.readouterr().out
