# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""xMUDA (Jaritz et al. 2020, "xMUDA: Cross-Modal Unsupervised Domain Adaptation"): an image and a LiDAR network learn
from each other where there are no 3D labels."""

from __future__ import annotations

from torch import Tensor, nn

from ros_kd.students.presets import StudentSpec
from training.frames.batches import Batch
from training.images.branch import ImageBranch
from training.images.looking import Looking
from training.losses.divergence import kl_divergence
from training.methods import Answer, Optimisation
from training.methods.with_images import WithImages, in_labelled_frames, labels_at


class XMUDA(WithImages):
    """Each network has two heads, its own and one that mimics the other's own (eq. 2 to 4):

        S(own 3D) + S(own 2D) + sum over {source, target} of weight * [KL(own 2D || mimic 3D) + KL(own 3D || mimic 2D)]

    where gradients go through the mimicking heads only. Source: points in view of frames with 3D labels; target: of all
    others. S is the loss of Supervised, for 3D at all labelled points (the authors keep those in view only). The
    student's head is the exported one.

    source, target: the weights (the authors': 1 and 0.1 between day and night of nuScenes). Further ones: see
    WithImages.
    """

    learns_without_labels = True

    def __init__(self, taxonomy: str, student: StudentSpec | str = 'fast',
                 optimisation: Optimisation = Optimisation(), image: ImageBranch = ImageBranch(),
                 looking: Looking = Looking(), source: float = 1.0, target: float = 0.1, lovasz: float = 1.0,
                 balance: float = 1 / 3) -> None:
        super().__init__(taxonomy, student, optimisation, image, looking, lovasz, balance)
        self.source, self.target = source, target
        classes = len(self.taxonomy)
        self.lidar_mimic = nn.Linear(self.student.channels, classes)
        self.image_head, self.image_mimic = (nn.Linear(self.images.width, classes) for _ in range(2))

    def losses(self, batch: Batch, answer: Answer) -> dict[str, Tensor]:
        """See Method."""
        seen = self.seen(batch, answer.voxels.point_voxel)
        features = seen.at(seen.maps.fused)
        image = self.image_head(features).float()
        label = labels_at(batch, answer, seen.rows)
        found = {'labels': self.supervision(batch, answer),
                 'image': self.segmentation(image[label >= 0], label[label >= 0])}
        lidar = answer.logits[seen.voxels]
        mimics = self.lidar_mimic(answer.features)[seen.voxels].float(), self.image_mimic(features).float()
        source = in_labelled_frames(batch, answer, seen.rows)
        for name, weight, chosen in (('source', self.source, source), ('target', self.target, ~source)):
            found[f'{name}_3d'] = weight * kl_divergence(teacher_logits=image[chosen],
                                                         student_logits=mimics[0][chosen])
            found[f'{name}_2d'] = weight * kl_divergence(teacher_logits=lidar[chosen],
                                                         student_logits=mimics[1][chosen])
        return found
