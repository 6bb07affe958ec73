# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""FSKD (2025), feature and semantic knowledge distillation: a student that shares an image network's classifier, and so
segments classes that nobody labelled in 3D."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from ros_kd.students.adapted import AdaptedStudent
from ros_kd.students.adapters import AdapterSpec
from ros_kd.students.presets import StudentSpec
from ros_kd.taxonomy import IGNORE, Taxonomy
from training.frames.batches import Batch
from training.frames.projected import ClassTargets, FeatureTargets, Projecting
from training.frames.targets import LabelTargets, Makers, fold, reachable
from training.losses.divergence import balance, kl_divergence, soft_cross_entropy
from training.losses.features import cosine_distance, squared_distance
from training.losses.segmentation import Labelled, lovasz_at
from training.methods import Answer, Method, Optimisation
from training.teachers import FeatureTeacher, Teacher

DISTANCES = {'cosine': cosine_distance, 'squared': squared_distance}


@dataclass(frozen=True)
class Terms:
    """Weights of the losses. feature: distance of pseudo-image features to image features, of which kind `distance`
    says. semantic: divergence from the teacher's soft label in the teacher's own classes, at `temperature` times the
    teacher's. lovasz: Lovász-softmax of the student's classes against the teacher's likeliest, beyond the paper: mIoU
    is what it is made for. labels: cross-entropy with 3D labels, where frames have any; 0: they are not asked. balance:
    points of rare classes weigh (most frequent / own frequency) ** balance; 0: all alike."""

    feature: float = 1.0
    distance: Literal['cosine', 'squared'] = 'cosine'
    semantic: float = 1.0
    temperature: float = 1.0
    lovasz: float = 0.0
    labels: float = 0.0
    balance: float = 0.0

    def __post_init__(self) -> None:
        if self.distance not in DISTANCES:
            raise ValueError(f'distance "{self.distance}" of features; choose one of {list(DISTANCES)}')
        weights = self.feature, self.semantic, self.lovasz, self.labels
        if min(weights) < 0 or not any(weights):
            raise ValueError(f'weights {self.feature} of features, {self.semantic} of soft labels, {self.lovasz} of '
                             f'Lovász and {self.labels} of labels: expected none below 0 and one above')
        if not self.temperature > 0:
            raise ValueError(f'temperature {self.temperature}: must be positive (1 takes soft labels as they are)')


