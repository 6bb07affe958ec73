# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Several teachers with different classes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import yaml
from streets import street

from ros_kd.images import RawPixels
from ros_kd.label_sets import get_taxonomy
from training.frames.projected import ClassTargets, Projecting
from training.frames.targets import reachable
from training.images.backbone import ResNetSpec
from training.images.checkpoint import NetworkInfo, save_image_network
from training.teachers import Teacher, known_part
from training.teachers.frame_labels import FrameLabels
from training.teachers.multi import MultiTeacher
from training.teachers.recipe import teacher_of

NUSCENES, STREET = get_taxonomy('nuscenes-16'), get_taxonomy('street-12')


class _Says(Teacher):
    """Gives the same answer to every pixel."""

    def __init__(self, taxonomy: str, **answer: float) -> None:
        self.taxonomy, self.answer = get_taxonomy(taxonomy), answer
        self.root = None

    @property
    def identity(self) -> str:
        return f'{self.taxonomy.name} {self.answer}'

    def locate(self, root) -> None:
        self.root = root

    def probabilities(self, view, uv):
        row = np.zeros(len(self.taxonomy), np.float32)
        for name, value in self.answer.items():
            row[self.taxonomy.names.index(name)] = value
        return np.tile(row, (len(uv), 1))


def _answer(*teachers: Teacher) -> dict[str, float]:
    found = MultiTeacher(list(teachers), 'nuscenes-16').probabilities(street().views[0], np.zeros((3, 2), np.float32))
    assert found.shape == (3, 17) and np.array_equal(found[0], found[2])
    return {name: float(value) for name, value in zip(NUSCENES.names, found[0]) if value}


def test_nuimages_and_cityscapes_reach_15_of_16_classes():
    both = MultiTeacher([_Says('nuimages-11'), _Says('cityscapes')], 'nuscenes-16')
    assert both.coverage.sum(1).tolist() == [11, 11] and both.coverage.any(0).sum() == 15
    assert set(NUSCENES.names) - set(both.taxonomy.names) == {'other_flat'}
    assert len(reachable(both.taxonomy, NUSCENES)) == 15 and len(reachable(both.taxonomy, STREET)) == 10
    car, manmade, cone = (NUSCENES.names.index(name) for name in ('car', 'manmade', 'traffic_cone'))
    assert both.coverage[:, [car, manmade, cone]].tolist() == [[True, False, True], [True, True, False]]


def test_a_teacher_does_not_vote_against_what_it_does_not_know():
    assert _answer(_Says('nuimages-11'), _Says('cityscapes', building=0.9)) == pytest.approx({'manmade': 0.9})
    assert _answer(_Says('nuimages-11', barrier=0.8), _Says('cityscapes')) == pytest.approx({'barrier': 0.8})


def test_teachers_of_one_class_are_averaged():
    found = _answer(_Says('nuimages-11', car=0.9, truck=0.1), _Says('cityscapes', car=0.5, truck=0.5))
    assert found == pytest.approx({'car': 0.7, 'truck': 0.3})
    assert _answer(_Says('nuimages-11', car=0.9), _Says('cityscapes', sky=1.0)) == pytest.approx({'car': 0.45})


def test_answers_that_exceed_one_are_scaled_and_order_does_not_matter():
    teachers = _Says('nuimages-11', barrier=0.9), _Says('cityscapes', wall=0.4, fence=0.2)
    assert _answer(*teachers) == _answer(*teachers[::-1]) == pytest.approx({'barrier': 0.6, 'manmade': 0.4})


def test_one_teacher_alone_stays_as_it_is():
    view, uv = street().views[0], np.array([[3, 4], [30, 50.5], [50, 29.5]], np.float32)
    alone = FrameLabels('cityscapes')
    assert np.allclose(MultiTeacher([alone], 'cityscapes').probabilities(view, uv), alone.probabilities(view, uv))


