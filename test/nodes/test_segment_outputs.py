# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""What the segmenter publishes beside the labelled cloud, for those who listen, and what can be changed meanwhile."""

import itertools
import re
import time

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='no ROS 2: source a distribution, or make setup')
pytest.importorskip('torch')

from sensor_msgs.msg import PointCloud2, PointField  # noqa: E402
from segmenter import (  # noqa: E402
    INFO, OK, STAMP, WARN, XYZI, checkpoint_at, cloud, expected, random_points, segmenter, vehicle_on)
from std_msgs.msg import Float64  # noqa: E402

from ros_kd import clouds  # noqa: E402
from ros_kd.nodes import messages  # noqa: E402

DOMAIN = 62
NUMBERS = itertools.count()
STAGES = ('decode', 'prepare', 'network', 'assign', 'encode', 'total')


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    return checkpoint_at(tmp_path_factory.mktemp('student') / 'student.safetensors')


@pytest.fixture(scope='module')
def vehicle(tmp_path_factory, checkpoint):
    with vehicle_on(DOMAIN) as node, segmenter(tmp_path_factory.mktemp('run'), DOMAIN, f'checkpoint:={checkpoint}'):
        yield node.connect()


def answer_to(vehicle, heard, message):
    """Send a cloud and return what `heard` gets for it; again until it does, for a subscription may be known late."""
    for _ in range(30):
        message.header.stamp.nanosec = next(NUMBERS)
        vehicle.publisher.publish(message)
        end = time.monotonic() + 1
        while time.monotonic() < end:
            vehicle.executor_.spin_once(timeout_sec=0.05)
            if heard and heard[-1].header == message.header:
                return heard[-1]
    raise AssertionError('30 clouds without an answer')


def test_the_filtered_cloud_leaves_out_classes_and_unsure_points_and_points_without_a_label(vehicle, checkpoint):
    points = random_points(np.dtype(XYZI)).reshape(20, 30)
    points['x'][3, 4:9] = np.nan
    points = points.reshape(-1)
    sent, prediction = cloud(points, 20), expected(points, checkpoint)
    common = int(np.bincount(prediction.label[prediction.confidence > 0]).argmax())
    least = float(np.median(prediction.confidence))
    heard = vehicle.listen(PointCloud2, 'points_filtered')
    try:
        for settings, keep in (
                ({}, prediction.confidence > 0),
                ({'drop_classes': [INFO.taxonomy.names[common]]},
                 (prediction.confidence > 0) & (prediction.label != common)),
                ({'drop_classes': '', 'drop_below_confidence': least}, prediction.confidence >= least),
                ({'drop_classes': list(INFO.taxonomy.names)}, np.zeros(len(points), bool))):
            assert not vehicle.set(**settings)
            received = answer_to(vehicle, heard, sent)
            assert received.header == sent.header and received.fields[:4] == sent.fields
            assert (received.height, received.width, received.is_dense) == (1, keep.sum(), True)
            filtered = clouds.records(received)
            for name in points.dtype.names:
                assert np.array_equal(filtered[name], points[name][keep])
            assert np.array_equal(filtered['label'], prediction.label[keep])
    finally:
        assert not vehicle.set(drop_classes=[], drop_below_confidence=0.0)


def test_the_fields_that_are_appended_can_be_chosen(vehicle, checkpoint):
    sent = cloud(random_points(np.dtype(XYZI)))
    try:
        for wanted, fields in ((['rgb', 'label'], ['label', 'rgb']), ('confidence', ['confidence']), ('', [])):
            assert not vehicle.set(output_fields=wanted)
            received = vehicle.send(sent)
            assert [field.name for field in received.fields] == [*points_fields(sent), *fields]
    finally:
        assert not vehicle.set(output_fields=['label', 'confidence', 'rgb'])
    assert received.data == sent.data


def points_fields(message):
    return [field.name for field in message.fields]


def test_points_below_the_confidence_are_grey(vehicle):
    sent = cloud(random_points(np.dtype(XYZI)))
    try:
        assert not vehicle.set(min_confidence=1)
        grey = clouds.records(vehicle.send(sent))
        assert set(grey['rgb'].view(np.uint32)) == {90 << 16 | 90 << 8 | 90}
    finally:
        assert not vehicle.set(min_confidence=0.0)
    assert len(set(clouds.records(vehicle.send(sent))['rgb'].view(np.uint32)) - {90 << 16 | 90 << 8 | 90})


@pytest.mark.parametrize(('values', 'reason'), [
    ({'min_confidence': 1.5}, '1.5'), ({'min_confidence': 'high'}, "'high', expected 0.0 to 1.0"),
    ({'drop_classes': ['car', 'dragon']}, '"dragon".*choose of.*\'road\''),
    ({'output_fields': ['label', 'colour']}, r"expected some of \['label', 'confidence', 'rgb'\]"),
    ({'input_timeout': -1.0}, 'out of range|expected 0.0 to 3600.0'),
    ({'checkpoint': 'nowhere.safetensors'}, 'nowhere.safetensors.*not there'),
    ({'device': 'cpu'}, 'read-only'), ({'min_confidence': 0.5, 'drop_classes': 'dragon'}, 'dragon')])