class FSKD(Method):
    """Student's features -> adapter -> pseudo-image features f', which the teacher's own linear classifier segments.

    At the points that cameras see, with f the image's features there: feature * distance(f', f) + semantic * D_KL(
    softmax(W f + b) || softmax(W f' + b)). W and b are the teacher's, frozen, and exported with student and adapter.
    The teacher's classes that are one class of the taxonomy add their probabilities; see SharedHead. A point counts as
    much as the teacher's answer maps to the taxonomy (not at all below `projecting.mapped`: sky, that a wrong pixel
    shows), times what its features count.

    adapter: what makes pseudo-image features, "da", "mlp" or "none"; its width and classes come from the teacher.
    projecting: how images are looked up. most: of how many points of a frame image features are kept; None: all.
    To go on with a few labels: Supervised, with the exported file as its student.
    """

    def __init__(self, taxonomy: str, student: StudentSpec | str = 'fast',
                 optimisation: Optimisation = Optimisation(), adapter: AdapterSpec = AdapterSpec(),
                 terms: Terms = Terms(), projecting: Projecting = Projecting(), most: int | None = 16384) -> None:
        super().__init__(taxonomy, student, optimisation)
        self.adapter, self.terms, self.projecting, self.most = adapter, terms, projecting, most
        self.temperature_of_teacher = 1.0
        self.register_buffer('fold', torch.empty(0, len(self.taxonomy)), persistent=False)
        self.register_buffer('class_weight', torch.ones(len(self.taxonomy)), persistent=False)

    def makers(self, teacher: Teacher | None) -> Makers:
        """See Method. The first call gives the student its adapter and the teacher's classifier.

        Raises ValueError for a teacher without features or classifier.
        """
        self._share(teacher)
        return Makers(LabelTargets(self.taxonomy) if self.terms.labels else None,
                      ClassTargets(teacher, self.taxonomy, self.projecting),
                      FeatureTargets(teacher, self.projecting, self.most))

    def _share(self, teacher: Teacher | None) -> None:
        if not isinstance(teacher, FeatureTeacher) or teacher.classifier is None:
            found = 'no teacher' if teacher is None else f'{type(teacher).__name__}, which has none'
            raise ValueError('FSKD shares a teacher\'s linear classifier, and needs a teacher with features and such a '
                             f'classifier (FeatureFiles, or a segmentation network), got {found}: give one as '
                             'data.teacher in the recipe')
        weight, bias = (torch.from_numpy(value) for value in (teacher.classifier.weight, teacher.classifier.bias))
        classes = _own_classes(teacher.taxonomy, self.taxonomy, len(bias))
        spec = replace(self.adapter, width=teacher.width, classes=classes)
        if self.spec.adapter != spec:
            base = self.student.base if isinstance(self.student, AdaptedStudent) else self.student
            self.student = AdaptedStudent(base, spec, len(self.taxonomy)).to(self.device)
            self.spec = replace(self.spec, adapter=spec)
        head = self.student.head
        with torch.no_grad():
            head.classifier.weight.copy_(weight), head.classifier.bias.copy_(bias)
        if head.others is not None:
            head.others.requires_grad_(self.terms.labels > 0)  # nothing else tells of these classes
        self.taught = None if self.terms.labels else reachable(teacher.taxonomy, self.taxonomy)
        self.temperature_of_teacher = teacher.temperature
        self.fold = torch.zeros(len(bias), len(self.taxonomy), device=self.device)
        self.fold[:len(teacher.taxonomy)] = torch.from_numpy(fold(teacher.taxonomy, self.taxonomy))

    def on_fit_start(self) -> None:
        """Balance classes by their frequency in the teacher's answers."""
        if self.terms.balance:
            self.class_weight.copy_(balance(self.class_mass('classes'), self.terms.balance))

    def losses(self, batch: Batch, answer: Answer) -> dict[str, Tensor]:
        """See Method; a loss whose weight is 0 is left out."""
        terms, backend, head = self.terms, answer.voxels.backend, self.student.head
        voxel, inside = answer.rows(batch.features.index)
        theirs, ours = batch.features.values[inside], answer.features[voxel]
        with torch.no_grad():
            taught = head.logits(theirs, backend)
            mass = self.mass(taught)
            weight = batch.features.weight[inside] * self.worth(mass)
        losses = {}
        if terms.feature:
            losses['feature'] = terms.feature * DISTANCES[terms.distance](
                teacher_features=theirs, student_features=ours, weight=weight)
        if terms.semantic:
            losses['semantic'] = terms.semantic * kl_divergence(
                teacher_logits=taught, student_logits=head.logits(ours, backend),
                temperature=terms.temperature * self.temperature_of_teacher, weight=weight)
        if terms.lovasz:
            counted = weight > 0
            known = Labelled.of(voxel[counted], mass[counted].argmax(1), weight[counted])
            losses['lovasz'] = terms.lovasz * lovasz_at(answer.logits, known)
        if terms.labels:
            logits, inside = answer.at(batch.labels.index)
            losses['labels'] = terms.labels * soft_cross_entropy(
                logits, batch.labels.values[inside], batch.labels.weight[inside, None] * self.class_weight)
        return losses

    def mass(self, logits: Tensor) -> Tensor:
        """Return the probabilities float32 [M, C] of the student's classes by the teacher's logits [M, K]."""
        return (logits / self.temperature_of_teacher).softmax(1) @ self.fold

    def worth(self, mass: Tensor) -> Tensor:
        """Return how much points count, float32 [M], by the teacher's probabilities [M, C] (as ClassTargets do)."""
        mapped = mass.sum(1)
        kept = (mapped >= max(self.projecting.mapped, 1e-3)) & (mass.amax(1) >= self.projecting.confidence * mapped)
        return kept * (mass @ self.class_weight)


def _own_classes(source: Taxonomy, target: Taxonomy, rows: int) -> tuple[int, ...]:
    """Return the class of `target` that each of a classifier's rows is, -1 for none."""
    known = source.lookup_to(target)[:len(source)].astype(int)
    return tuple(-1 if i == IGNORE else int(i) for i in known) + (-1,) * (rows - len(source))
