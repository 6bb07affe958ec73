# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Check calibration and time by eye: points over the images, and the cloud in the images' colours from above.

Depth edges must sit on the edges of poles, cars and people.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ros_kd import pictures
from ros_kd.frames import CameraView, PairedFrame
from ros_kd.projection import OcclusionFilter, Projection, project
from ros_kd.taxonomy import Taxonomy


@dataclass(frozen=True)
class Style:
    """What to draw. cameras: all if empty. taxonomy: labels are mapped to it if given.

    radius: of a point, pixels; None: by density. width: of a picture, pixels, at most.
    """

    cameras: tuple[str, ...] = ()
    occlusion: OcclusionFilter | None = OcclusionFilter()
    taxonomy: Taxonomy | None = None
    radius: int | None = None
    width: int = 800


@dataclass(frozen=True, eq=False)
class Picture:
    """What one sees, and the picture uint8 [H, W, 3], RGB."""

    caption: str
    pixels: np.ndarray


@dataclass(frozen=True, eq=False)
class DrawnView:
    """A camera's pictures; how many points it sees, and how many are hidden behind nearer ones.

    stamp: ns. delay: of the image after the scan, ns.
    """

    camera: str
    stamp: int
    delay: int
    visible: int
    hidden: int
    pictures: tuple[Picture, ...]


@dataclass(frozen=True, eq=False)
class DrawnFrame:
    """A frame's pictures: of each camera, and from above. points: how many the scan has."""

    key: str
    stamp: int
    points: int
    views: tuple[DrawnView, ...]
    above: tuple[Picture, ...]


def draw(frame: PairedFrame, style: Style) -> DrawnFrame:
    """Draw a frame.

    Raises ValueError for labels that do not map to the wanted taxonomy or an image that cannot be decoded, KeyError for
    a camera that the frame lacks, OSError for an image file that is gone.
    """
    scan, views = frame.scan, [frame.view(camera) for camera in style.cameras] or list(frame.views)
    labels, taxonomy = _mapped(scan.label, scan.taxonomy, style.taxonomy)
    seen_colors, drawn = np.full((len(scan), 3), 70, np.uint8), []
    for view in views:
        everything, seen = project(scan.points, view, None), project(scan.points, view, style.occlusion)
        image = pictures.as_rgb(view.image())
        seen_colors[seen.index] = pictures.sample(image, seen.uv)
        drawn.append(DrawnView(view.name, view.stamp, view.stamp - frame.stamp, len(seen.index),
                               len(everything.index) - len(seen.index),
                               tuple(_over(image, view, seen, labels, taxonomy, style))))
    above = tuple(_from_above(frame, seen_colors, labels, taxonomy))
    return DrawnFrame(frame.key, frame.stamp, len(scan), tuple(drawn), above)


def _over(image: np.ndarray, view: CameraView, seen: Projection, labels: np.ndarray | None, taxonomy: Taxonomy | None,
          style: Style) -> list[Picture]:
    """Return the view's pictures: points by depth, then by label where there are labels."""
    radius = style.radius or pictures.radius_by_density(image, len(seen.index))
    shown = [Picture('depth, red 2 m to blue 60 m',
                     pictures.over_image(image, seen.uv, pictures.depth_colors(seen.depth), radius, seen.depth))]
    pixel_labels, pixel_taxonomy = _mapped(view.labels(), view.taxonomy, style.taxonomy)
    if labels is not None and taxonomy is not None:
        colors = pictures.class_colors(labels[seen.index], taxonomy)
        shown.append(Picture(f'labels of the points ({taxonomy.name})',
                             pictures.over_image(image, seen.uv, colors, radius, seen.depth, dim=0.6)))
    if pixel_labels is not None and pixel_taxonomy is not None:
        blended = pictures.over_labels(image, pictures.class_colors(pixel_labels, pixel_taxonomy))
        colors = pictures.class_colors(pictures.sample(pixel_labels, seen.uv), pixel_taxonomy)
        shown.append(Picture(f'label image and what the points take from it ({pixel_taxonomy.name})',
                             pictures.over_image(blended, seen.uv, colors, radius, seen.depth)))
    return [Picture(f'{view.name}: {picture.caption}',
                    pictures.fit(picture.pixels, min(style.width, image.shape[1]))) for picture in shown]


def _from_above(frame: PairedFrame, seen_colors: np.ndarray, labels: np.ndarray | None,
                taxonomy: Taxonomy | None) -> list[Picture]:
    shown = [Picture('from above in the colours of the images (grey: not seen)',
                     pictures.from_above(frame.points, seen_colors))]
    if labels is not None and taxonomy is not None:
        counts = np.bincount(labels, minlength=len(taxonomy))
        shown += [Picture(f'from above by label ({taxonomy.name})',
                          pictures.from_above(frame.points, pictures.class_colors(labels, taxonomy))),
                  Picture('share of the points', pictures.legend(taxonomy, counts))]
    return shown


def _mapped(labels: np.ndarray | None, taxonomy: Taxonomy | None,
            target: Taxonomy | None) -> tuple[np.ndarray | None, Taxonomy | None]:
    if labels is None or taxonomy is None or target is None:
        return labels, taxonomy
    return taxonomy.lookup_to(target)[labels], target
