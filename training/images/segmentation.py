# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""Training an image network to segment labelled images."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from lightning.pytorch import LightningModule
from torch import Tensor

from ros_kd.label_sets import get_taxonomy
from ros_kd.scores import Confusion
from ros_kd.students.checkpoint import Score
from ros_kd.taxonomy import IGNORE
from training.images.checkpoint import NetworkInfo
from training.images.data import LabelledBatch
from training.images.network import ImageNetwork
from training.losses.divergence import balance
from training.methods import Optimisation


class ImageSegmentation(LightningModule):
    """Cross-entropy over labelled pixels, the logits enlarged to the labels (Long et al. 2015).

    taxonomy: the K classes; the network gets one more, of what is none of them. backbone, width: see ImageNetwork.
    encoder_rate: times the learning rate for the backbone, below 1 for a trained one. balance: rare classes weigh (most
    frequent / own frequency) ** balance; 0: all alike. monitor: what the best network is chosen by.
    """

    monitor = 'val/miou'

    def __init__(self, taxonomy: str, backbone: str = 'resnet-34', width: int = 64,
                 optimisation: Optimisation = Optimisation(), encoder_rate: float = 1.0, balance: float = 0.25) -> None:
        super().__init__()
        self.taxonomy = get_taxonomy(taxonomy)
        classes = len(self.taxonomy) + 1
        self.network = ImageNetwork(backbone, width, classes)
        self.optimisation, self.encoder_rate, self.exponent = optimisation, encoder_rate, balance
        self.register_buffer('class_weight', torch.ones(classes), persistent=False)
        self.register_buffer('seen', torch.zeros(classes, dtype=torch.bool))
        self.recipe = ''
        self.scores: tuple[Score, ...] = ()
        self._confusion = Confusion.empty(classes)

    def on_fit_start(self) -> None:
        """Balance the classes by their frequency in the training images. Raises ValueError without labels."""
        if self.exponent:
            mass = torch.from_numpy(self.trainer.datamodule.class_mass(len(self.taxonomy))).float()
            if not mass.any():
                raise ValueError(f'the training images have no pixel of a class of "{self.taxonomy.name}"')
            self.class_weight.copy_(balance(mass, self.exponent))

    def training_step(self, batch: LabelledBatch, batch_idx: int) -> Tensor:
        """Return the balanced cross-entropy; 0 (with a gradient) of a batch without labels."""
        logits = enlarged(self.network(batch.images).logits, batch.labels.shape[1:])
        labelled = batch.labels != IGNORE
        self.seen[batch.labels[labelled].unique()] = True
        weight = self.class_weight[batch.labels.where(labelled, 0)] * labelled
        loss = (F.cross_entropy(logits, batch.labels, reduction='none', ignore_index=IGNORE) * weight).sum()
        loss = loss / weight.sum().clamp(min=1e-6)
        self.log('loss', loss, prog_bar=True, on_step=True, on_epoch=True, batch_size=len(batch.images), sync_dist=True)
        return loss

    def on_validation_epoch_start(self) -> None:
        """Forget the last epoch's counts."""
        self._confusion = Confusion.empty(len(self.taxonomy) + 1)

    def validation_step(self, batch: LabelledBatch, batch_idx: int) -> None:
        """Count pixels at the labels' own size."""
        logits = enlarged(self.network(batch.images).logits, batch.labels.shape[1:])
        self._confusion.add(batch.labels.cpu().numpy().ravel(), logits.argmax(1).cpu().numpy().ravel())

    def on_validation_epoch_end(self) -> None:
        """Log val/miou, val/accuracy and iou/CLASS over pixels.

        A class that is predicted where there is none counts against it; the mean is over the taxonomy's classes.
        """
        counts = self.all_gather(torch.from_numpy(self._confusion.counts).to(self.device))
        confusion = Confusion(counts.reshape(-1, *self._confusion.counts.shape).sum(0).cpu().numpy())
        iou = confusion.iou[:-1]
        if self.trainer.sanity_checking or np.isnan(iou).all():
            return
        found = {name: float(value) for name, value in zip(self.taxonomy.names, iou) if not np.isnan(value)}
        mean = float(np.mean(list(found.values())))
        self.log_dict({'val/miou': mean, 'val/accuracy': confusion.accuracy}, prog_bar=True, sync_dist=True)
        self.log_dict({f'iou/{name}': value for name, value in found.items()}, sync_dist=True)
        details = (f'step {self.global_step}, {int(confusion.support[:-1].sum())} pixels; '
                   + ', '.join(f'{name} {100 * value:.1f}' for name, value in found.items()))
        data = self.trainer.datamodule.validated
        self.scores = (Score(mean, 'pixel mIoU', data, details), Score(confusion.accuracy, 'pixel accuracy', data))

    def configure_optimizers(self) -> dict[str, Any]:
        """Return the optimiser and its one-cycle schedule over all steps of the training."""
        encoder = list(self.network.encoder.parameters())
        own = {id(parameter) for parameter in encoder}
        rest = [parameter for parameter in self.network.parameters() if id(parameter) not in own]
        return self.optimisation.over(int(self.trainer.estimated_stepping_batches),
                                      [(self.encoder_rate, encoder), (1.0, rest)])

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the network's description, as its exported file carries it."""
        taught = tuple(int(i) for i in self.seen[:-1].nonzero().flatten())
        info = NetworkInfo(self.network.encoder.spec, self.network.width, self.taxonomy, self.trainer.datamodule.size,
                           taught, self.recipe, self.scores)
        checkpoint['image_network'] = info.to_json()


def enlarged(logits: Tensor, size: tuple[int, int]) -> Tensor:
    """Return logits [I, K, h, w] bilinearly at `size` (height, width)."""
    return F.interpolate(logits, tuple(size), mode='bilinear', align_corners=False)
