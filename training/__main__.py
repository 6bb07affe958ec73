# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""The command line: python -m training COMMAND."""

from __future__ import annotations

import sys

from ros_kd.memory import keep_freed_memory

USAGE = """usage: python -m training COMMAND ...

Trains LiDAR-only students; needs no ROS. Commands (each has its own --help):

  fit       train by a recipe:      fit --config training/recipes/simulated.yaml [--run DIR] [--data.root DIR]
            go on with a run:       the same with --ckpt_path last (Ctrl-C saves); other values: --SECTION.NAME VALUE
  doctor    check data, calibration, teacher, classes and memory before hours are spent: doctor --config RECIPE
  cache     compute what the teacher says once, for all trainings to come: cache --config RECIPE --out DIR
  validate  agreement of a run's student with the teacher on the recipe's validation frames:
                                    validate --config RECIPE --run DIR --ckpt_path best
  evaluate  score a student (or a teacher, or one constant class) against 3D labels:
                                    evaluate --checkpoint student.safetensors --dataset SPEC [--taxonomy street-12]
                                    [--pictures DIR [--worst N]]
  export    write a run's student as one file: export --run DIR --out student.safetensors
                                    [--scores REPORT.json] [--calibrate SPEC]
  features  draw what a student's features tell apart (PCA, t-SNE):
                                    features --checkpoint student.safetensors --dataset SPEC --out DIR
  grid      train and score many variants, seeds and stages from one file, with tables and plots of them all:
                                    grid --config GRID.yaml [--out DIR] [--jobs N]
  fit-images  train an image network on labelled images, to teach students; it leaves teacher.safetensors in the run:
                                    fit-images --config training/recipes/image_simulated.yaml [--run DIR]
  import-resnet  make a released ResNet (MoCo, DINO, SwAV ...) a folder for teachers and image branches:
                                    import-resnet --weights resnet50.pth --out resnet50

A dataset is named kind:path?option=value, e.g. kitti_object:/data/kitti_object?split=training.
"""
COMMANDS = ('fit', 'fit-images', 'import-resnet', 'doctor', 'cache', 'validate', 'evaluate', 'features', 'grid',
            'export')
NEEDED = {'torch': 'torch', 'lightning': 'lightning', 'jsonargparse': '"jsonargparse[signatures]"', 'cv2':
          'opencv-python-headless', 'safetensors': 'safetensors', 'rich': 'rich'}


def missing_packages() -> list[str]:
    """Return the names, as pip knows them, of the packages that training needs and that are not installed."""
    from importlib.util import find_spec

    return [package for module, package in NEEDED.items() if find_spec(module) is None]


def main(arguments: list[str] | None = None) -> int:
    """Run one command. Returns the exit status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    command, rest = (arguments[0], arguments[1:]) if arguments else ('', [])
    if command in ('', '-h', '--help'):
        print(USAGE, end='')
        return 0 if command else 2
    if command not in COMMANDS:
        print(f'unknown command "{command}"\n\n{USAGE}', end='', file=sys.stderr)
        return 2
    missing = missing_packages()
    if missing:
        print(f'training needs packages that are not installed; run: {sys.executable} -m pip install '
              f'{" ".join(missing)}', file=sys.stderr)
        return 1
    from ros_kd.datasets import DatasetError  # after the check: what follows imports torch

    try:
        return _run(command, rest)
    except ModuleNotFoundError as error:  # a library of one dataset or teacher only, such as rosbags of bags
        if (error.name or '').partition('.')[0] in ('ros_kd', 'training'):
            raise
        print(f'error: the Python module "{error.name}" is missing; run: {sys.executable} -m pip install -r '
              'requirements.txt', file=sys.stderr)
        return 1
    except (DatasetError, ValueError, FileNotFoundError, MemoryError) as error:
        if '--debug' in rest:
            raise
        print(f'error: {error}', file=sys.stderr)
        return 1


def _run(command: str, arguments: list[str]) -> int:
    keep_freed_memory()
    if command in ('fit', 'validate'):
        from training.running.cli import run
        return run([command, *arguments])
    if command == 'fit-images':
        from training.running.image_fit import run as fit_images
        return fit_images(arguments)
    if command == 'doctor':
        from training.checks.doctor import main as doctor
        return doctor(arguments)
    if command == 'cache':
        from training.running.precompute import main as cache
        return cache(arguments)
    if command == 'evaluate':
        from training.scores.evaluate import main as evaluate
        return evaluate(arguments)
    if command == 'features':
        from training.scores.feature_pictures import main as features
        return features(arguments)
    if command == 'grid':
        from training.grid.command import main as grid
        return grid(arguments)
    if command == 'import-resnet':
        from training.images.released import main as import_resnet
        return import_resnet(arguments)
    from training.running.export import main as export
    return export(arguments)


if __name__ == '__main__':
    sys.exit(main())
