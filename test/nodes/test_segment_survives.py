# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""What must not end the segmenter: strange publishers, clouds of any size, time that jumps, a student that fails."""

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='no ROS 2: source a distribution, or make setup')
pytest.importorskip('torch')

from rclpy.qos import QoSProfile, ReliabilityPolicy  # noqa: E402
from rosgraph_msgs.msg import Clock  # noqa: E402
from segmenter import (  # noqa: E402
    ERROR, OK, WARN, XYZI, checkpoint_at, cloud, random_points, segmenter, stranger_on, vehicle_on)
from sensor_msgs.msg import PointCloud2  # noqa: E402
from std_msgs.msg import String  # noqa: E402

from ros_kd import clouds  # noqa: E402
from ros_kd.nodes import messages  # noqa: E402

DOMAIN, QOS_DOMAIN, CLOCK_DOMAIN, ERROR_DOMAIN = 94, 95, 97, 98
BEST_EFFORT = QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)

# A student fails for reasons of its own, and of the machine: clouds of 77 and of 88 points make it.
FAILING_STUDENT = """
from ros_kd.students.predictor import Predictor
predict = Predictor.predict
def failing(self, scan):
    if len(scan) == 77:
        raise KeyError('a student that fails')
    if len(scan) == 88:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1099511627776 bytes.")
    return predict(self, scan)
Predictor.predict = failing
"""


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    return checkpoint_at(tmp_path_factory.mktemp('student') / 'student.safetensors')


@pytest.fixture(scope='module')
def vehicle(tmp_path_factory, checkpoint):
    with vehicle_on(DOMAIN) as node, segmenter(
            tmp_path_factory.mktemp('run'), DOMAIN, f'checkpoint:={checkpoint}', 'reliability:=reliable'):
        yield node.connect()


@pytest.mark.parametrize('count', [1, 2, 500_000])
def test_a_cloud_of_any_size_is_labelled(vehicle, count):
    points = random_points(np.dtype(XYZI), count)
    labelled = clouds.records(vehicle.send(cloud(points)))
    assert len(labelled) == count and (labelled['confidence'] > 0).all()
    assert np.array_equal(labelled['y'], points['y'])


def test_points_without_a_position_stay_in_place_with_label_and_confidence_0(vehicle):
    points = random_points(np.dtype([('x', '<f8'), ('y', '<f8'), ('z', '<f8'), ('intensity', '<f4')]))
    points['x'][5], points['y'][6], points['z'][7], points['x'][8] = np.nan, np.inf, -np.inf, 1e300
    for axis in 'xyz':
        points[axis][9] = 0  # no return
    lost = np.isin(np.arange(len(points)), [5, 6, 7, 8, 9])
    received = vehicle.send(cloud(points))
    labelled = clouds.records(received)
    assert np.array_equal(labelled['x'], points['x'], equal_nan=True) and not received.is_dense
    assert not labelled['label'][lost].any() and not labelled['confidence'][lost].any()
    assert (labelled['confidence'][~lost] > 0).all()
    assert set(labelled['rgb'][lost].view(np.uint32)) == {90 << 16 | 90 << 8 | 90}


def test_clouds_without_any_point_in_range_or_at_all_finite_come_back_without_labels(vehicle):
    for value in (1e6, np.nan):
        points = random_points(np.dtype(XYZI), 50)
        points['x'] = value
        assert not clouds.records(vehicle.send(cloud(points)))['confidence'].any()


def test_another_type_on_the_topic_is_told_and_clouds_are_labelled_all_the_same(vehicle):
    with stranger_on(DOMAIN, String, 'points'):
        text = '/points is published as std_msgs/msg/String by stranger'
        vehicle.wait_for(lambda: vehicle.told(WARN, text), 'warning')
        vehicle.send(cloud(random_points(np.dtype(XYZI))))
    vehicle.wait_for(lambda: vehicle.told(OK), 'recovery')


def test_publishers_that_a_reliable_subscription_does_not_hear_are_told(tmp_path, checkpoint):
    with vehicle_on(QOS_DOMAIN) as vehicle, segmenter(tmp_path, QOS_DOMAIN, f'checkpoint:={checkpoint}',
                                                      'reliability:=reliable', 'input_timeout:=2.0') as node:
        text = '/points is published best effort by stranger, which a reliable subscription does not get'
        with stranger_on(QOS_DOMAIN, PointCloud2, 'points', BEST_EFFORT):
            vehicle.connect().send(cloud(random_points(np.dtype(XYZI))))  # of a publisher that it hears
            vehicle.wait_for(lambda: vehicle.told(WARN, text), 'warning')
            vehicle.wait_for(lambda: vehicle.told(ERROR, text), 'error once nothing comes')
            assert text in node.log
        vehicle.send(cloud(random_points(np.dtype(XYZI))))
        vehicle.wait_for(lambda: vehicle.told(OK), 'recovery')


def test_time_may_pause_and_jump_in_a_simulation(tmp_path, checkpoint):
    with vehicle_on(CLOCK_DOMAIN) as vehicle, segmenter(tmp_path, CLOCK_DOMAIN, f'checkpoint:={checkpoint}',
                                                        'use_sim_time:=true', 'input_timeout:=1.5') as node:
        clock = vehicle.create_publisher(Clock, '/clock', 10)
        points = random_points(np.dtype(XYZI))

        def tell(seconds):
            clock.publish(Clock(clock=messages.to_time(int(seconds * 1e9))))

        def reports(number):
            seen = len(vehicle.diagnostics)
            vehicle.wait_for(lambda: len(vehicle.diagnostics) >= seen + number, 'diagnostics')
            return [array.status[0] for array in vehicle.diagnostics[seen:]]

        vehicle.connect().send(cloud(points))
        assert 'no time has come on /clock' in reports(2)[-1].message
        for now in (1000.0, 5000.0, 10.0, 11.0):  # the second and third are jumps
            for _ in range(5):
                tell(now)
                vehicle.send(messages.cloud_message(points, messages.header(int(now * 1e9), 'velodyne')))
            assert {status.level for status in reports(2)[1:]} == {OK}, now
        assert {status.level for status in reports(4)} == {OK}  # time stands still
        for now in range(5000, 5003):
            tell(now)  # forward without clouds: silent by both clocks now
            reports(1)
        vehicle.wait_for(lambda: vehicle.told(ERROR), 'silence')
        tell(20.0)  # and back
        vehicle.send(messages.cloud_message(points, messages.header(20_000_000_000, 'velodyne')))
        vehicle.wait_for(lambda: vehicle.told(OK), 'recovery')
        assert 'Traceback' not in node.log


def test_a_student_that_fails_costs_its_clouds_only(tmp_path, checkpoint):
    with vehicle_on(ERROR_DOMAIN) as vehicle, segmenter(tmp_path, ERROR_DOMAIN, f'checkpoint:={checkpoint}',
                                                        before=FAILING_STUDENT) as node:
        vehicle.connect().send(cloud(random_points(np.dtype(XYZI))))
        for count, reason, text in ((77, 'internal error', 'KeyError'), (88, 'out of memory', '88 points on cpu')):
            for total in (1, 2):
                vehicle.publisher.publish(cloud(random_points(np.dtype(XYZI), count)))
                vehicle.wait_for(lambda: vehicle.values()[1].get(f'dropped: {reason}') == str(total), reason)
            assert vehicle.told(WARN, text)
            vehicle.send(cloud(random_points(np.dtype(XYZI))))
            assert node.log.count(f'cloud dropped ({reason})') == 1
        assert 'a student that fails' in node.log
