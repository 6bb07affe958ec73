# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Building the C++ kernels: with what there is, and without a compiler."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from ros_kd.sparse import BACKENDS, SubMConv3d, SparseTensor, choose_backend
from ros_kd.sparse.native.library import Library

ROOT = Path(__file__).parents[2]
SOURCES = ROOT / 'ros_kd' / 'sparse' / 'native' / 'src'


def build(folder, **environment):
    return subprocess.run(
        [sys.executable, 'setup.py', 'build_ext', '--build-lib', folder, '--build-temp', folder / 'objects'], cwd=ROOT,
        env={**os.environ, **environment}, capture_output=True, text=True)


def test_without_a_compiler_the_package_builds_and_says_what_is_missing(tmp_path):
    result = build(tmp_path, CC='/no/such/compiler', CXX='/no/such/compiler')
    assert result.returncode == 0 and not list(tmp_path.rglob('*.so'))
    assert 'WARNING: ros_kd: the C++ kernels were not built' in result.stderr and 'apt install g++' in result.stderr


@pytest.mark.skipif(not shutil.which('g++'), reason='g++ is not installed')
def test_a_compiler_that_lacks_an_instruction_set_builds_the_others(tmp_path):
    compiler = tmp_path / 'old-g++'
    compiler.write_text('#!/bin/sh\ncase "$*" in *-mavx512bf16*) echo "unrecognised option" >&2; exit 1;; esac\n'
                        'exec g++ "$@"\n')
    compiler.chmod(0o755)
    result = build(tmp_path, CC=str(compiler), CXX=str(compiler))
    library, = tmp_path.rglob('_kernels*.so')
    assert result.returncode == 0 and 'cannot build for avx512bf16' in result.stderr
    symbols = subprocess.run([sys.executable, '-c', 'import ctypes, sys; library = ctypes.CDLL(sys.argv[1])\n'
                              'library.ros_kd_instruction_set.restype = ctypes.c_char_p\n'
                              'print([library.ros_kd_instruction_set(i) for i in range(5)])', str(library)],
                             capture_output=True, text=True)
    assert "b'generic'" in symbols.stdout and 'bf16' not in symbols.stdout


@pytest.mark.skipif(not shutil.which('aarch64-linux-gnu-g++'), reason='aarch64-linux-gnu-g++ is not installed')
def test_the_kernels_compile_for_arm_with_its_vectors(tmp_path):
    for source in SOURCES.glob('*.cpp'):
        output = tmp_path / f'{source.stem}.s'
        subprocess.run(['aarch64-linux-gnu-g++', '-std=gnu++17', '-O3', '-Wall', '-Werror', '-S',
                        '-DROS_KD_ISA=generic', str(source), '-o', str(output)], check=True)
    assert 'fmla' in (tmp_path / 'kernels.s').read_text()


def test_without_the_library_torch_computes(monkeypatch):
    monkeypatch.setattr(BACKENDS['native'], '_library', None)
    assert choose_backend(torch.device('cpu')).name == 'torch'
    tensor = SparseTensor.from_coordinates(torch.tensor([[0, 0, 0], [0, 0, 1]]), torch.ones(2, 3))
    assert tensor.geometry.backend.name == 'torch' and SubMConv3d(3, 4)(tensor).features.shape == (2, 4)
    with pytest.raises(ValueError, match="backend \"native\".*not available.*'torch'"):
        choose_backend(torch.device('cpu'), 'native')


@pytest.mark.skipif(not shutil.which('g++'), reason='g++ is not installed')
@pytest.mark.parametrize('source, version', [('extern "C" int ros_kd_version() { return 1; }', '1'), ('', 'none')])
def test_an_older_or_foreign_library_is_refused_with_the_way_out(tmp_path, source, version):
    library = tmp_path / 'library.so'
    subprocess.run(['g++', '-shared', '-fPIC', '-x', 'c++', '-', '-o', library], input=source, text=True, check=True)
    with pytest.raises(OSError, match=f'interface {version}, expected.*install ros_kd again'):
        Library(library)


def test_an_installation_that_fails_is_not_taken_for_the_one_before(tmp_path):
    python = tmp_path / 'python'
    python.write_text(f'#!/bin/sh\nif [ "$1" = -m ]; then echo "no space left"; exit 1; fi\necho "{tmp_path}"\n')
    python.chmod(0o755)
    run = subprocess.run(['bash', ROOT / 'tools' / 'pip_package.sh', python], cwd=tmp_path, capture_output=True,
                         text=True)
    assert run.returncode != 0 and 'no space left' in run.stdout
