# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""Evidence of a point's class (or features) from images of its own and of other moments, with its uncertainty.

A point p of the scan at t is seen at the pixel K T_camera_lidar(t') T_lidar(t')_world T_world_lidar(t) p of an image at
t' if it stands still and is not hidden there. 2DPASS (Yan et al., ECCV 2022) names the idea in its introduction.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable

import numpy as np

from training.evidence.depths import DepthTest
from training.evidence.moments import Look, Memory, Moments, Sight, sight

__all__ = ['DepthTest', 'Evidence', 'Look', 'Memory', 'Moments', 'Sight', 'gather', 'sight']


@dataclass(frozen=True, eq=False)
class Evidence:
    """What images say of the points of a scan that any of them sees.

    index: int64 [M], rows of the scan, rising. values: float32 [M, D], the weighted mean of the answers, of which the
    first `classes` are probabilities that sum to at most 1 (what is missing is no class). views: int32 [M], how many
    images answered. own: bool [M], whether an image of the scan's own moment did. entropy: float32 [M], of the mean
    over the classes, nats. divergence: float32 [M], the entropy of the mean less the mean entropy (Jensen-Shannon),
    nats: how far the answers are from each other. coherence: float32 [M], the length of the mean of the columns after
    the classes over their mean length: 1 if all answers point the same way, or if there is one.
    """

    index: np.ndarray
    values: np.ndarray
    classes: int
    views: np.ndarray
    own: np.ndarray
    entropy: np.ndarray
    divergence: np.ndarray
    coherence: np.ndarray

    @property
    def mapped(self) -> np.ndarray:
        """float32 [M], 0..1: the probability that a point is of any class."""
        return np.minimum(self.values[:, :self.classes].sum(1), 1)

    def certainty(self, doubt: float) -> np.ndarray:
        """Return float32 [M], 0..1: exp(-doubt * entropy), for doubt = 1 one over the number of classes left open.

        Measured against 3D labels, it ranks right and wrong points as well as the probability of the likeliest class.
        """
        return np.exp(np.float32(-doubt) * self.entropy)


class _Sums:
    """Weighted sums of answers for N points."""

    def __init__(self, points: int, width: int, classes: int) -> None:
        self.values = np.zeros((points, width), np.float32)
        self.weight, self.mapped, self.entropy, self.length = np.zeros((4, points), np.float32)
        self.views = np.zeros(points, np.int32)
        self.classes = classes

    def add(self, index: np.ndarray, answers: np.ndarray, weight: np.ndarray) -> None:
        """Add answers float32 [M, D] of points index [M], each once, with weights [M]."""
        self.values[index] += weight[:, None] * answers
        self.weight[index] += weight
        self.views[index] += 1
        mapped = answers[:, :self.classes].sum(1)
        self.mapped[index] += weight * mapped
        self.entropy[index] += weight * mapped * entropy(answers[:, :self.classes])
        if answers.shape[1] > self.classes:
            self.length[index] += weight * np.linalg.norm(answers[:, self.classes:], axis=1)


def entropy(mass: np.ndarray) -> np.ndarray:
    """Return float32 [M], the entropy (nats) of masses [M, C] scaled to sums of 1; 0 without mass."""
    total = mass.sum(1)
    inside = (mass * np.log(np.maximum(mass, np.float32(1e-12)))).sum(1) if mass.shape[1] else total
    total = np.maximum(total, np.float32(1e-12))
    return np.maximum(np.log(total) - inside / total, 0)


def gather(seen: Sight, answer: Callable[[Look], np.ndarray], width: int, movable: np.ndarray,
           moments: Moments) -> Evidence:
    """Return the weighted mean of the answers to all looks.

    answer: returns float32 [M, width] for the points of a look, first the probabilities of len(movable) classes.
    movable: bool [C], classes that may move: from other moments they are only learnt where points stand still. A point
    that does not, and that an image of its own moment calls movable, learns from no other moment. Without classes all
    answers count (see Sight.standing).
    """
    sums, classes = _Sums(len(seen.still), width, len(movable)), len(movable)
    for look in seen.own:
        if len(look.index):
            answers = answer(look)
            sums.add(look.index, answers, _weight(look, answers[:, :classes], moments))
    own = sums.views > 0
    moves = np.zeros(len(own), bool)
    if classes and seen.others:
        moves[own] = movable[sums.values[own, :classes].argmax(1)]
    for look in seen.others:
        look = look.at(~moves[look.index] | seen.still[look.index])
        if len(look.index) == 0:
            continue
        answers = answer(look)
        weight = _weight(look, answers[:, :classes], moments)
        if classes:
            called = movable[answers[:, :classes].argmax(1)]
            kept = np.flatnonzero(~called | (seen.still[look.index] & ~look.edge))
            weight[moves[look.index] & ~called] *= np.float32(moments.contradicted)
            look, answers, weight = look.at(kept), answers[kept], weight[kept]
        sums.add(look.index, answers, weight)
    return _evidence(sums, own)


def _evidence(sums: _Sums, own: np.ndarray) -> Evidence:
    index = np.flatnonzero(sums.views)
    mapped = np.maximum(sums.mapped[index], np.float32(1e-12))
    values = sums.values[index] / sums.weight[index, None]
    spread = entropy(values[:, :sums.classes])
    divergence = np.maximum(spread - sums.entropy[index] / mapped, 0)
    length = np.maximum(sums.length[index] / sums.weight[index], np.float32(1e-12))
    coherence = np.minimum(np.linalg.norm(values[:, sums.classes:], axis=1) / length, 1) \
        if values.shape[1] > sums.classes else np.ones(len(index), np.float32)
    return Evidence(index, values, sums.classes, sums.views[index], own[index], spread, divergence, coherence)


def _weight(look: Look, probabilities: np.ndarray, moments: Moments) -> np.ndarray:
    """Return float32 [M]: near, lately and surely seen counts more."""
    sure = probabilities.max(1) if probabilities.shape[1] else np.float32(1)
    near = 1 / (1 + np.square(look.depth / np.float32(moments.near)))
    return np.maximum(sure * near * np.float32(0.5 ** (look.seconds / moments.fading)), np.float32(1e-6))
