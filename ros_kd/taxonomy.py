# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""Sets of classes with names and colours, and the maps between them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

IGNORE = 255


@dataclass(frozen=True)
class Taxonomy:
    """A set of classes.

    names: by class id; None where an id is unused. colors: RGB 0..255, one for each name.
    maps: for other taxonomies, by name, the class id there of each own id (missing = ignored there).
    """

    name: str
    names: tuple[str | None, ...]
    colors: tuple[tuple[int, int, int], ...]
    maps: dict[str, dict[int, int]] = field(default_factory=dict, hash=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        if len(self.names) != len(self.colors):
            raise ValueError(f'taxonomy "{self.name}" has {len(self.names)} names but {len(self.colors)} colours')

    def __len__(self) -> int:
        return len(self.names)

    @cached_property
    def palette(self) -> np.ndarray:
        """Colours uint8 [256 or more, 3] by class id; unknown ids are black."""
        table = np.zeros((max(256, len(self)), 3), np.uint8)
        table[:len(self)] = self.colors
        return table

    def lookup_to(self, target: Taxonomy) -> np.ndarray:
        """Return uint8 [65536], the class id in `target` of each own id, IGNORE where there is none.

        Raises ValueError naming the taxonomies that a map exists for.
        """
        table = np.full(65536, IGNORE, np.uint8)
        if target.name == self.name or target.names == self.names:
            used = [i for i, name in enumerate(self.names) if name is not None]
            table[used] = used
        elif target.name in self.maps:
            for own, other in self.maps[target.name].items():
                table[own] = other
        else:
            raise ValueError(f'no map from labels "{self.name}" to "{target.name}"; '
                             f'"{self.name}" maps to {sorted(self.maps) or "nothing else"}')
        return table

    def to_json(self) -> str:
        """Return the JSON that ~/label_info, checkpoints and bags carry: name and classes with id, name and colour."""
        classes = [{'id': i, 'name': name, 'color': list(map(int, color))}
                   for i, (name, color) in enumerate(zip(self.names, self.colors)) if name is not None]
        return json.dumps({'taxonomy': self.name, 'classes': classes})

    @classmethod
    def from_json(cls, text: str) -> Taxonomy:
        """Read `to_json`'s text, without maps (see label_sets.read_taxonomy). Raises ValueError for other text."""
        try:
            data = json.loads(text)
            classes = {int(c['id']): (str(c['name']), tuple(int(v) for v in c['color'])) for c in data['classes']}
            name = str(data['taxonomy'])
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f'label info is not the JSON of a taxonomy ({error}): {text[:80]!r}') from None
        size = max(classes, default=-1) + 1
        names = tuple(classes[i][0] if i in classes else None for i in range(size))
        colors = tuple(classes[i][1] if i in classes else (0, 0, 0) for i in range(size))
        return cls(name, names, colors)
