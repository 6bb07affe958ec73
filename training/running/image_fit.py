# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""fit-images: trains an image network on labelled images, to teach students of the LiDAR."""

from __future__ import annotations

from pathlib import Path

import torch
from lightning.pytorch import Callback

from training.images.checkpoint import NetworkInfo, save_image_network
from training.images.data import ImageSets
from training.images.segmentation import ImageSegmentation
from training.running.cli import TrainingCLI, quieten
from training.running.export import find_run_checkpoint, weights_of

TEACHER = 'teacher.safetensors'


class ImageCLI(TrainingCLI):
    """Training of image networks: a run's folder as that of a student, with a teacher in it."""

    def watchers(self) -> list[Callback]:
        """See TrainingCLI: nothing, there are no scans."""
        return []

    def after_fit(self) -> None:
        """Export the teacher."""
        if self.trainer.is_global_zero and not self.trainer.fast_dev_run:
            print(f'teacher: {export_teacher(self.run_folder, self.run_folder / TEACHER)}')


def export_teacher(run: Path, out: Path) -> Path:
    """Write the best network of a run (a folder or a .ckpt file) to `out` and return that.

    Raises ValueError if the checkpoint is none of fit-images, CheckpointError if `out` does not end in .safetensors.
    """
    path = find_run_checkpoint(run)
    checkpoint = torch.load(path, map_location='cpu', weights_only=True)
    text = checkpoint.get('image_network')
    if text is None:
        raise ValueError(f'{path} describes no image network: expected a checkpoint of `python -m training fit-images`')
    info = NetworkInfo.from_json(text)
    network = info.build()
    network.load_state_dict(weights_of(checkpoint, 'network.'))
    return save_image_network(out, network, info)


def run(arguments: list[str]) -> int:
    """Run `fit-images` with these arguments. Returns the exit status."""
    quieten()
    ImageCLI(ImageSegmentation, ImageSets, args=['fit', *arguments], save_config_callback=None,
             seed_everything_default=0, load_from_checkpoint_support=False,
             parser_kwargs={'prog': 'python -m training'})
    return 0
