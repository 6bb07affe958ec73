# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""Semantic segmentation networks of Hugging Face transformers, from a local folder or the hub."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch

from ros_kd.frames import CameraView
from ros_kd.label_sets import get_taxonomy
from ros_kd.students.predictor import chosen_device
from ros_kd.taxonomy import IGNORE, Taxonomy
from training.frames.sampling import Grid, bilinear
from training.teachers import FeatureTeacher, known_part
from training.teachers.classifier import Classifier
from training.teachers.pretrained import ImageInput, RecentMaps, fingerprint, load

_NEVER = -1e4  # the logit of a class that the network does not know; finite, so that it stays one in half precision


def _plain(name: str) -> str:
    return name.split(';')[0].split(',')[0].strip().lower().replace('_', ' ').replace('-', ' ')


def class_ids(labels: dict[int, str], taxonomy: Taxonomy, names: dict[str, str]) -> np.ndarray:
    """Return uint8 [K], the id in `taxonomy` of each class of a network, IGNORE where its name is unknown there.

    names: the taxonomy's name for classes that the network calls otherwise. Raises ValueError if nothing matches or a
    name is none of the taxonomy.
    """
    known = {_plain(name): i for i, name in enumerate(taxonomy.names) if name is not None}
    renamed = {_plain(own): _plain(other) for own, other in names.items()}
    wrong = sorted(set(renamed.values()) - set(known))
    if wrong:
        raise ValueError(f'names map to {wrong}, but taxonomy "{taxonomy.name}" has {sorted(known)}')
    ids = np.full(max(labels) + 1, IGNORE, np.uint8)
    for i, label in labels.items():
        ids[i] = known.get(renamed.get(_plain(label), _plain(label)), IGNORE)
    if (ids == IGNORE).all():
        raise ValueError(f'no class of the network ({list(labels.values())[:12]} ...) is called like one of taxonomy '
                         f'"{taxonomy.name}" ({sorted(known)}): give `taxonomy` or `names`')
    return ids


@dataclass(frozen=True, eq=False)
class _Maps:
    """What a network says of an image. scores: float32 [len(taxonomy), h, w]; features: float32 [D, h', w'] if any."""

    scores: np.ndarray
    features: np.ndarray | None

    @property
    def nbytes(self) -> int:
        return self.scores.nbytes + (0 if self.features is None else self.features.nbytes)


