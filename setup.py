# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

import platform
import sys
from glob import glob
from pathlib import Path

from setuptools import Extension, find_packages, setup
from setuptools.command.build_ext import build_ext

NAME = 'ros_kd'
SOURCES = 'ros_kd/sparse/native/src'
KERNELS = f'{SOURCES}/kernels.cpp'
FLAGS = ['-std=gnu++17', '-O3', '-g0', '-fvisibility=hidden', '-ffp-contract=fast', '-pthread']
AVX512 = ['-mavx512f', '-mavx512bw', '-mavx512vl', '-mavx512dq', '-mfma', '-mprefer-vector-width=512']
INSTRUCTION_SETS = {'generic': []}  # on aarch64 that is NEON
if platform.machine() in ('x86_64', 'AMD64'):
    INSTRUCTION_SETS.update({'avx2': ['-mavx2', '-mfma'], 'avx512': AVX512, 'avx512bf16': [*AVX512, '-mavx512bf16']})


class BuildKernels(build_ext):
    """Compiles the kernels once for each instruction set; a set that this compiler lacks, or all of them, may fail."""

    def build_extension(self, extension):
        objects, built = [], []
        try:
            for name, flags in INSTRUCTION_SETS.items():
                try:
                    objects += self._compile([KERNELS], [*flags, f'-DROS_KD_ISA={name}'], name)
                    built.append(name)
                except Exception as error:
                    if name == 'generic':
                        raise
                    self._warn(f'the compiler cannot build for {name} ({error}): it is left out')
            rest = [path for path in extension.sources if path != KERNELS]
            objects += self._compile(rest, [f'-DROS_KD_HAVE_{name}' for name in built], 'common')
            self.compiler.link_shared_object(objects, self.get_ext_fullpath(extension.name),
                                             extra_postargs=['-pthread'], target_lang='c++')
        except Exception as error:
            self._warn(f'the C++ kernels were not built ({error}). ros_kd works without them, several times slower on '
                       'a CPU: install a C++ compiler (apt install g++) and install ros_kd again')

    def _compile(self, sources, flags, name):
        Path(self.build_temp, name).mkdir(parents=True, exist_ok=True)
        return self.compiler.compile(sources, output_dir=str(Path(self.build_temp, name)),
                                     extra_postargs=[*FLAGS, *flags])

    def get_outputs(self):
        return [path for path in super().get_outputs() if Path(path).exists()]

    def copy_extensions_to_source(self):
        if any(Path(path).exists() for path in super().get_outputs()):
            super().copy_extensions_to_source()

    @staticmethod
    def _warn(text):
        print(f'\nWARNING: ros_kd: {text}\n', file=sys.stderr)


setup(
    name=NAME,
    version='0.1.0',
    packages=find_packages(include=[NAME, f'{NAME}.*']),
    ext_modules=[Extension(f'{NAME}.sparse.native._kernels', sources=sorted(glob(f'{SOURCES}/*.cpp')),
                           depends=glob(f'{SOURCES}/*.h'), language='c++', optional=True)],
    cmdclass={'build_ext': BuildKernels},
    # Executables are data, not console scripts: pip ignores install_scripts, and `ros2 run` looks in lib/ros_kd alone.
    data_files=[
        ('share/ament_index/resource_index/packages', [f'resource/{NAME}']),
        (f'share/{NAME}', ['package.xml']),
        (f'share/{NAME}/launch', glob('launch/*.launch.py')),
        (f'share/{NAME}/config', glob('config/*.*')),
        (f'share/{NAME}/students', glob('config/students/*')),
        (f'lib/{NAME}', glob('scripts/*')),
    ],
    install_requires=['numpy'],
    python_requires='>=3.10',
    zip_safe=False,
    author='The ros_kd authors',
    maintainer='The ros_kd authors',
    maintainer_email='ros-kd@users.noreply.github.com',
    description="A robot's LiDAR learns semantics from its own cameras.",
    license='Apache-2.0',
)
