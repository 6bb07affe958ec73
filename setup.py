# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

from glob import glob

from setuptools import find_packages, setup

NAME = 'ros_kd'

setup(
    name=NAME,
    version='0.1.0',
    packages=find_packages(include=[NAME, f'{NAME}.*']),
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
