# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Check calibration and time by eye: `ros2 run ros_kd overlay --dataset SPEC --out DIR`. Needs no running ROS.

For each frame and camera it draws the points over the image, by depth and by label, and the cloud in the image's
colours from above; index.html in DIR shows them. Depth edges must sit on the edges of poles, cars and people.
"""

from __future__ import annotations

import argparse
import html
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Sequence

import numpy as np

from ros_kd import pictures
from ros_kd.datasets import Dataset, open_dataset
from ros_kd.frames import CameraView, PairedFrame
from ros_kd.label_sets import get_taxonomy
from ros_kd.projection import OcclusionFilter, Projection, project
from ros_kd.taxonomy import Taxonomy

PAGE = '''<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title><style>body{{font:15px/1.5 sans-serif;margin:2em auto;max-width:90em;padding:0 1em}}
img{{max-width:100%;height:auto}}table{{border-collapse:collapse}}td,th{{padding:.2em 1em;border:1px solid #ccc;
text-align:right}}td:first-child,th:first-child{{text-align:left}}</style><h1>{title}</h1>
<p>Points over the images of {drawn} of {total} frames. Depth edges must sit on the edges of poles, cars and people: if
all are off the same way, check the extrinsics; if they are off more the faster the vehicle moves, check the stamps.</p>
{frames}</html>
'''


@dataclass(frozen=True)
class Settings:
    """What to draw. taxonomy: labels are mapped to it if given. radius: of a point, pixels; None: by density."""

    out: Path
    cameras: tuple[str, ...]
    occlusion: OcclusionFilter | None
    taxonomy: Taxonomy | None
    radius: int | None


def main(args: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code, 2 if the dataset or an option is wrong (one line says what)."""
    options = _parser().parse_args(_without_ros_arguments(sys.argv[1:] if args is None else args))
    try:
        settings = Settings(Path(options.out), tuple(name for name in options.cameras.split(',') if name),
                            None if options.no_occlusion else OcclusionFilter(),
                            get_taxonomy(options.taxonomy) if options.taxonomy else None, options.radius)
        page = draw(open_dataset(options.dataset), settings, options.frames)
    except (ValueError, KeyError, OSError) as error:
        print(f'overlay: {error.args[0] if isinstance(error, KeyError) else error}', file=sys.stderr)
        return 2
    print(page)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog='overlay', description='Draw LiDAR points over camera images.')
    parser.add_argument('--dataset', required=True, help='kind:path?option=value, or a path whose layout is recognised')
    parser.add_argument('--out', default='overlay', help='folder for the pictures and index.html (default: overlay)')
    parser.add_argument('--frames', type=_positive, default=5, help='how many, spread over the dataset (default: 5)')
    parser.add_argument('--cameras', default='', help='names separated by commas (default: all)')
    parser.add_argument('--no-occlusion', action='store_true', help='draw hidden points too')
    parser.add_argument('--taxonomy', default='', help='map labels to this taxonomy, such as street-12')
    parser.add_argument('--radius', type=_positive, help='of a point, pixels (default: by the density of the points)')
    return parser


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) == 0:
        raise argparse.ArgumentTypeError(f'{text}: expected a whole number above 0')
    return int(text)


def _without_ros_arguments(args: Sequence[str]) -> list[str]:
    """Drop what `ros2 run` and launch files add: --ros-args up to -- or the end."""
    args = list(args)
    while '--ros-args' in args:
        start = args.index('--ros-args')
        end = args.index('--', start) if '--' in args[start:] else len(args) - 1
        del args[start:end + 1]
    return args


def draw(dataset: Dataset, settings: Settings, frames: int) -> Path:
    """Draw `frames` frames, spread over the dataset; returns the path of index.html.

    Raises ValueError for an empty dataset or labels that do not map to the wanted taxonomy, KeyError for a camera that
    a frame lacks.
    """
    if len(dataset) == 0:
        raise ValueError(f'dataset "{dataset.name}" has no frames')
    chosen = np.unique(np.linspace(0, len(dataset) - 1, min(frames, len(dataset))).round().astype(int))
    sections = [_draw_frame(dataset[int(number)], f'{number:06}', settings) for number in chosen]
    page = settings.out / 'index.html'
    settings.out.mkdir(parents=True, exist_ok=True)
    page.write_text(PAGE.format(title=html.escape(f'Points over images: {dataset.name}'), drawn=len(chosen),
                                total=len(dataset), frames='\n'.join(sections)), encoding='utf-8')
    return page


