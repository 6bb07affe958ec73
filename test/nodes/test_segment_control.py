# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""The segmenter under a lifecycle manager, with another checkpoint while it runs, and beside a second one."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='no ROS 2: source a distribution, or make setup')
pytest.importorskip('torch')

from lifecycle_msgs.msg import Transition  # noqa: E402
from segmenter import (  # noqa: E402
    INFO, OK, WARN, XYZI, checkpoint_at, cloud, expected, random_points, segmenter, vehicle_on)
from sensor_msgs.msg import PointCloud2  # noqa: E402
from std_srvs.srv import Trigger  # noqa: E402

from ros_kd import clouds  # noqa: E402
from ros_kd.label_sets import TAXONOMIES  # noqa: E402
from ros_kd.students import STUDENTS  # noqa: E402
from ros_kd.students.adapters import AdapterSpec  # noqa: E402

LIFECYCLE_DOMAIN, RELOAD_DOMAIN, TWO_DOMAIN = 90, 92, 93
OTHER = replace(INFO, taxonomy=TAXONOMIES['semantickitti-19'])

# The load waits for a file: clouds that come meanwhile can be sent at ease.
SLOW_LOAD = """
import os, time
from ros_kd.students import predictor
load = predictor.load_checkpoint
def slow(path):
    while 'slow' in str(path) and not os.path.exists(f'{path}.go'):
        time.sleep(0.01)
    return load(path)
predictor.load_checkpoint = slow
"""


def threads_of(pid):
    return len(list(Path(f'/proc/{pid}/task').iterdir()))


def labels(message):
    return clouds.records(message)['label']


def test_a_lifecycle_manager_may_stop_and_start_it(tmp_path):
    checkpoint = checkpoint_at(tmp_path / 'student.safetensors')
    points = random_points(np.dtype(XYZI))
    with vehicle_on(LIFECYCLE_DOMAIN) as vehicle, segmenter(
            tmp_path, LIFECYCLE_DOMAIN, f'checkpoint:={checkpoint}', 'autostart:=false', 'intensity_scale:=100.0',
            'points_topic:=lidar', 'reliability:=reliable', 'precision:=float32', 'tta:=2', 'threads:=1') as node:
        lidar = vehicle.create_publisher(PointCloud2, 'lidar', 10)
        for _ in range(2):
            assert vehicle.change(Transition.TRANSITION_CONFIGURE), node.log
            assert vehicle.change(Transition.TRANSITION_ACTIVATE), node.log
            vehicle.wait_for(lambda: lidar.get_subscription_count() and vehicle.count_publishers('/segment/points'),
                             'node')
            before = len(vehicle.labelled)
            while len(vehicle.labelled) == before:  # the result's own subscription may be discovered later
                lidar.publish(cloud(points))
                vehicle.executor_.spin_once(timeout_sec=0.3)
            right = expected(points, checkpoint, 100.0, precision='float32', tta=2)
            assert np.array_equal(labels(vehicle.labelled[-1]), right.label)
            vehicle.wait_for(lambda: 'float32, 2 views' in vehicle.values()[1].get('model', ''), 'model')
            vehicle.diagnostics.clear()
            assert vehicle.change(Transition.TRANSITION_DEACTIVATE)
            vehicle.wait_for(lambda: not lidar.get_subscription_count(), 'end of the subscription')
            assert vehicle.change(Transition.TRANSITION_CLEANUP)


def test_transitions_that_the_state_does_not_have_are_answered_and_change_nothing(tmp_path):
    checkpoint = checkpoint_at(tmp_path / 'student.safetensors')
    with vehicle_on(LIFECYCLE_DOMAIN) as vehicle, segmenter(
            tmp_path, LIFECYCLE_DOMAIN, f'checkpoint:={checkpoint}', 'autostart:=false') as node:
        for transition in (Transition.TRANSITION_ACTIVATE, Transition.TRANSITION_CLEANUP, 99):
            assert vehicle.change(transition) is False
        assert not vehicle.call(Trigger, 'reload', Trigger.Request()).success
        assert vehicle.change(Transition.TRANSITION_CONFIGURE)
        for transition in (Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_DEACTIVATE):
            assert vehicle.change(transition) is False
        assert vehicle.change(Transition.TRANSITION_ACTIVATE) and not vehicle.change(Transition.TRANSITION_CLEANUP)
        vehicle.connect().send(cloud(random_points(np.dtype(XYZI))))
        assert 'transition 99 refused' in node.log and 'Traceback' not in node.log
        assert vehicle.change(Transition.TRANSITION_ACTIVE_SHUTDOWN)
        assert vehicle.change(Transition.TRANSITION_CONFIGURE) is False


