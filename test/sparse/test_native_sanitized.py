# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""The native library under AddressSanitizer and UndefinedBehaviorSanitizer, with random shapes."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ros_kd.sparse.native.library import load

ROOT = Path(__file__).parents[2]
SANITIZERS = '-fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer'


def has_sanitizers(folder):
    source = folder / 'empty.cpp'
    source.write_text('int main() { return 0; }\n')
    command = ['g++', *SANITIZERS.split(), str(source), '-o', str(folder / 'empty')]
    return shutil.which('g++') and subprocess.run(command, capture_output=True).returncode == 0


def test_random_shapes_through_every_instruction_set_are_right_and_in_bounds(tmp_path):
    if not has_sanitizers(tmp_path):
        pytest.skip('g++ with its sanitizers is not installed')
    environment = {**os.environ, 'CC': 'gcc', 'CXX': 'g++', 'CFLAGS': SANITIZERS, 'LDFLAGS': SANITIZERS}
    build = subprocess.run([sys.executable, 'setup.py', 'build_ext', '--build-lib', tmp_path, '--build-temp', tmp_path],
                           cwd=ROOT, env=environment, capture_output=True, text=True)
    library, = tmp_path.rglob('_kernels*.so')
    source, fuzz = Path(__file__).with_name('fuzz.cpp'), tmp_path / 'fuzz'
    compiled = subprocess.run(['g++', '-std=gnu++17', '-O1', *SANITIZERS.split(), source, library,
                               f'-Wl,-rpath,{library.parent}', '-o', fuzz], capture_output=True, text=True)
    assert compiled.returncode == 0, build.stderr + compiled.stderr
    run = subprocess.run([str(fuzz)], capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    names = [line.split(':')[0] for line in run.stdout.splitlines()]
    assert 'generic' in names and (load() is None or names == list(load().instruction_sets))
