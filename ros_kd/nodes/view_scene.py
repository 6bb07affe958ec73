# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""What the browser shows: each class of a labelled cloud as an entity that can be hidden, the legend, images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Iterator, Sequence

import numpy as np
import rerun as rr
import rerun.blueprint as rrb

from ros_kd import clouds
from ros_kd.images import EncodedPixels, Pixels
from ros_kd.pictures import as_rgb, fit, legend
from ros_kd.taxonomy import Taxonomy

UNLABELLED = 256  # beyond the class ids
POINT_SIZE = rr.Radius.ui_points(1.5)
BACKGROUND = (20, 20, 24)
GREY = (90, 90, 90)
JPEG_QUALITY = 80
FLUSH = 5.0  # seconds
_part = rr.escape_entity_path_part


@dataclass(frozen=True, eq=False)
class LabelledPoints:
    """Finite points float32 [N, 3], class ids uint16 [N] (UNLABELLED: none), colours uint32 [N] 0xRRGGBBAA or None."""

    points: np.ndarray
    group: np.ndarray
    rgba: np.ndarray | None

    def groups(self) -> Iterator[tuple[int, np.ndarray, np.ndarray | None]]:
        """Yield class id, points [M, 3] and colours [M] of each class that there is."""
        order = np.argsort(self.group, kind='stable')
        ids, begins = np.unique(self.group[order], return_index=True)
        for group, rows in zip(ids.tolist(), np.split(order, begins[1:])):
            yield group, self.points[rows], None if self.rgba is None else self.rgba[rows]


def labelled_points(records: np.ndarray) -> LabelledPoints:
    """Return what is to be seen of a structured array [N] with x, y, z and some of label, confidence and rgb.

    Raises ValueError if x, y or z is missing.
    """
    points, names = clouds.positions(records), records.dtype.names
    rows = np.flatnonzero(np.isfinite(points).all(1))
    group = np.full(len(rows), UNLABELLED, np.uint16)
    if 'label' in names:
        known = records['confidence'][rows] > 0 if 'confidence' in names else np.ones(len(rows), bool)
        np.copyto(group, records['label'][rows], where=known, casting='unsafe')
    rgba = None
    if 'rgb' in names:
        packed = np.ascontiguousarray(records['rgb'][rows], np.float32).view(np.uint32)
        rgba = packed << np.uint32(8) | np.uint32(255)
    return LabelledPoints(points[rows], group, rgba)


class Scene:
    """Logs to a Rerun server, in whichever thread calls. sources: names of the clouds; images: names of the images."""

    def __init__(self, sink: str, sources: Sequence[str], images: Sequence[str]) -> None:
        self._taxonomies = {source: Taxonomy('unknown', (), ()) for source in sources}
        self._shown: dict[str, set[str]] = {source: set() for source in sources}
        self._stream = rr.RecordingStream('ros_kd')
        self._stream.connect_grpc(sink, default_blueprint=_blueprint(sources, images))
        self._stream.log('clouds', rr.ViewCoordinates.FLU, static=True)

    def show_classes(self, source: str, taxonomy: Taxonomy) -> None:
        """Name and colour the classes of a source from now on."""
        self._taxonomies[source] = taxonomy
        picture = rr.Image(legend(taxonomy), magnification_filter='Linear')
        self._stream.log(_path('legend', source), picture, static=True)

    def show_points(self, source: str, seen: LabelledPoints, stamp: int, pose: np.ndarray | None = None) -> None:
        """Show a cloud instead of the last one of this source.

        stamp: ns. pose: of the cloud's frame, float64 [4, 4], None where it is the scene's own.
        """
        path, taxonomy = _path('clouds', source), self._taxonomies[source]
        self._stream.set_time('stamp', timestamp=np.datetime64(stamp, 'ns'))
        if pose is not None:
            self._stream.log(path, rr.Transform3D(translation=pose[:3, 3], mat3x3=pose[:3, :3]))
        shown = set()
        for group, points, rgba in seen.groups():
            name, color = _class(taxonomy, group)
            shown.add(name)
            colors = color if rgba is None else rgba
            self._stream.log(f'{path}/{_part(name)}', rr.Points3D(points, colors=colors, radii=POINT_SIZE))
        for name in self._shown[source] - shown:
            self._stream.log(f'{path}/{_part(name)}', rr.Clear(recursive=False))
        self._shown[source] = shown
        self._stream.flush(timeout_sec=FLUSH)  # the next cloud waits, rather than a queue of them

    def show_image(self, name: str, pixels: Pixels, stamp: int, width: int) -> None:
        """Show an image, JPEG and PNG as they came, others at most `width` wide. Raises ValueError if it is none."""
        if isinstance(pixels, EncodedPixels):
            shown = rr.EncodedImage(contents=bytes(pixels.data), media_type=f'image/{pixels.format}')
        else:
            picture = as_rgb(pixels.read())
            shown = rr.Image(fit(picture, min(width, picture.shape[1]))).compress(JPEG_QUALITY)
        self._stream.set_time('stamp', timestamp=np.datetime64(stamp, 'ns'))
        self._stream.log(_path('images', name), shown)
        self._stream.flush(timeout_sec=FLUSH)

    def close(self) -> None:
        """Log no more."""
        self._stream.disconnect()


def _class(taxonomy: Taxonomy, group: int) -> tuple[str, tuple[int, int, int]]:
    """Return name and colour of a class, also of one that nobody has named."""
    if group == UNLABELLED:
        return 'without label', GREY
    name = taxonomy.names[group] if group < len(taxonomy) else None
    if name is None:
        return f'class {group}', GREY
    return name if taxonomy.names.index(name) == group else f'{name} ({group})', taxonomy.colors[group]


def _path(room: str, topic: str) -> str:
    """Return the entity of a topic."""
    return '/'.join([room, *map(_part, topic.strip('/').split('/'))])


def _blueprint(sources: Sequence[str], images: Sequence[str]) -> rrb.Blueprint:
    """Return the layout: the clouds beside the legends and the images."""
    clouds_view = rrb.Spatial3DView(
        origin='clouds', name='Labelled cloud', background=BACKGROUND,
        eye_controls=rrb.EyeControls3D(kind=rrb.Eye3DKind.Orbital, position=(-22, 0, 16), look_target=(8, 0, 0)))
    beside = [rrb.Spatial2DView(origin=_path('legend', source), name=f'Classes of {source}') for source in sources]
    beside += [rrb.Spatial2DView(origin=_path('images', name), name=name) for name in images]
    # Follows the time of arrival: stamps jump back when a drive is replayed, and a viewer that follows them would stay.
    return rrb.Blueprint(
        rrb.Horizontal(clouds_view, rrb.Vertical(*beside), column_shares=[5, 2 if images else 1]),
        rrb.TimePanel(state='collapsed', timeline='log_time', play_state='following'),
        rrb.SelectionPanel(state='collapsed'), rrb.BlueprintPanel(state='expanded'))
