# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""Pictures of what a student's features tell apart: principal components as colours, and t-SNE of points by class."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Sequence

import numpy as np
import torch
from rich.progress import track

from ros_kd.datasets import open_dataset
from ros_kd.frames import PairedFrame
from ros_kd.inspection.samples import spread
from ros_kd.pictures import class_colors, from_above, legend, over_image, stack, write
from ros_kd.projection import project
from ros_kd.students.checkpoint import load_checkpoint
from ros_kd.students.predictor import chosen_device
from ros_kd.taxonomy import IGNORE, Taxonomy
from training.frames.targets import truth
from training.methods import Answer

_NOWHERE = (70, 70, 70)


@dataclass(frozen=True, eq=False)
class FrameFeatures:
    """The features of a frame's voxels.

    values: float16 [V, C]. voxel: int64 [N], the voxel of each point, -1 for none. label: uint8 [N], the true class of
    each point, or the student's own where a frame has no labels of its classes: IGNORE of a backbone, which has no head
    to tell any. true: which of the two.
    """

    frame: PairedFrame
    values: np.ndarray
    voxel: np.ndarray
    label: np.ndarray
    true: bool

    @property
    def classified(self) -> bool:
        """Whether any point has a class."""
        return bool((self.label != IGNORE).any())

    def of_points(self, rows: np.ndarray) -> np.ndarray:
        """Return float32 [M, C] of points int64 [M] that have a voxel."""
        return self.values[self.voxel[rows]].astype(np.float32)