def test_a_wrong_value_is_refused_with_a_reason_and_changes_nothing(vehicle, values, reason):
    assert re.search(reason, vehicle.set(**values))
    names = [field.name for field in vehicle.send(cloud(random_points(np.dtype(XYZI)))).fields]
    assert names[-3:] == ['label', 'confidence', 'rgb']


def test_the_time_of_every_stage_is_published(vehicle):
    heard = {stage: vehicle.listen(Float64, f'debug/processing_time_ms/{stage}') for stage in STAGES}
    latency, cyclic = (vehicle.listen(Float64, f'debug/{name}') for name in ('pipeline_latency_ms', 'cyclic_time_ms'))
    points = random_points(np.dtype(XYZI))

    def send():
        now = vehicle.get_clock().now().nanoseconds
        vehicle.send(messages.cloud_message(points, messages.header(now, 'velodyne')))

    while not (cyclic and latency and all(heard.values())):
        send()
    for topic in (*heard.values(), latency, cyclic):
        topic.clear()
    send()
    vehicle.wait_for(lambda: cyclic and latency and all(heard.values()), 'times')
    times = {stage: values[-1].data for stage, values in heard.items()}
    assert all(value >= 0 for value in times.values()) and times['network'] > 0
    assert sum(times[stage] for stage in STAGES[:-1]) <= times['total'] <= latency[-1].data
    assert times['total'] == vehicle.times[-1].data


def test_stamps_of_another_clock_give_no_latency(vehicle):
    latency = vehicle.listen(Float64, 'debug/pipeline_latency_ms')
    assert abs(vehicle.get_clock().now().nanoseconds - STAMP) > 3600e9
    for _ in range(3):
        latency.clear()
        before = len(vehicle.times)
        vehicle.send(cloud(random_points(np.dtype(XYZI))))
        vehicle.wait_for(lambda: len(vehicle.times) > before, 'times')
    seen = len(vehicle.diagnostics)
    vehicle.wait_for(lambda: len(vehicle.diagnostics) > seen, 'diagnostics')
    assert vehicle.values()[1]['latency_ms'] == 'stamps of another clock' and not latency


def test_a_stamp_before_the_epoch_is_no_fault(vehicle):
    message = cloud(random_points(np.dtype(XYZI)))
    message.header.stamp.sec = -5
    assert vehicle.send(message).header == message.header
    seen = len(vehicle.diagnostics)
    vehicle.wait_for(lambda: len(vehicle.diagnostics) > seen + 1, 'diagnostics')
    assert vehicle.values()[1]['latency_ms'] == 'stamps of another clock'
    assert 'dropped: internal error' not in vehicle.values()[1]


def test_diagnostics_have_rates_stages_and_the_model_and_warn_beyond_the_budget(vehicle, checkpoint):
    try:
        assert not vehicle.set(budget_ms=0.001)
        vehicle.send(cloud(random_points(np.dtype(XYZI))))
        vehicle.wait_for(lambda: vehicle.told(WARN, 'the budget is 0 ms (parameter budget_ms)'), 'warning')
        values = vehicle.values()[1]
        assert int(values['clouds over budget']) >= 1
        assert values['checkpoint'] == str(checkpoint) and 'cpu' in values['model']
        assert {f'{stage}_ms' for stage in STAGES} | {'rate in, 1/s', 'rate out, 1/s'} <= set(values)
    finally:
        assert not vehicle.set(budget_ms=1000.0)
    vehicle.send(cloud(random_points(np.dtype(XYZI))))
    vehicle.wait_for(lambda: vehicle.told(OK), 'recovery')


def test_nothing_is_computed_while_nobody_listens(vehicle):
    vehicle.send(cloud(random_points(np.dtype(XYZI))))
    for subscription in list(vehicle.subscriptions):
        if subscription.msg_type is PointCloud2:
            vehicle.destroy_subscription(subscription)
    unwatched = 'dropped: nobody subscribes'

    def count():
        vehicle.publisher.publish(cloud(random_points(np.dtype(XYZI))))
        return int(vehicle.values()[1].get(unwatched, 0))

    vehicle.wait_for(lambda: count() > 0, 'count')
    before = vehicle.values()[1]
    vehicle.wait_for(lambda: count() > int(before[unwatched]), 'higher count')
    assert vehicle.values()[1]['processed'] == before['processed']
    vehicle.watch()
    vehicle.wait_for(lambda: vehicle.publisher.publish(cloud(random_points(np.dtype(XYZI)))) or vehicle.labelled,
                     'labelled cloud')


def test_the_filtered_cloud_alone_is_enough_to_listen_to(vehicle):
    vehicle.destroy_subscription(vehicle.watching)
    heard = vehicle.listen(PointCloud2, 'points_filtered')
    vehicle.wait_for(lambda: vehicle.publisher.publish(cloud(random_points(np.dtype(XYZI)))) or heard, 'filtered cloud')
    assert heard[-1].fields[-1].name == 'rgb' and heard[-1].fields[-1].datatype == PointField.FLOAT32
    vehicle.watch()