def test_a_configuration_that_fails_may_be_tried_again(tmp_path):
    checkpoint = tmp_path / 'student.safetensors'
    with vehicle_on(LIFECYCLE_DOMAIN) as vehicle, segmenter(
            tmp_path, LIFECYCLE_DOMAIN, f'checkpoint:={checkpoint}', 'drop_classes:=dragon',
            'autostart:=false') as node:
        assert not vehicle.change(Transition.TRANSITION_CONFIGURE) and 'no such checkpoint' in node.log
        checkpoint_at(checkpoint)
        assert not vehicle.change(Transition.TRANSITION_CONFIGURE) and 'drop_classes names "dragon"' in node.log
        assert not vehicle.set(drop_classes='car')
        assert vehicle.change(Transition.TRANSITION_CONFIGURE) and vehicle.change(Transition.TRANSITION_ACTIVATE)
        vehicle.connect().send(cloud(random_points(np.dtype(XYZI))))


def test_a_student_with_a_teachers_classifier_is_served_and_a_backbone_is_not(tmp_path):
    checkpoint = checkpoint_at(tmp_path / 'student.safetensors', replace(INFO, backbone=True))
    with vehicle_on(LIFECYCLE_DOMAIN) as vehicle, segmenter(
            tmp_path, LIFECYCLE_DOMAIN, f'checkpoint:={checkpoint}', 'autostart:=false') as node:
        assert not vehicle.change(Transition.TRANSITION_CONFIGURE) and 'backbone' in node.log
        adapter = AdapterSpec('da', 1, 2, width=8, classes=(0, 3, 3, -1, 6, 8))  # FSKD's: classes 0, 3, 6, 8 and a sky
        checkpoint_at(checkpoint, replace(INFO, adapter=adapter, taught=(0, 3, 6, 8)))
        assert vehicle.change(Transition.TRANSITION_CONFIGURE) and vehicle.change(Transition.TRANSITION_ACTIVATE)
        points = random_points(np.dtype(XYZI))
        found = labels(vehicle.connect().send(cloud(points)))
        assert np.array_equal(found, expected(points, checkpoint).label) and set(found) <= {0, 3, 6, 8}


def test_students_of_all_architectures_are_served(tmp_path):
    points, checkpoint = random_points(np.dtype(XYZI)), checkpoint_at(tmp_path / 'minkunet14.safetensors')
    with vehicle_on(RELOAD_DOMAIN) as vehicle, segmenter(tmp_path, RELOAD_DOMAIN, f'checkpoint:={checkpoint}') as node:
        vehicle.connect()
        for architecture in sorted(STUDENTS):
            other = checkpoint_at(tmp_path / f'{architecture}.safetensors', replace(INFO, architecture=architecture))
            assert not vehicle.set(checkpoint=str(other))
            assert vehicle.call(Trigger, 'reload', Trigger.Request()).success, node.log
            assert np.array_equal(labels(vehicle.send(cloud(points))), expected(points, other).label), architecture


def test_an_activation_that_fails_says_why_in_a_line_and_leaves_no_thread(tmp_path):
    checkpoint = checkpoint_at(tmp_path / 'student.safetensors')
    with vehicle_on(LIFECYCLE_DOMAIN) as vehicle, segmenter(
            tmp_path, LIFECYCLE_DOMAIN, f'checkpoint:={checkpoint}', 'points_topic:="bad topic"',
            'autostart:=false') as node:
        assert vehicle.change(Transition.TRANSITION_CONFIGURE)
        threads = threads_of(node.process.pid)
        for _ in range(3):
            assert not vehicle.change(Transition.TRANSITION_ACTIVATE)
        assert "'bad topic'" in node.log and 'Traceback' not in node.log
        assert threads_of(node.process.pid) == threads
        assert vehicle.change(Transition.TRANSITION_CLEANUP)