@dataclass(frozen=True, eq=False)
class Principal:
    """The three directions in which features differ most, and what becomes black and white in each.

    mean: float64 [C]. axes: float64 [C, 3]. low, high: float64 [3]. explained: share of the variance of each, [3].
    """

    mean: np.ndarray
    axes: np.ndarray
    low: np.ndarray
    high: np.ndarray
    explained: np.ndarray

    @classmethod
    def of(cls, values: Sequence[np.ndarray]) -> Principal:
        """Return those of features [V, C] of several frames together; the ends are the 1st and 99th percentiles.

        Raises ValueError without any features.
        """
        count = sum(map(len, values))
        if not count:
            raise ValueError('no point lies within the range of the student: there are no features to draw')
        mean = sum(part.sum(0, dtype=np.float64) for part in values) / count
        spread = sum((part - mean).T @ (part - mean) for part in values) / count
        variance, axes = np.linalg.eigh(spread)
        axes = axes[:, ::-1][:, :3]
        axes = axes * np.sign(axes[np.abs(axes).argmax(0), range(axes.shape[1])])  # the same signs on every machine
        projected = np.concatenate([(part[::max(1, len(part) // 10_000)] - mean) @ axes for part in values])
        low, high = np.percentile(projected, [1, 99], axis=0)
        return cls(mean, axes, low, high, variance[::-1][:3] / max(variance.sum(), 1e-12))

    def colors(self, values: np.ndarray) -> np.ndarray:
        """Return uint8 [M, 3] for features [M, C]: red, green and blue are the first three components."""
        ratio = ((values - self.mean) @ self.axes - self.low) / np.maximum(self.high - self.low, 1e-12)
        colors = np.zeros((len(values), 3), np.uint8)
        colors[:, :ratio.shape[1]] = np.rint(np.clip(ratio, 0, 1) * 255)
        return colors


class FeatureExtractor:
    """An exported student that tells its features. Raises CheckpointError."""

    def __init__(self, checkpoint: Path, device: str = 'auto') -> None:
        self.device = chosen_device(device)
        student, self.info = load_checkpoint(checkpoint)
        self.student = student.to(self.device)

    @torch.inference_mode()
    def __call__(self, frame: PairedFrame) -> FrameFeatures:
        """Return the features of a frame."""
        batch = self.info.inputs.prepare([frame.scan], self.device)
        features = self.student.features(batch)
        label = _known(frame, self.info.taxonomy)
        true = label is not None
        if not true and self.info.backbone:
            label = np.full(len(frame.scan), IGNORE, np.uint8)
        elif not true:
            label = Answer(batch, (), features, self.student.head(features, batch.backend)).label
        return FrameFeatures(frame, features.half().cpu().numpy(), batch.point_voxel.cpu().numpy(), label, true)


def _known(frame: PairedFrame, taxonomy: Taxonomy) -> np.ndarray | None:
    try:
        return truth(frame, taxonomy)
    except ValueError:  # labelled in classes that are not the student's
        return None


def draw_frame(path: Path, found: FrameFeatures, principal: Principal, taxonomy: Taxonomy) -> Path:
    """Draw features and classes from above, and features over each image; returns the path."""
    frame, inside = found.frame, np.flatnonzero(found.voxel >= 0)
    colors = np.full((len(frame.points), 3), _NOWHERE, np.uint8)
    colors[inside] = principal.colors(found.of_points(inside))
    pictures = [from_above(frame.points, colors)]
    captions = ['features: principal components 1, 2, 3 as red, green, blue']
    if found.classified:
        pictures.append(from_above(frame.points, class_colors(found.label, taxonomy)))
        captions.append(_source([found]))
    for view in frame.views:
        seen = project(frame.points, view)
        pictures.append(over_image(view.image(), seen.uv, colors[seen.index], 2, seen.depth, dim=0.5))
        captions.append(f'features over {view.name}')
    if found.classified:
        pictures.append(legend(taxonomy))
        captions.append('classes')
    return write(path, stack(pictures, captions, columns=2))


def sampled(found: Sequence[FrameFeatures], most: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return features float32 [M, C] and classes uint8 [M] of at most `most` points, as many of each class if possible.

    A class with few points leaves its share to the others.
    """
    random = np.random.default_rng(seed)
    places = [np.flatnonzero((one.voxel >= 0) & (one.label != IGNORE)) for one in found]
    frame = np.repeat(np.arange(len(found)), [len(rows) for rows in places])
    rows = np.concatenate([*places, np.empty(0, np.int64)])
    label = np.concatenate([*(one.label[own] for one, own in zip(found, places)), np.empty(0, np.uint8)])
    present, counts = np.unique(label, return_counts=True)
    chosen, left = [], most
    for number, index in enumerate(np.argsort(counts, kind='stable')):
        own = random.permutation(np.flatnonzero(label == present[index]))[:left // (len(present) - number)]
        chosen.append(own)
        left -= len(own)
    chosen = np.sort(np.concatenate([*chosen, np.empty(0, np.int64)]))
    values = [one.of_points(rows[chosen[frame[chosen] == number]]) for number, one in enumerate(found)]
    return np.concatenate(values), label[chosen]


def embedded(values: np.ndarray, seed: int = 0) -> np.ndarray:
    """Return float32 [M, 2], t-SNE (van der Maaten and Hinton 2008) of features [M, C]; ValueError for under 10."""
    from sklearn.manifold import TSNE

    if len(values) < 10:
        raise ValueError(f'{len(values)} points with a class: t-SNE needs at least 10')
    return TSNE(2, perplexity=min(30.0, (len(values) - 1) / 3), init='pca', random_state=seed).fit_transform(values)


def draw_embedding(path: Path, places: np.ndarray, label: np.ndarray, taxonomy: Taxonomy, title: str) -> Path:
    """Draw points at places [M, 2] in the colours of their classes uint8 [M]; returns the path."""
    from matplotlib.figure import Figure

    figure = Figure((10, 8), layout='constrained')
    axes = figure.subplots()
    for number in np.unique(label):
        own = places[label == number]
        axes.scatter(*own.T, s=6, color=np.array(taxonomy.colors[number]) / 255, linewidths=0,
                     label=f'{taxonomy.names[number]} ({len(own)})')
    axes.set(xticks=[], yticks=[], title=title, facecolor='#181818')
    figure.legend(*axes.get_legend_handles_labels(), loc='outside right upper', markerscale=3)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    return path


def _source(found: Sequence[FrameFeatures]) -> str:
    kinds = {one.true for one in found if one.classified}
    return 'true classes' if kinds == {True} else 'classes as labelled by the student' if kinds == {False} else \
        'true classes, or those of the student where there are none'


def _frames(specifications: Sequence[str], most: int) -> list[PairedFrame]:
    sources = [open_dataset(specification) for specification in specifications]
    places = [(source, i) for source in sources for i in range(len(source))]
    return [places[i][0][places[i][1]] for i in spread(len(places), most)]


def draw(extractor: FeatureExtractor, frames: Sequence[PairedFrame], out: Path, points: int, seed: int) -> list[Path]:
    """Draw the features of frames into a folder; returns the pictures' paths. Raises ValueError without features."""
    taxonomy = extractor.info.taxonomy
    found = [extractor(frame) for frame in track(frames, 'Features', transient=True)]
    principal = Principal.of([one.values for one in found])
    pictures = [draw_frame(out / f'{number:02}-{one.frame.key.replace("/", "-")}.png', one, principal, taxonomy)
                for number, one in enumerate(found)]
    shares = ', '.join(f'{100 * share:.0f}' for share in principal.explained)
    print(f'{found[0].values.shape[1]} channels; components 1, 2, 3 hold {shares} % of the variance')
    if extractor.info.backbone and not any(one.true for one in found):
        print('no t-SNE: a pre-trained backbone labels no points, and the frames have no labels')
        return pictures
    values, label = sampled(found, points, seed)
    title = f't-SNE of the features of {len(label)} points, {_source(found)}'
    pictures.append(draw_embedding(out / 'tsne.png', embedded(values, seed), label, taxonomy, title))
    return pictures


def main(arguments: list[str]) -> int:
    """Run `features`. Returns the exit status."""
    parser = argparse.ArgumentParser('python -m training features', description='Draw the features of a student.')
    parser.add_argument('--checkpoint', type=Path, required=True, help='a student: .safetensors file')
    parser.add_argument('--dataset', action='append', required=True, metavar='SPEC',
                        help='kind:path?options; repeatable')
    parser.add_argument('--out', type=Path, required=True, metavar='DIR', help='folder for the pictures')
    parser.add_argument('--frames', type=int, default=4, help='how many frames, evenly spread (default: 4)')
    parser.add_argument('--points', type=int, default=3000, help='points of the t-SNE, over all frames (default: 3000)')
    parser.add_argument('--seed', type=int, default=0, help='of the points that are drawn (default: 0)')
    parser.add_argument('--device', default='auto')
    chosen = parser.parse_args(arguments)
    if chosen.frames < 1 or chosen.points < 10:
        parser.error(f'--frames {chosen.frames} --points {chosen.points}: expected at least 1 frame and 10 points')
    extractor = FeatureExtractor(chosen.checkpoint, chosen.device)
    for path in draw(extractor, _frames(chosen.dataset, chosen.frames), chosen.out, chosen.points, chosen.seed):
        print(path)
    return 0
