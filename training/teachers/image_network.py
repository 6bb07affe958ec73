# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""Image networks that were trained here, by `python -m training fit-images`."""

from __future__ import annotations

import hashlib
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from ros_kd.frames import CameraView
from ros_kd.students.checkpoint import find_checkpoint
from ros_kd.students.predictor import chosen_device
from ros_kd.taxonomy import Taxonomy
from training.frames.sampling import Grid, bilinear
from training.images.checkpoint import NetworkInfo, load_image_network
from training.images.network import ImageNetwork, one_input
from training.teachers import FeatureTeacher, known_part
from training.teachers.classifier import Classifier
from training.teachers.pretrained import RecentMaps


class ImageNetworkTeacher(FeatureTeacher):
    """A network of `fit-images`: its features are the fused ones, which its classifier is applied to.

    file: teacher.safetensors of a run. temperature: of the softmax; above 1 softens. device: where it runs.
    """

    def __init__(self, file: Path, temperature: float = 1.0, device: str = 'auto') -> None:
        self.file, self.temperature, self.device = Path(file).expanduser(), temperature, chosen_device(device)
        self._maps: RecentMaps[np.ndarray] = RecentMaps()

    def locate(self, root: Path) -> None:
        """See Teacher. Raises CheckpointError if there is no such file."""
        self.file = find_checkpoint(root / self.file)

    @cached_property
    def _loaded(self) -> tuple[ImageNetwork, NetworkInfo]:
        network, info = load_image_network(self.file)
        return network.requires_grad_(False).to(self.device), info

    @cached_property
    def taxonomy(self) -> Taxonomy:
        """See Teacher: the classes that its training images showed. Raises CheckpointError: what is wrong with it."""
        info = self._loaded[1]
        return known_part(info.taxonomy, np.isin(np.arange(len(info.taxonomy)), info.taught))

    @cached_property
    def identity(self) -> str:
        """See Teacher: that of the file's contents."""
        digest = hashlib.sha256(find_checkpoint(self.file).read_bytes()).hexdigest()[:16]
        return f'image network {digest} temperature {self.temperature}'

    @property
    def width(self) -> int:
        """See FeatureTeacher."""
        return self._loaded[0].width

    @cached_property
    def classifier(self) -> Classifier:
        """See FeatureTeacher; its last row is of what is none of the classes."""
        layer = self._loaded[0].classifier
        return Classifier(layer.weight[:, :, 0, 0].cpu().numpy(), layer.bias.cpu().numpy())

    def features(self, view: CameraView, uv: np.ndarray) -> np.ndarray:
        """Return the fused features, bilinear between their cells; see FeatureTeacher."""
        maps = self._maps.get(view.pixels, lambda: self._run(view.image()))
        size = (maps.shape[2], maps.shape[1])
        return bilinear(maps, uv, Grid.covering(size, (view.camera.width, view.camera.height)))

    @torch.inference_mode()
    def _run(self, image: np.ndarray) -> np.ndarray:
        """Return float32 [D, h, w] for an image uint8 [H, W, 3] or [H, W]."""
        network, info = self._loaded
        pixels = one_input(image, info.size)
        return network(pixels.to(self.device)).fused[0].float().cpu().numpy()
