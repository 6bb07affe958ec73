# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""Images that are decoded only when somebody looks at them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np


class Pixels(Protocol):
    """Where an image comes from."""

    def read(self) -> np.ndarray:
        """Return uint8 [H, W, 3] in RGB, or uint8/uint16 [H, W] for one channel."""


@dataclass(frozen=True, eq=False)
class RawPixels:
    """An image in memory: uint8 [H, W, 3] RGB, or [H, W]."""

    array: np.ndarray

    def read(self) -> np.ndarray:
        """Return the array itself."""
        return self.array


@dataclass(frozen=True, eq=False)
class EncodedPixels:
    """A JPEG or PNG in memory. `format` is what sensor_msgs/CompressedImage calls it: 'jpeg' or 'png'."""

    data: bytes | memoryview | np.ndarray
    format: str = 'jpeg'
    origin: str = 'compressed image'

    def read(self) -> np.ndarray:
        """Decode. Raises ValueError if the bytes are no image."""
        return _decode(np.frombuffer(self.data, np.uint8), self.origin)


@dataclass(frozen=True)
class ImageFile:
    """An image file on disk."""

    path: Path

    @property
    def format(self) -> str:
        """The name sensor_msgs/CompressedImage has for the file's encoding."""
        return {'.jpg': 'jpeg'}.get(self.path.suffix.lower(), self.path.suffix.lower().lstrip('.'))

    def encoded(self) -> bytes:
        """Return the file's bytes. Raises FileNotFoundError naming the image."""
        try:
            return self.path.read_bytes()
        except FileNotFoundError:
            raise FileNotFoundError(f'image {self.path} is missing: was the dataset unpacked completely?') from None

    def read(self) -> np.ndarray:
        """Decode the file. Raises FileNotFoundError or ValueError naming the file."""
        return _decode(np.frombuffer(self.encoded(), np.uint8), str(self.path))


def _decode(data: np.ndarray, origin: str) -> np.ndarray:
    import cv2  # only readers of pixels need it

    image = cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if data.size else None
    if image is None:
        raise ValueError(f'{origin}: {data.size} bytes that are no image OpenCV can decode')
    if image.ndim == 2:
        return image
    return cv2.cvtColor(image, cv2.COLOR_BGRA2RGB if image.shape[2] == 4 else cv2.COLOR_BGR2RGB)
