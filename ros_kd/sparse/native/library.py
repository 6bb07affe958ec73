# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""The compiled library of src/: finding it, its functions, and its threads."""

from __future__ import annotations

import ctypes
import os
import re
from ctypes import POINTER, Structure, c_char_p, c_float, c_int32, c_int64, c_void_p
from functools import cache
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

VERSION = 4
INSTRUCTION_SET = 'ROS_KD_INSTRUCTION_SET'
FLOAT, BFLOAT16 = 0, 1


class Map(Structure):
    """struct ros_kd_map of src/api.h."""

    _fields_ = [('row', c_void_p), ('local', c_void_p), ('start', c_void_p), ('inputs', c_int64), ('outputs', c_int64),
                ('tile', c_int64), ('volume', c_int64)]


class Convolution(Structure):
    """struct ros_kd_convolution of src/api.h."""

    _fields_ = [('map', Map), ('x', c_void_p), ('in_channels', c_int64), ('x_stride', c_int64), ('weight', c_void_p),
                ('out_channels', c_int64), ('bias', c_void_p), ('residual', c_void_p), ('residual_stride', c_int64),
                ('slope', c_float), ('y', c_void_p), ('y_stride', c_int64), ('type', c_int32), ('y_type', c_int32),
                ('threads', c_int32)]


_p, _l, _i = c_void_p, c_int64, c_int32
_SIGNATURES = {
    'instruction_set': (c_char_p, _i), 'choose': (_i, _i), 'bfloat16_in_hardware': (_i,),
    'use_openmp': (None, _p), 'packed_bytes': (_l, _l, _l, _l, _i), 'pack': (_i, _p, _p, _l, _l, _l, _i, _i, _p),
    'convolve': (_i, POINTER(Convolution)), 'weight_gradient': (_i, POINTER(Map), _p, _l, _p, _l, _i, _p),
    'build_map': (_i, _p, _l, _p, _l, _p, _l, _l, _l, _i, _p, _p, _p),
    'reverse_map': (_i, POINTER(Map), _l, _i, _p, _p, _p),
    'classify': (_i, _p, _l, _l, _l, _i, _p, c_float, _i, _p, _p),
    'voxel_keys': (_i, _p, _l, _p, _p, c_float, _p, _p, _p, _p, _p), 'unique': (_i, _p, _l, _p, _p, _p),
    'mean': (_i, _p, _l, _l, _l, _p, _l, _i, _i, _p)}


class Library:
    """The functions of src/api.h, without their prefix; ctypes lets go of the interpreter's lock while one runs."""

    def __init__(self, path: Path) -> None:
        """Load the library. Raises OSError if it is not loadable or of another version of this package."""
        library = ctypes.CDLL(str(path))
        version = getattr(library, 'ros_kd_version', lambda: 'none')()  # before functions that others may lack
        if version != VERSION:
            raise OSError(f'{path} is of interface {version}, expected {VERSION}: install ros_kd again')
        for name, (result, *arguments) in _SIGNATURES.items():
            function = getattr(library, f'ros_kd_{name}')
            function.restype, function.argtypes = result, arguments
            setattr(self, name, function)
        self.use_openmp(_torchs_openmp())
        self.instruction_sets = tuple(_names(self.instruction_set))
        self.name = self.instruction_sets[0]

    def select(self, name: str) -> None:
        """Use the instruction set `name`; weights packed before are void. Raises ValueError naming the valid ones."""
        if name not in self.instruction_sets:
            raise ValueError(f'instruction set "{name}" ({INSTRUCTION_SET}): this processor and this build have '
                             f'{list(self.instruction_sets)}')
        self.choose(self.instruction_sets.index(name))
        self.name = name


@cache
def load() -> Library | None:
    """Return the library, or None where it was not built. Raises OSError or ValueError if it is there but unusable."""
    folder = Path(__file__).parent
    built = [path for suffix in EXTENSION_SUFFIXES if (path := folder / f'_kernels{suffix}').is_file()]
    if not built:
        return None
    library = Library(built[0])
    if os.environ.get(INSTRUCTION_SET):
        library.select(os.environ[INSTRUCTION_SET])
    return library


def check(status: int, what: str) -> None:
    """Raise for a function's status other than 0."""
    if status == -2:
        raise MemoryError(f'{what}: out of memory')
    if status:
        raise ValueError(f'{what}: the native library refused its arguments')


def _names(instruction_set) -> list[str]:
    names: list[str] = []
    while (name := instruction_set(len(names))) is not None:
        names.append(name.decode())
    return names


def _torchs_openmp() -> int | None:
    """Return the address of GOMP_parallel in the OpenMP runtime that torch uses, or None.

    Two runtimes in one process have twice the threads, and each keeps its own spinning while the other works.
    """
    import torch  # noqa: F401  brings its runtime into the process
    try:
        mapped = Path('/proc/self/maps').read_text()
    except OSError:
        return None
    for path in dict.fromkeys(re.findall(r'/\S*lib(?:gomp|iomp5|omp)[-.]\S*', mapped)):
        try:
            return ctypes.cast(ctypes.CDLL(path).GOMP_parallel, c_void_p).value
        except (OSError, AttributeError):
            continue
    return None
