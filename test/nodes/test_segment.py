# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""The segmenter as a user meets it: its own process, real topics."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='no ROS 2: source a distribution, or make setup')
pytest.importorskip('torch')

from sensor_msgs.msg import PointField  # noqa: E402
from segmenter import (  # noqa: E402
    ERROR, INFO, OK, WARN, XYZI, Segmenter, checkpoint_at, cloud, expected, random_points, segmenter, vehicle_on)

from ros_kd import clouds  # noqa: E402
from ros_kd.nodes import messages  # noqa: E402
from ros_kd.nodes.segment_model import find_checkpoint  # noqa: E402
from ros_kd.taxonomy import Taxonomy  # noqa: E402

DOMAIN = 61


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    return checkpoint_at(tmp_path_factory.mktemp('student') / 'student.safetensors')


@pytest.fixture(scope='module')
def vehicle():
    with vehicle_on(DOMAIN) as node:
        yield node


@pytest.fixture(scope='module')
def running(tmp_path_factory, checkpoint, vehicle):
    """A segmenter that all tests of clouds share: it must outlive every one of them."""
    with segmenter(tmp_path_factory.mktemp('run'), DOMAIN, f'checkpoint:={checkpoint}', 'input_timeout:=2.0') as node:
        vehicle.connect()
        yield node


LAYOUTS = {
    'packed': XYZI,
    'velodyne, padded': {'names': ['x', 'y', 'z', 'intensity', 'ring', 'time'], 'offsets': [0, 4, 8, 16, 20, 24],
                         'formats': ['<f4', '<f4', '<f4', '<f4', '<u2', '<f4'], 'itemsize': 32},
    'ouster': {'names': ['x', 'y', 'z', 'intensity', 't', 'reflectivity', 'ring', 'ambient', 'range'],
               'offsets': [0, 4, 8, 16, 20, 24, 26, 28, 32],
               'formats': ['<f4', '<f4', '<f4', '<f4', '<u4', '<u2', '<u2', '<u2', '<u4'], 'itemsize': 48},
    'float64 with a vector': [('intensity', '<u1'), ('z', '<f8'), ('y', '<f8'), ('x', '<f8'), ('normal', '<f4', (3,))],
    'big endian': [(name, '>f4') for name in ('x', 'y', 'z', 'intensity')],
}


@pytest.mark.parametrize('layout', list(LAYOUTS))
def test_a_cloud_comes_back_with_its_fields_and_labels(running, vehicle, checkpoint, layout):
    points = random_points(np.dtype(LAYOUTS[layout]))
    sent = cloud(points)
    received = vehicle.send(sent)
    assert received.header == sent.header
    before = len(sent.fields)
    assert received.fields[:before] == sent.fields
    assert [(f.name, f.datatype, f.count) for f in received.fields[before:]] == [
        ('label', PointField.UINT8, 1), ('confidence', PointField.FLOAT32, 1), ('rgb', PointField.FLOAT32, 1)]
    labelled = clouds.records(received)
    for name in points.dtype.names:
        assert np.array_equal(labelled[name], points[name])
    prediction = expected(points, checkpoint)
    assert np.array_equal(labelled['label'], prediction.label)
    np.testing.assert_allclose(labelled['confidence'], prediction.confidence, rtol=1e-4)
    rgb = np.ascontiguousarray(labelled['rgb'].astype('<f4')).view(np.uint32)
    red_green_blue = np.stack([rgb >> 16 & 255, rgb >> 8 & 255, rgb & 255], 1)
    assert np.array_equal(red_green_blue, INFO.taxonomy.palette[prediction.label])


def test_fields_that_fill_space_and_second_fields_of_a_name_stay_where_they_are(running, vehicle, checkpoint):
    points = random_points(np.dtype({'names': ['x', 'y', 'z', 'intensity'], 'formats': ['<f4'] * 4,
                                     'offsets': [0, 4, 8, 20], 'itemsize': 30}))
    sent = cloud(points)
    for name, offset, datatype, count in (('_', 12, PointField.UINT8, 4), ('', 16, PointField.UINT8, 4),
                                          ('_', 24, PointField.UINT8, 2), ('x', 26, PointField.FLOAT32, 1)):
        sent.fields.append(PointField(name=name, offset=offset, datatype=datatype, count=count))
    received = vehicle.send(sent)
    assert received.fields[:len(sent.fields)] == sent.fields
    before, after = (np.frombuffer(cloud_.data, np.uint8).reshape(len(points), -1) for cloud_ in (sent, received))
    assert np.array_equal(after[:, :30], before)
    assert np.array_equal(clouds.records(received)['label'], expected(points, checkpoint).label)


def test_labels_that_a_cloud_has_already_are_replaced(running, vehicle, checkpoint):
    points = random_points(np.dtype([*XYZI, ('label', '<u4'), ('rgb', '<f4')]))
    received = vehicle.send(cloud(points))
    assert [field.name for field in received.fields] == ['x', 'y', 'z', 'intensity', 'label', 'confidence', 'rgb']
    assert np.array_equal(clouds.records(received)['label'], expected(points, checkpoint).label)


