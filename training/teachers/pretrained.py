# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""What all teachers of Hugging Face transformers share: loading, preparing images, keeping recent answers."""

from __future__ import annotations

import logging
import zlib
from collections import OrderedDict
from typing import Any, Callable, Generic, Hashable, Protocol, Sequence, TypeVar

import numpy as np
import torch

from training.images.looking import in_color
from training.images.network import one_input

_KEPT = 256 << 20  # bytes of maps of recent images: neighbouring scans look at the same image
_SAMPLED = 256  # values of each tensor that tell weights apart
_UNUSED = ('pooler', 'mask_token')  # parts that answers do not depend on


class _Sized(Protocol):
    @property
    def nbytes(self) -> int: ...


Kept = TypeVar('Kept', bound=_Sized)


class RecentMaps(Generic[Kept]):
    """The answers to the last images, up to `most` bytes; the last one is always kept."""

    def __init__(self, most: int = _KEPT) -> None:
        self.most = most
        self._kept: OrderedDict[Hashable, Kept] = OrderedDict()

    def get(self, image: Hashable, make: Callable[[], Kept]) -> Kept:
        """Return what is kept for an image, or make it."""
        found = self._kept.pop(image, None)
        if found is None:
            found = make()
        self._kept[image] = found
        size = sum(maps.nbytes for maps in self._kept.values())
        while size > self.most and len(self._kept) > 1:
            size -= self._kept.popitem(last=False)[1].nbytes
        return found


class ImageInput:
    """Makes a network's input of an image, edge to edge, without cropping.

    processor: the network's own image processor; None: as for ImageNet. size: [height, width] to resize to; None: as
    the processor says, or as the image is.
    """

    def __init__(self, processor: Any, size: tuple[int, int] | None = None) -> None:
        self.processor, self.size = processor, size

    def __call__(self, image: np.ndarray) -> torch.Tensor:
        """Return float32 [1, 3, h, w] for an image uint8 [H, W, 3] or [H, W]."""
        image = in_color(image)
        if self.processor is None:
            return one_input(image, self.size)
        options: dict[str, Any] = {}
        if self.size is not None:
            options['size'] = {'height': self.size[0], 'width': self.size[1]}
        if getattr(self.processor, 'do_center_crop', False):
            options['do_center_crop'] = False  # the borders of the image have points, too
        return self.processor(images=image, return_tensors='pt', **options)['pixel_values']


def load(model: str, what: str, kinds: Sequence[Any], **options: Any) -> tuple[Any, Any]:
    """Return a frozen network, by the first of the Auto classes that knows it, and its image processor or None.

    options: for from_pretrained. Raises ValueError naming the model and saying `what` was looked for.
    """
    import transformers

    logging.getLogger('transformers').setLevel(logging.ERROR)  # it lists every missing torchvision variant
    errors = []
    for kind in kinds:
        try:
            network, report = kind.from_pretrained(model, use_safetensors=True, output_loading_info=True, **options)
            break
        except (OSError, ValueError) as error:
            errors.append(str(error).splitlines()[0])
    else:
        raise ValueError(f'no {what} at "{model}": {"; ".join(errors)}')
    missing = sorted(name for name in report['missing_keys'] if not any(part in name for part in _UNUSED))
    if missing:  # they would be random numbers
        raise ValueError(f'"{model}" lacks weights of a {what}, {len(missing)} such as {missing[0]}: expected a '
                         'network that was trained for it')
    try:
        processor = transformers.AutoImageProcessor.from_pretrained(model)
    except (OSError, ValueError, ImportError):
        processor = None
    return network.eval().requires_grad_(False), processor


def fingerprint(network: torch.nn.Module) -> str:
    """Return a text that differs for other weights: two networks of one name, or one trained further."""
    total = 0
    for name, tensor in network.state_dict().items():
        sample = tensor.flatten()[:: max(tensor.numel() // _SAMPLED, 1)]
        total = zlib.crc32(sample.float().cpu().numpy().tobytes(), zlib.crc32(name.encode(), total))
    return f'{total:08x}'
