# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""Pictures of evaluated frames: labels beside the truth, and where they differ."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.loggers import TensorBoardLogger

from ros_kd.frames import PairedFrame
from ros_kd.pictures import class_colors, from_above, legend, over_image, stack, write
from ros_kd.projection import project
from ros_kd.taxonomy import IGNORE, Taxonomy
from training.frames.batches import Batch
from training.frames.targets import truth
from training.methods import Method

_RIGHT, _WRONG, _UNKNOWN = (46, 139, 87), (220, 50, 50), (70, 70, 70)


def save_comparison(path: Path, frame: PairedFrame, label: np.ndarray, taxonomy: Taxonomy) -> Path:
    """Write labels uint8 [N], truth and errors from above, and the labels over each image; returns the path."""
    expected = truth(frame, taxonomy)
    colors = class_colors(label, taxonomy)
    errors = np.full((len(label), 3), _UNKNOWN, np.uint8)
    known = (expected != IGNORE) & (label != IGNORE)
    errors[known] = np.where((label == expected)[known, None], _RIGHT, _WRONG)
    pictures = [from_above(frame.points, shown) for shown in (colors, class_colors(expected, taxonomy), errors)]
    captions = ['labels', 'truth', 'right green, wrong red, unknown grey']
    for view in frame.views:
        seen = project(frame.points, view)
        pictures.append(over_image(view.image(), seen.uv, colors[seen.index], 2, seen.depth, dim=0.6))
        captions.append(f'labels over {view.name}')
    pictures.append(legend(taxonomy))
    return write(path, stack(pictures, [*captions, 'classes'], columns=3))


class ValidationPicture(Callback):
    """Shows in TensorBoard what the student makes of the first validation frame, beside what it is measured against."""

    def on_validation_batch_end(self, trainer: Trainer, pl_module: Method, outputs: None, batch: Batch, batch_idx: int,
                                dataloader_idx: int = 0) -> None:
        """Draw the first frame from above."""
        boards = [logger for logger in trainer.loggers if isinstance(logger, TensorBoardLogger)]
        if batch_idx or trainer.sanity_checking or not trainer.is_global_zero or not boards:
            return
        label, targets = pl_module.answer(batch).label, pl_module.compared(batch)
        known = np.full_like(label, IGNORE) if targets is None else targets.hard(len(label))
        shown = [from_above(batch.frames[0].points, class_colors(ids, pl_module.taxonomy)) for ids in (label, known)]
        picture = stack([*shown, legend(pl_module.taxonomy)], ['student', 'targets', 'classes'], columns=3)
        for board in boards:
            board.experiment.add_image('validation/first_frame', picture, trainer.global_step, dataformats='HWC')
