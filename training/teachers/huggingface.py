# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""Semantic segmentation networks of Hugging Face transformers, from a local folder or the hub."""

from __future__ import annotations

import logging
from collections import OrderedDict
from typing import Any

import numpy as np
import torch

from ros_kd.frames import CameraView
from ros_kd.label_sets import get_taxonomy
from ros_kd.taxonomy import IGNORE, Taxonomy
from training.sampling import Grid, bilinear
from training.teachers import Teacher

_KEPT = 32  # maps of recent images: neighbouring scans look at the same image
_IMAGENET = {'image_mean': (0.485, 0.456, 0.406), 'image_std': (0.229, 0.224, 0.225)}


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


class HuggingFace(Teacher):
    """A network of AutoModelForSemanticSegmentation or AutoModelForUniversalSegmentation.

    model: local folder or name on the hub. taxonomy: its classes are found by name in the network's id2label; names:
    the taxonomy's name for classes called otherwise. size: [height, width] that images are resized to; None: as the
    network's own image processor says. device: where it runs. Weights are read from safetensors only.
    """

    def __init__(self, model: str, taxonomy: str = 'cityscapes', names: dict[str, str] | None = None,
                 size: tuple[int, int] | None = None, device: str = 'auto') -> None:
        self.taxonomy = get_taxonomy(taxonomy)
        self.device = device if device != 'auto' else 'cuda' if torch.cuda.is_available() else 'cpu'
        self.size = size
        self.network, self.processor = _load(model)
        self.network.eval().requires_grad_(False).to(self.device)
        labels = {int(i): str(label) for i, label in self.network.config.id2label.items()}
        self._ids = class_ids(labels, self.taxonomy, names or {})
        self._maps: OrderedDict[Any, np.ndarray] = OrderedDict()
        self._identity = f'huggingface {model} {taxonomy} {sorted((names or {}).items())} size {size}'

    @property
    def identity(self) -> str:
        """See Teacher."""
        return self._identity

    def probabilities(self, view: CameraView, uv: np.ndarray) -> np.ndarray:
        """Return the network's probabilities, bilinear between the cells of its output; see Teacher."""
        scores = self._maps.pop(view.pixels, None)
        if scores is None:
            scores = self._run(view.image())
        self._maps[view.pixels] = scores
        while len(self._maps) > _KEPT:
            self._maps.popitem(last=False)
        size = (scores.shape[2], scores.shape[1])
        return bilinear(scores, uv, Grid.covering(size, (view.camera.width, view.camera.height)))

    @torch.inference_mode()
    def _run(self, image: np.ndarray) -> np.ndarray:
        """Return float32 [len(taxonomy), h, w] for an image uint8 [H, W, 3]."""
        if image.ndim == 2:
            image = np.repeat(image[..., None], 3, 2)
        output = self.network(pixel_values=self._prepare(image).to(self.device))
        if hasattr(output, 'masks_queries_logits'):  # the queries' classes, weighted by their masks (MaskFormer)
            classes = output.class_queries_logits[0].softmax(-1)[:, :-1]
            scores = torch.einsum('qc,qhw->chw', classes, output.masks_queries_logits[0].sigmoid())
            scores = scores / scores.sum(0).clamp(min=1)
        else:
            scores = output.logits[0].softmax(0)
        scores = scores[:len(self._ids)].float().cpu().numpy()
        result = np.zeros((len(self.taxonomy), *scores.shape[1:]), np.float32)
        known = self._ids != IGNORE
        np.add.at(result, self._ids[known], scores[known])
        return result

    def _prepare(self, image: np.ndarray) -> torch.Tensor:
        """Return the network's input, float32 [1, 3, h, w]."""
        if self.processor is None:
            pixels = torch.from_numpy(image.astype(np.float32) / 255).permute(2, 0, 1)[None]
            if self.size is not None:
                pixels = torch.nn.functional.interpolate(pixels, tuple(self.size), mode='bilinear', antialias=True)
            mean, std = (torch.tensor(_IMAGENET[name]).view(1, 3, 1, 1) for name in ('image_mean', 'image_std'))
            return (pixels - mean) / std
        options: dict[str, Any] = {}
        if self.size is not None:
            options['size'] = {'height': self.size[0], 'width': self.size[1]}
        if getattr(self.processor, 'do_center_crop', False):
            options['do_center_crop'] = False  # the borders of the image have points, too
        return self.processor(images=image, return_tensors='pt', **options)['pixel_values']


def _load(model: str) -> tuple[Any, Any]:
    """Return the network and its image processor (None if the folder has none: then as for ImageNet)."""
    import transformers

    logging.getLogger('transformers').setLevel(logging.ERROR)  # it lists every missing torchvision variant
    errors = []
    for kind in (transformers.AutoModelForSemanticSegmentation, transformers.AutoModelForUniversalSegmentation):
        try:
            network = kind.from_pretrained(model, use_safetensors=True)
            break
        except (OSError, ValueError) as error:
            errors.append(str(error).splitlines()[0])
    else:
        raise ValueError(f'no segmentation network at "{model}": {"; ".join(errors)}')
    try:
        processor = transformers.AutoImageProcessor.from_pretrained(model)
    except (OSError, ValueError, ImportError):
        processor = None
    return network, processor