def test_points_learn_from_both():
    frame = street()
    objects = _Says('nuimages-11', traffic_cone=0.5)
    make = ClassTargets(MultiTeacher([objects, FrameLabels('cityscapes')], 'nuscenes-16'), NUSCENES, Projecting(None))
    targets = make(frame)
    assert len(targets) > 100
    names = ['driveable_surface', 'traffic_cone', 'manmade']
    road, cone, manmade = targets.values[:, [NUSCENES.names.index(name) for name in names]].T.astype(float)
    low = frame.points[targets.index, 2] < 0
    assert np.allclose(cone[~low], 1 / 3, atol=1e-3) and np.allclose(manmade[~low], 2 / 3, atol=1e-3)
    assert np.allclose(road[low], 0.5, atol=0.02) and np.allclose(cone[low], 0.5, atol=0.02)


def test_all_are_located_and_part_of_the_identity(tmp_path):
    teachers = [_Says('nuimages-11', car=0.5), _Says('cityscapes')]
    both = MultiTeacher(teachers, 'nuscenes-16')
    both.locate(tmp_path)
    assert [teacher.root for teacher in teachers] == [tmp_path] * 2
    assert both.identity != MultiTeacher([_Says('nuimages-11'), _Says('cityscapes')], 'nuscenes-16').identity


def test_teachers_without_a_map_or_without_any_teacher_are_refused():
    with pytest.raises(ValueError, match='no map from labels "nuimages-11" to "sim-12"'):
        MultiTeacher([_Says('nuimages-11')], 'sim-12').coverage
    nothing = _Says('cityscapes')
    nothing.taxonomy = known_part(nothing.taxonomy, np.zeros(len(nothing.taxonomy), bool))
    with pytest.raises(ValueError, match='knows no class of "nuscenes-16"'):
        MultiTeacher([_Says('cityscapes'), nothing], 'nuscenes-16').taxonomy
    with pytest.raises(ValueError, match='expected one or more'):
        MultiTeacher([], 'nuscenes-16')


def test_networks_below_the_root_can_be_listed(tmp_path):
    teachers = []
    for name in ('nuimages-11', 'cityscapes'):
        taxonomy = get_taxonomy(name)
        info = NetworkInfo(ResNetSpec((1, 1, 1, 1), (4, 8, 8, 16), stem=4), 8, taxonomy, (32, 64),
                           tuple(range(len(taxonomy))))
        save_image_network(tmp_path / f'networks/{name}.safetensors', info.build(), info)
        teachers.append({'class_path': 'training.teachers.image_network.ImageNetworkTeacher',
                         'init_args': {'file': f'networks/{name}.safetensors', 'device': 'cpu'}})
    recipe = {'data': {'teacher': {'class_path': 'training.teachers.multi.MultiTeacher',
                                   'init_args': {'taxonomy': 'nuscenes-16', 'teachers': teachers}}}}
    (tmp_path / 'recipe.yaml').write_text(yaml.safe_dump(recipe))
    teacher = teacher_of(tmp_path / 'recipe.yaml', tmp_path)
    assert len(reachable(teacher.taxonomy, NUSCENES)) == 15
    answer = teacher.probabilities(street().views[0], np.zeros((2, 2), np.float32))
    assert answer.shape == (2, 17) and (0.1 < answer.sum(1)).all() and (answer.sum(1) <= 1 + 1e-5).all()


def test_a_recipe_can_list_teachers(tmp_path):
    def named(taxonomy):
        return {'class_path': 'training.teachers.frame_labels.FrameLabels', 'init_args': {'taxonomy': taxonomy}}
    recipe = {'data': {'teacher': {'class_path': 'training.teachers.multi.MultiTeacher', 'init_args': {
        'taxonomy': 'nuscenes-16', 'teachers': [named('cityscapes'), named('nuimages-11')]}}}}
    (tmp_path / 'recipe.yaml').write_text(yaml.safe_dump(recipe))
    teacher = teacher_of(tmp_path / 'recipe.yaml', tmp_path)
    assert isinstance(teacher, MultiTeacher) and teacher.coverage.any(0).sum() == 15
    view = replace(street().views[0], label_pixels=RawPixels(np.full((60, 80), 2, np.uint8)))
    with pytest.raises(ValueError, match='holds classes of "cityscapes"'):
        teacher.probabilities(view, np.zeros((1, 2), np.float32))