def test_another_checkpoint_is_loaded_while_clouds_are_labelled_by_the_old_one(tmp_path):
    old, new = checkpoint_at(tmp_path / 'old.safetensors'), checkpoint_at(tmp_path / 'slow.safetensors', OTHER, 1)
    points = random_points(np.dtype(XYZI))
    with vehicle_on(RELOAD_DOMAIN) as vehicle, segmenter(
            tmp_path, RELOAD_DOMAIN, f'checkpoint:={old}', before=SLOW_LOAD) as node:
        assert np.array_equal(labels(vehicle.connect().send(cloud(points))), expected(points, old).label)
        vehicle.wait_for(lambda: vehicle.legends, 'legend')
        assert not vehicle.set(checkpoint=str(new))
        client = vehicle.create_client(Trigger, '/segment/reload')
        vehicle.wait_for(client.service_is_ready, 'reload')
        answer = client.call_async(Trigger.Request())
        for _ in range(5):
            assert np.array_equal(labels(vehicle.send(cloud(points))), expected(points, old).label)
        assert not answer.done()
        (tmp_path / 'slow.safetensors.go').touch()
        vehicle.wait_for(answer.done, 'answer')
        assert answer.result().success and 'semantickitti-19' in answer.result().message, node.log
        assert np.array_equal(labels(vehicle.send(cloud(points))), expected(points, new).label)
        vehicle.wait_for(lambda: len(vehicle.infos) > 1 and len(vehicle.legends) > 1, 'new classes')
        assert json.loads(vehicle.infos[-1].data)['taxonomy'] == 'semantickitti-19'
        assert 'trunk' in {marker.text for marker in vehicle.legends[-1].markers}
        vehicle.wait_for(lambda: vehicle.values()[1].get('checkpoint') == str(new), 'diagnostics')


def test_a_checkpoint_that_cannot_be_loaded_leaves_the_old_one_in_use_and_says_why(tmp_path):
    old, broken = checkpoint_at(tmp_path / 'old.safetensors'), tmp_path / 'broken.safetensors'
    other = checkpoint_at(tmp_path / 'other.safetensors', OTHER)
    broken.write_bytes(old.read_bytes()[:-100])
    points = random_points(np.dtype(XYZI))
    with vehicle_on(RELOAD_DOMAIN) as vehicle, segmenter(tmp_path, RELOAD_DOMAIN, f'checkpoint:={old}') as node:
        vehicle.connect()
        for path, dropped, reason in ((broken, '', 'broken.safetensors'), (other, 'two-wheeler', 'drop_classes names')):
            assert not vehicle.set(checkpoint=str(path), drop_classes=dropped)
            answer = vehicle.call(Trigger, 'reload', Trigger.Request())
            assert not answer.success and reason in answer.message and 'nothing has changed' in answer.message
            assert np.array_equal(labels(vehicle.send(cloud(points))), expected(points, old).label)
        assert not vehicle.set(checkpoint=str(old)) and vehicle.call(Trigger, 'reload', Trigger.Request()).success
        assert len(vehicle.infos) == 2 and 'Traceback' not in node.log


def test_two_lidars_have_a_segmenter_each_by_namespaces(tmp_path):
    checkpoint = checkpoint_at(tmp_path / 'student.safetensors')
    folders = [tmp_path / name for name in ('front', 'rear')]
    for folder in folders:
        folder.mkdir()
    with vehicle_on(TWO_DOMAIN, '/front') as front, vehicle_on(TWO_DOMAIN, '/rear') as rear, segmenter(
            folders[0], TWO_DOMAIN, f'checkpoint:={checkpoint}', remap=['__ns:=/front']), segmenter(
            folders[1], TWO_DOMAIN, f'checkpoint:={checkpoint}', remap=['__ns:=/rear']):
        for seed, vehicle in enumerate((front, rear)):
            points = random_points(np.dtype(XYZI), seed=seed)
            assert np.array_equal(labels(vehicle.connect().send(cloud(points))), expected(points, checkpoint).label)
        assert not front.set(output_fields='label')
        assert [len(vehicle.send(cloud(points)).fields) for vehicle in (front, rear)] == [5, 7]
        for vehicle in (front, rear):
            vehicle.wait_for(lambda: vehicle.values()[1].get('processed') == '2', 'diagnostics of its own')
            assert len(vehicle.labelled) == 2


def test_a_second_segmenter_of_the_same_name_is_told(tmp_path):
    checkpoint = checkpoint_at(tmp_path / 'student.safetensors')
    second = tmp_path / 'second'
    second.mkdir()
    with vehicle_on(TWO_DOMAIN) as vehicle, segmenter(tmp_path, TWO_DOMAIN, f'checkpoint:={checkpoint}',
                                                      'input_timeout:=0.0'):
        vehicle.wait_for(lambda: vehicle.told(OK), 'diagnostics')
        with segmenter(second, TWO_DOMAIN, f'checkpoint:={checkpoint}', 'input_timeout:=0.0') as node:
            vehicle.wait_for(lambda: vehicle.told(WARN, '/segment/points has 2 publishers (segment, segment)'),
                             'warning')
            vehicle.wait_for(lambda: 'end the other segmenter' in node.log, 'line in the log')
        vehicle.wait_for(lambda: vehicle.told(OK), 'recovery')