def test_an_organised_cloud_with_padded_rows_and_nan_keeps_its_rows(running, vehicle, checkpoint):
    points = random_points(np.dtype(XYZI)).reshape(20, 30)
    points['x'][3, 4:9] = np.nan
    rows = np.zeros((20, 30 * 16 + 24), np.uint8)
    rows[:, :30 * 16] = points.view(np.uint8).reshape(20, -1)
    sent = cloud(points.reshape(-1), 20)
    sent.row_step, sent.data = rows.shape[1], messages.byte_array(rows)
    received = vehicle.send(sent)
    assert (received.height, received.width, received.is_dense) == (20, 30, False)
    labelled = clouds.records(received).reshape(20, 30)
    assert np.array_equal(labelled['y'], points['y'])
    missing = np.isnan(points['x'])
    assert (labelled['confidence'][missing] == 0).all() and (labelled['confidence'][~missing] > 0).all()
    vehicle.wait_for(lambda: vehicle.values()[1].get('points_without_position') == '5', 'count of NaN points')


def broken(kind):
    sent = cloud(random_points(np.dtype(XYZI)))
    if kind == 'empty cloud':
        return cloud(random_points(np.dtype(XYZI), 0))
    if kind == 'too few bytes':
        sent.data = sent.data[:100]
    elif kind == 'field beyond the point':
        sent.fields[2].offset = 14
    elif kind == 'no fields':
        sent.fields = []
    elif kind == 'no z':
        sent.fields = [f for f in sent.fields if f.name != 'z']
    elif kind == 'no intensity':
        sent.fields[3].name = 'ambient'
    elif kind == 'a vector for x':
        sent.fields = [PointField(name='x', offset=0, datatype=PointField.FLOAT32, count=3), *sent.fields[1:]]
    elif kind == 'unknown datatype':
        sent.fields[0].datatype = 77
    return sent


@pytest.mark.parametrize(('kind', 'reason', 'text'), [
    ('empty cloud', 'empty cloud', 'no points'), ('too few bytes', 'broken layout', 'needs 9600 bytes, but has 100'),
    ('field beyond the point', 'broken layout', '"z" at offset 14'), ('no fields', 'broken layout', '0 fields'),
    ('a vector for x', 'broken layout', r"fields \['x'\] of several values"),
    ('unknown datatype', 'broken layout', 'datatype 77'), ('no z', 'missing field', r"no field \['z'\]"),
    ('no intensity', 'missing field', 'trained with column "intensity"')])
def test_a_bad_cloud_is_counted_and_explained_and_the_next_one_labelled(running, vehicle, kind, reason, text):
    key = f'dropped: {reason}'
    count = int(vehicle.values()[1].get(key, 0))
    seen = len(vehicle.diagnostics)
    vehicle.publisher.publish(broken(kind))
    vehicle.wait_for(lambda: int(vehicle.values()[1].get(key, 0)) > count, f'count of {reason}')
    explained = [array.status[0] for array in vehicle.diagnostics[seen:] if re.search(text, array.status[0].message)]
    assert explained and explained[0].level == WARN
    vehicle.send(cloud(random_points(np.dtype(XYZI))))
    assert running.log.count(f'cloud dropped ({reason})') == 1


def test_label_info_legend_and_times_are_published(running, vehicle):
    vehicle.send(cloud(random_points(np.dtype(XYZI))))
    assert Taxonomy.from_json(vehicle.infos[0].data) == INFO.taxonomy
    assert json.loads(vehicle.infos[0].data)['taxonomy'] == 'street-12'
    vehicle.wait_for(lambda: vehicle.legends and vehicle.times, 'legend and processing time')
    texts = {marker.text for marker in vehicle.legends[-1].markers if marker.text}
    assert texts == set(INFO.taxonomy.names)
    assert {marker.header.frame_id for marker in vehicle.legends[-1].markers} == {'velodyne'}
    assert vehicle.times[-1].data > 0


def test_silence_is_reported_with_who_publishes(running, vehicle):
    vehicle.wait_for(lambda: vehicle.told(ERROR), 'error on silence')
    text = 'no message within 2 s: /points has 1 publisher(s) (vehicle), but nothing arrives'
    assert vehicle.told(ERROR, text), vehicle.values()
    vehicle.send(cloud(random_points(np.dtype(XYZI))))
    vehicle.wait_for(lambda: vehicle.told(OK), 'recovery')


@pytest.mark.parametrize(('parameters', 'text'), [
    (['checkpoint:=nowhere.safetensors'], r'nowhere\.safetensors: no such checkpoint'),
    (['reliability:=sometimes'], 'reliability.*best_effort.*reliable')])
def test_a_node_that_cannot_start_says_why_and_ends(tmp_path, parameters, text):
    node = Segmenter(tmp_path, DOMAIN, *parameters)
    try:
        assert node.process.wait(30) == 1
        assert re.search(text, node.log) and 'Traceback' not in node.log
    finally:
        node.process.kill()


def test_without_a_checkpoint_the_shipped_student_is_used(monkeypatch, tmp_path):
    shipped = tmp_path / 'share' / 'ros_kd' / 'students' / 'simulated.safetensors'
    index = tmp_path / 'share' / 'ament_index' / 'resource_index' / 'packages' / 'ros_kd'
    for file in (shipped, index):
        file.parent.mkdir(parents=True)
        file.touch()
    monkeypatch.setenv('AMENT_PREFIX_PATH', str(tmp_path))
    assert find_checkpoint('') == shipped
    assert find_checkpoint('mine.safetensors') == Path('mine.safetensors')
    shipped.unlink()
    with pytest.raises(ValueError, match='no checkpoint: .* "make demo"'):
        find_checkpoint('')