def _draw_frame(frame: PairedFrame, name: str, settings: Settings) -> str:
    """Write a frame's pictures; returns its section of the page."""
    scan, views = frame.scan, [frame.view(camera) for camera in settings.cameras] or list(frame.views)
    labels, taxonomy = _mapped(scan.label, scan.taxonomy, settings.taxonomy)
    seen_colors, rows, images = np.full((len(scan), 3), 70, np.uint8), [], []
    for view in views:
        everything = project(scan.points, view, None)
        seen = project(scan.points, view, settings.occlusion)
        image = view.image()
        seen_colors[seen.index] = _rgb(pictures.sample(image, seen.uv))
        picture = _over(image, view, seen, labels, taxonomy, settings)
        images.append(pictures.write(settings.out / name / f'{view.name}.jpg', picture).name)
        delay = (view.stamp - frame.stamp) * 1e-6
        rows.append(f'<tr><td>{html.escape(view.name)}<td>{view.stamp}<td>{delay:+.1f} ms<td>{len(seen.index)}'
                    f'<td>{len(everything.index) - len(seen.index)}')
    images.append(pictures.write(settings.out / name / 'from_above.jpg',
                                 _from_above(frame, seen_colors, labels, taxonomy)).name)
    figures = '\n'.join(f'<p><img src="{name}/{html.escape(image)}" alt="{html.escape(image)}">' for image in images)
    return (f'<h2>{html.escape(frame.key or name)}</h2><p>Scan of {len(scan)} points at {frame.stamp} ns.'
            f'<table><tr><th>camera<th>stamp, ns<th>after the scan<th>visible points<th>hidden points{"".join(rows)}'
            f'</table>{figures}')


def _over(image: np.ndarray, view: CameraView, seen: Projection, labels: np.ndarray | None,
          taxonomy: Taxonomy | None, settings: Settings) -> np.ndarray:
    """Return the view's pictures below each other: points by depth, then by label where there are labels."""
    spacing = np.sqrt(image.shape[0] * image.shape[1] / max(1, len(seen.index)))
    radius = settings.radius or int(np.clip(spacing / 6, 1, 4))
    parts = [pictures.over_image(image, seen.uv, pictures.depth_colors(seen.depth), radius, seen.depth)]
    captions = [f'{view.name}: depth, red 2 m to blue 60 m']
    pixel_labels, pixel_taxonomy = _mapped(view.labels(), view.taxonomy, settings.taxonomy)
    if labels is not None and taxonomy is not None:
        colors = pictures.class_colors(labels[seen.index], taxonomy)
        parts.append(pictures.over_image(image, seen.uv, colors, radius, seen.depth, dim=0.6))
        captions.append(f'{view.name}: labels of the points ({taxonomy.name})')
    if pixel_labels is not None and pixel_taxonomy is not None:
        blended = pictures.over_labels(image, pictures.class_colors(pixel_labels, pixel_taxonomy))
        colors = pictures.class_colors(pictures.sample(pixel_labels, seen.uv), pixel_taxonomy)
        parts.append(pictures.over_image(blended, seen.uv, colors, radius, seen.depth))
        captions.append(f'{view.name}: label image and what the points take from it ({pixel_taxonomy.name})')
    return pictures.stack(parts, captions)


def _from_above(frame: PairedFrame, seen_colors: np.ndarray, labels: np.ndarray | None,
                taxonomy: Taxonomy | None) -> np.ndarray:
    parts, captions = [pictures.from_above(frame.points, seen_colors)], ['colours of the images (grey: not seen)']
    if labels is not None and taxonomy is not None:
        parts += [pictures.from_above(frame.points, pictures.class_colors(labels, taxonomy)),
                  pictures.legend(taxonomy, np.bincount(labels, minlength=len(taxonomy)))]
        captions += [f'labels ({taxonomy.name})', 'share of the points']
    return pictures.stack(parts, captions, columns=3)


def _mapped(labels: np.ndarray | None, taxonomy: Taxonomy | None,
            target: Taxonomy | None) -> tuple[np.ndarray | None, Taxonomy | None]:
    if labels is None or taxonomy is None or target is None:
        return labels, taxonomy
    return taxonomy.lookup_to(target)[labels], target


def _rgb(colors: np.ndarray) -> np.ndarray:
    return np.repeat(colors[:, None], 3, 1) if colors.ndim == 1 else colors


if __name__ == '__main__':
    sys.exit(main())
