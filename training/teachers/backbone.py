# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""Frozen backbones without classes, such as DINOv2 or a self-supervised ResNet, of Hugging Face transformers."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from ros_kd.frames import CameraView
from ros_kd.students.predictor import chosen_device
from training.frames.sampling import Grid, bilinear
from training.images.network import one_input
from training.teachers import NO_CLASSES, FeatureTeacher
from training.teachers.pretrained import RecentMaps, fingerprint, load


class Backbone(FeatureTeacher):
    """The features of a network of AutoBackbone (DINOv2, ResNet, Swin, ConvNeXt) or the patches of a vision transformer
    of AutoModel (DINO, CLIP, SigLIP).

    model: local folder or name on the hub, such as facebook/dinov2-small (stride 14) or a self-supervised ResNet-50.
    stage: which features, as the network calls them ("stage4"); None: its last. stride: of a ResNet's last features,
    4 to 32; strides below 32 are dilated instead (as the image side of PPKT and SLidR, Liu et al. 2021, Sautier et al.
    2022); None: as the network is. size: [height, width] that images are resized to; None: as they are. Both are
    rounded to whole patches. Weights are read from safetensors only.
    """

    taxonomy = NO_CLASSES
    classifier = None

    def __init__(self, model: str, stage: str | None = None, stride: int | None = None,
                 size: tuple[int, int] | None = None, device: str = 'auto') -> None:
        import transformers

        self.device, self.size = chosen_device(device), size
        options = {} if stage is None else {'out_features': [stage]}
        config = _config(model)
        backbones = transformers.MODEL_FOR_BACKBONE_MAPPING  # AutoBackbone itself asks the hub about local folders
        known = type(config) in backbones
        kind = backbones[type(config)] if known else transformers.AutoModel
        if stage is not None and not known:
            raise ValueError(f'stage "{stage}" of "{model}": a {config.model_type} has no stages; leave stage out for '
                             'its last patches')
        self.network, processor = load(model, 'image backbone', (kind,), **options)
        self.network = getattr(self.network, 'vision_model', self.network)  # of networks of images and texts
        if stride is not None:
            dilate(self.network, stride)
        self.network.to(self.device)
        names = {'mean': 'image_mean', 'deviation': 'image_std'}
        self._looks = {own: getattr(processor, name) for own, name in names.items()
                       if getattr(processor, name, None) is not None}
        self._patch = _patch_of(self.network.config)
        self._maps: RecentMaps[np.ndarray] = RecentMaps()
        self._identity = f'backbone {model} {fingerprint(self.network)} {stage} stride {stride} size {size}'
        probe = self._run(np.zeros((4 * self._patch[0], 4 * self._patch[1], 3), np.uint8))
        self._width = len(probe)
        # A padded convolution's cell lies at the pixel that it steps to; a patch's in the patch's middle.
        stepping = self.network.config.model_type == 'resnet'
        self._shift = 0.5 - 0.5 * probe.shape[1] / (4 * self._patch[0]) if stepping else 0.0

    @property
    def identity(self) -> str:
        """See Teacher."""
        return self._identity

    @property
    def width(self) -> int:
        """See FeatureTeacher."""
        return self._width

    def features(self, view: CameraView, uv: np.ndarray) -> np.ndarray:
        """Return the backbone's features, bilinear between their cells; see FeatureTeacher."""
        maps = self._maps.get(view.pixels, lambda: self._run(view.image()))
        size = (maps.shape[2], maps.shape[1])
        return bilinear(maps, uv, Grid.covering(size, (view.camera.width, view.camera.height), self._shift))

    @torch.inference_mode()
    def _run(self, image: np.ndarray) -> np.ndarray:
        """Return float32 [D, h, w] for an image uint8 [H, W, 3] or [H, W]."""
        wanted = self.size if self.size is not None else image.shape[:2]
        height, width = (max(round(length / patch), 1) * patch for length, patch in zip(wanted, self._patch))
        pixels = one_input(image, (height, width), **self._looks).to(self.device)
        if hasattr(self.network, 'out_features'):
            maps = self.network(pixel_values=pixels).feature_maps[-1][0]
        else:
            maps = self._patches(pixels)
        return maps.float().cpu().numpy()

    def _patches(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return [D, h, w]: the last tokens of a transformer; classes and registers come before the patches."""
        rows, columns = (length // patch for length, patch in zip(pixels.shape[2:], self._patch))
        tokens = self.network(pixel_values=pixels, interpolate_pos_encoding=True).last_hidden_state[0]
        if tokens.ndim != 2 or len(tokens) < rows * columns:
            raise ValueError(f'{type(self.network).__name__} answers {tuple(tokens.shape)}, expected a token for each '
                             f'of {rows} x {columns} patches: use a backbone or a vision transformer')
        return tokens[-rows * columns:].T.reshape(-1, rows, columns)


def _config(model: str) -> Any:
    import transformers

    try:
        return transformers.AutoConfig.from_pretrained(model)
    except (OSError, ValueError) as error:
        raise ValueError(f'no image backbone at "{model}": {str(error).splitlines()[0]}') from None


def _patch_of(config: Any) -> tuple[int, int]:
    """Return the height and width that images must be multiples of."""
    if config.model_type == 'resnet':
        return 32, 32
    patch = getattr(config, 'patch_size', None) or 32
    if isinstance(patch, int):
        patch = (patch, patch)
    # Stages of a hierarchical transformer halve the patches.
    halvings = max(len(getattr(config, 'depths', None) or [0]) - 1, 0)
    return patch[0] << halvings, patch[1] << halvings


def dilate(network: torch.nn.Module, stride: int) -> None:
    """Make a ResNet's last features come at a finer stride (4, 8, 16, 32) with the same weights.

    Convolutions that would step beyond `stride` do not step, and those behind them look as far as before by dilation
    (Yu et al. 2017, "Dilated Residual Networks"). Raises ValueError for other networks and strides.
    """
    if network.config.model_type != 'resnet' or stride not in (4, 8, 16, 32):
        raise ValueError(f'stride {stride} of a {network.config.model_type}: only a resnet can be dilated, to 4, 8, 16 '
                         'or 32; leave stride out')
    reached, dilation = 4, 1
    for stage in network.encoder.stages[1:]:
        before, dilated = dilation, reached >= stride
        reached, dilation = (reached, 2 * dilation) if dilated else (2 * reached, dilation)
        for layer in stage.modules():
            if not isinstance(layer, torch.nn.Conv2d):
                continue
            # The convolution that stepped looks at maps of the stage before.
            spread = dilation if layer.stride == (1, 1) else before
            if dilated:
                layer.stride = (1, 1)
            if layer.kernel_size != (1, 1):
                layer.dilation = (spread, spread)
                layer.padding = tuple(spread * (size // 2) for size in layer.kernel_size)