class HuggingFace(FeatureTeacher):
    """A network of AutoModelForSemanticSegmentation or AutoModelForUniversalSegmentation.

    Its features are what its last, linear layer sees (SegFormer, UPerNet: `classifier` is that layer), or the per-pixel
    embeddings that its queries are compared with (MaskFormer, Mask2Former, which have no such layer).

    model: local folder or name on the hub. taxonomy: its classes are found by name in the network's id2label; names:
    the taxonomy's name for classes called otherwise. size: [height, width] that images are resized to; None: as the
    network's own image processor says. device: where it runs. Weights are read from safetensors only.
    """

    def __init__(self, model: str, taxonomy: str = 'cityscapes', names: dict[str, str] | None = None,
                 size: tuple[int, int] | None = None, device: str = 'auto') -> None:
        import transformers

        self.device = chosen_device(device)
        self.network, processor = load(model, 'segmentation network', (
            transformers.AutoModelForSemanticSegmentation, transformers.AutoModelForUniversalSegmentation))
        self.network.to(self.device)
        self.input = ImageInput(processor, size)
        labels = {int(i): str(label) for i, label in self.network.config.id2label.items()}
        self._ids = class_ids(labels, get_taxonomy(taxonomy), names or {})
        self.taxonomy = known_part(get_taxonomy(taxonomy), np.isin(np.arange(len(get_taxonomy(taxonomy))), self._ids))
        self._head = _linear_head(self.network, len(labels))
        self._maps: RecentMaps[_Maps] = RecentMaps()
        self._features_wanted = False
        self._identity = (f'huggingface {model} {fingerprint(self.network)} {taxonomy} '
                          f'{sorted((names or {}).items())} size {size}')

    @property
    def identity(self) -> str:
        """See Teacher."""
        return self._identity

    @property
    def width(self) -> int:
        """See FeatureTeacher. Raises ValueError if the network has no features for each pixel."""
        if self._head is not None:
            return self._head.in_channels
        width = getattr(self.network.config, 'mask_feature_size', None)
        if width is None:
            raise ValueError(f'teacher {type(self.network).__name__} has no features for each pixel that could be '
                             'learnt: use a SegFormer, UPerNet, MaskFormer or Mask2Former')
        return width

    @cached_property
    def classifier(self) -> Classifier | None:
        """The network's last layer, rows in the order of the taxonomy, those of other classes behind.

        None if it has none, or if several of its classes are one of the taxonomy. A class that it does not know has
        a logit that never wins.
        """
        known = self._ids[self._ids != IGNORE]
        if self._head is None or len(np.unique(known)) < len(known):
            return None
        weight = self._head.weight.detach()[:, :, 0, 0].float().cpu().numpy()
        bias = np.zeros(len(weight), np.float32)
        if self._head.bias is not None:
            bias = self._head.bias.detach().float().cpu().numpy()
        others = np.setdiff1d(np.arange(len(weight)), np.nonzero(self._ids != IGNORE)[0])
        rows = np.zeros((len(self.taxonomy), weight.shape[1]), np.float32)
        offsets = np.full(len(self.taxonomy), _NEVER, np.float32)
        rows[known], offsets[known] = weight[self._ids != IGNORE], bias[self._ids != IGNORE]
        return Classifier(np.concatenate([rows, weight[others]]), np.concatenate([offsets, bias[others]]))

    def probabilities(self, view: CameraView, uv: np.ndarray) -> np.ndarray:
        """Return the network's probabilities, bilinear between the cells of its output; see Teacher."""
        return _at(self._answers(view).scores, view, uv)

    def features(self, view: CameraView, uv: np.ndarray) -> np.ndarray:
        """Return the network's features, bilinear between their cells; see FeatureTeacher."""
        if not self._features_wanted:  # maps kept so far lack them
            self.width
            self._features_wanted, self._maps = True, RecentMaps()
        return _at(self._answers(view).features, view, uv)

    def _answers(self, view: CameraView) -> _Maps:
        return self._maps.get(view.pixels, lambda: self._run(view.image()))

    @torch.inference_mode()
    def _run(self, image: np.ndarray) -> _Maps:
        """Run the network on an image uint8 [H, W, 3]."""
        seen: list[torch.Tensor] = []
        hook = None
        if self._features_wanted and self._head is not None:
            hook = self._head.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
        try:
            output = self.network(pixel_values=self.input(image).to(self.device))
        finally:
            if hook is not None:
                hook.remove()
        if self._features_wanted and self._head is None:
            seen.append(output.pixel_decoder_last_hidden_state)
        features = seen[0][0].float().cpu().numpy() if seen else None
        return _Maps(self._in_taxonomy(_scores(output)), features)

    def _in_taxonomy(self, scores: torch.Tensor) -> np.ndarray:
        """Return float32 [len(taxonomy), h, w] of the network's own scores [K, h, w]."""
        own = scores[:len(self._ids)].float().cpu().numpy()
        result = np.zeros((len(self.taxonomy), *own.shape[1:]), np.float32)
        known = self._ids != IGNORE
        np.add.at(result, self._ids[known], own[known])
        return result


def _scores(output: Any) -> torch.Tensor:
    """Return the probabilities [K, h, w] of a network's output."""
    if not hasattr(output, 'masks_queries_logits'):
        return output.logits[0].softmax(0)
    # The queries' classes, weighted by their masks (MaskFormer, Cheng et al. 2021, section 3.4).
    classes = output.class_queries_logits[0].softmax(-1)[:, :-1]
    scores = torch.einsum('qc,qhw->chw', classes, output.masks_queries_logits[0].sigmoid())
    return scores / scores.sum(0).clamp(min=1)


def _linear_head(network: torch.nn.Module, classes: int) -> torch.nn.Conv2d | None:
    """Return the 1x1 convolution from features to logits, or None if the network ends otherwise."""
    head = getattr(getattr(network, 'decode_head', None), 'classifier', None)
    linear = isinstance(head, torch.nn.Conv2d) and head.kernel_size == (1, 1) and head.groups == 1
    return head if linear and head.out_channels == classes else None


def _at(maps: np.ndarray, view: CameraView, uv: np.ndarray) -> np.ndarray:
    return bilinear(maps, uv, Grid.covering((maps.shape[2], maps.shape[1]), (view.camera.width, view.camera.height)))
