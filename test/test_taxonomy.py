# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
import json

import pytest

from ros_kd.label_sets import TAXONOMIES, get_taxonomy, read_taxonomy
from ros_kd.taxonomy import IGNORE


@pytest.mark.parametrize('name', sorted(TAXONOMIES))
def test_every_map_leads_to_classes_that_exist(name):
    source = get_taxonomy(name)
    for target_name, table in source.maps.items():
        target = get_taxonomy(target_name)
        for own, other in table.items():
            assert source.names[own] is not None, f'{name} {own}'
            assert target.names[other] is not None, f'{target_name} {other}'


@pytest.mark.parametrize('name', sorted(TAXONOMIES))
def test_taxonomy_survives_json(name):
    source = get_taxonomy(name)
    again = read_taxonomy(source.to_json())
    assert [n for n in again.names if n] == [n for n in source.names if n]
    assert again.maps == source.maps
    assert {c['name']: c['color'] for c in json.loads(source.to_json())['classes']}


@pytest.mark.parametrize('source,target,name,expected', [
    ('cityscapes', 'street-12', 'rider', 'person'), ('cityscapes', 'street-12', 'sky', None),
    ('cityscapes', 'nuscenes-16', 'traffic sign', 'manmade'), ('cityscapes', 'semantickitti-19', 'wall', None),
    ('semantickitti', 'street-12', 'moving-bus', 'bus'), ('semantickitti', 'semantickitti-19', 'lane-marking', 'road'),
    ('semantickitti', 'street-12', 'parking', 'road'), ('pandaset', 'street-12', 'Driveway', 'sidewalk'),
    ('nuscenes', 'nuscenes-16', 'bus_rigid', 'bus'), ('sim-12', 'street-12', 'pole', 'static'),
    ('nuimages-11', 'nuscenes-16', 'driveable_surface', 'driveable_surface'),
    ('nuimages-11', 'street-12', 'trailer', None)])
def test_maps_between_label_sets(source, target, name, expected):
    own, other = get_taxonomy(source), get_taxonomy(target)
    mapped = own.lookup_to(other)[own.names.index(name)]
    assert (mapped == IGNORE) if expected is None else (other.names[mapped] == expected)


def test_reachable_classes_are_those_that_the_papers_count():
    cityscapes, pairs = get_taxonomy('cityscapes'), {'nuscenes-16': 11, 'semantickitti-19': 15}
    for name, count in pairs.items():
        assert len(set(cityscapes.lookup_to(get_taxonomy(name))) - {IGNORE}) == count


def test_errors_name_what_exists():
    with pytest.raises(ValueError, match='street-12'):
        get_taxonomy('street')
    with pytest.raises(ValueError, match='no map from labels "street-12" to "cityscapes"'):
        get_taxonomy('street-12').lookup_to(get_taxonomy('cityscapes'))
    with pytest.raises(ValueError, match='no'):
        read_taxonomy('{"no": 1}')
