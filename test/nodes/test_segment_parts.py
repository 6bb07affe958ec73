# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""The segmenter's parts: the newest-only worker, the intensity scale, and the reasons for silence."""

import platform
import re
import subprocess
import sys
import time
from threading import Event

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='no ROS 2: source a distribution, or make setup')

import rclpy  # noqa: E402
from rclpy.context import Context  # noqa: E402
from rclpy.executors import SingleThreadedExecutor  # noqa: E402
from rclpy.qos import QoSProfile, ReliabilityPolicy  # noqa: E402
from segmenter import ROOT  # noqa: E402
from sensor_msgs.msg import PointCloud2  # noqa: E402
from std_msgs.msg import String  # noqa: E402

from ros_kd import clouds  # noqa: E402
from ros_kd.frames import Scan  # noqa: E402
from ros_kd.label_sets import TAXONOMIES  # noqa: E402
from ros_kd.nodes import messages  # noqa: E402
from ros_kd.nodes.health import OVERTAKEN, Findings, Health, Silence  # noqa: E402
from ros_kd.nodes.labelled_cloud import (  # noqa: E402
    IntensityScale, filtered_message, kept_points, label_columns, packed_palette, read_cloud)
from ros_kd.nodes.latest import LatestOnly  # noqa: E402
from ros_kd.nodes.legend import legend_message  # noqa: E402
from ros_kd.nodes.segment_parameters import PARAMETERS, declare_parameters  # noqa: E402
from ros_kd.nodes.segment_timing import Times  # noqa: E402
from ros_kd.nodes.silence import explain_silence  # noqa: E402
from ros_kd.nodes.spinning import Spinner  # noqa: E402
from ros_kd.students.predictor import Prediction  # noqa: E402

DOMAIN = 65


@pytest.mark.parametrize('written', ['[]', '""', '[""]'])
def test_a_list_may_be_empty_in_a_parameter_file(tmp_path, written):
    file = tmp_path / 'segment.yaml'
    file.write_text(f'/**:\n  ros__parameters:\n    drop_classes: {written}\n    output_fields: {written}\n')
    context = Context()
    rclpy.init(context=context, domain_id=DOMAIN)
    try:
        node = rclpy.create_node('segment', context=context, cli_args=['--ros-args', '--params-file', str(file)])
        settings = declare_parameters(node)
        assert settings.drop_classes == () and settings.output_fields == ()
        node.destroy_node()
    finally:
        context.try_shutdown()


def test_the_shipped_parameters_are_the_defaults():
    yaml = pytest.importorskip('yaml')
    shipped = yaml.safe_load((ROOT / 'config/segment.yaml').read_text())['/**/segment']['ros__parameters']
    assert {**shipped, 'drop_classes': list(shipped['drop_classes'])} == {
        name: declared.default for name, declared in PARAMETERS.items()}


def test_nodes_need_no_name_that_humble_lacks():
    """rclpy.logging has the logger's class by accident, and only since Jazzy."""
    code = ('import rclpy.logging\n'
            "vars(rclpy.logging).pop('RcutilsLogger', None)\n"
            'from ros_kd.nodes import overlay, record, replay, segment, sim')
    subprocess.run([sys.executable, '-c', code], check=True, cwd=ROOT)


def test_an_interrupt_while_modules_load_ends_in_silence():
    code = """
import os, signal, sys
from ros_kd.nodes import run
class Interrupt:
    def find_spec(self, name, *_):
        if name == 'rclpy.lifecycle':
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Interrupt())
run('segment')
"""
    end = subprocess.run([sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True)
    assert (end.returncode, end.stdout + end.stderr) == (130, '')


@pytest.fixture
def held():
    """Return a worker, when it has begun with an item, what lets it end, and the items that it has handled."""
    started, go, handled = Event(), Event(), []

    def handle(item):
        started.set()
        assert go.wait(20)
        handled.append(item)

    worker = LatestOnly(handle, 'worker')
    return worker, started, go, handled


def test_the_worker_handles_the_newest_item_and_stops_after_the_one_in_work(held):
    worker, started, go, handled = held
    assert worker.put(1)
    assert started.wait(20)
    assert [worker.put(2), worker.put(3), worker.put(4)] == [True, False, False]
    started.clear()
    go.set()
    assert started.wait(20)
    worker.stop()
    assert handled == [1, 4]
    worker.put(5)
    assert handled == [1, 4]


def test_what_changes_for_the_next_item_waits_for_the_one_in_work(held):
    worker, started, go, handled = held
    worker.put(1)
    assert started.wait(20) and not worker.at_rest.acquire(blocking=False)
    go.set()
    with worker.at_rest:
        assert handled == [1]
    worker.stop()


def scan_with(largest, count=5):
    return Scan(0, np.zeros((count, 3), np.float32), np.linspace(0, largest, count, dtype=np.float32))


def test_intensity_is_judged_by_the_first_scans_and_said_once():
    said = []
    scale = IntensityScale(0.0, said.append)
    assert scale.normalise(Scan(0, np.zeros((1, 3), np.float32))).intensity is None
    assert scale.normalise(scan_with(0.5)).intensity.max() == 0.5
    assert scale.normalise(scan_with(200)).intensity.max() == pytest.approx(200 / 255)
    for _ in range(IntensityScale.SCANS):
        assert scale.normalise(scan_with(0.5)).intensity.max() == pytest.approx(0.5 / 255)
    assert scale.normalise(scan_with(4000)).intensity.max() == pytest.approx(4000 / 255)
    assert [text[:27] for text in said] == ['intensity is taken as 0..1,', 'intensity is taken as 0..25']


def test_a_given_intensity_scale_is_taken():
    scale = IntensityScale(1000.0, lambda text: pytest.fail(text))
    assert scale.normalise(scan_with(500)).intensity.max() == 0.5


def test_diagnostics_warn_of_faults_since_the_last_one_and_not_of_overtaken_clouds():
    health = Health()
    health.receive()
    assert health.drop('broken layout', 'too short') and not health.drop('broken layout', 'too short')
    first, second = health.status('a', Findings()), health.status('a', Findings())
    assert (first.level, first.message) == (b'\x01', 'broken layout: too short') and second.level == b'\x00'
    health.drop(OVERTAKEN)
    status = health.status('a', Findings())
    assert status.level == b'\x00'
    assert {'dropped: broken layout': '2', f'dropped: {OVERTAKEN}': '1', 'received': '1'}.items() <= {
        pair.key: pair.value for pair in status.values}.items()
    assert health.status('a', Findings(unheard='not all')).level == b'\x01'
    assert health.status('a', Findings(silent='nothing comes', unheard='not all')).level == b'\x02'


TIMES = Times(1, 2, 100, 3, 4, 110)


def test_diagnostics_warn_while_clouds_take_longer_than_they_come():
    health = Health()
    health.process(TIMES, 120, 10, 0)
    assert health.status('a', Findings()).level == b'\x00'  # not enough clouds to know how often they come
    for _ in range(7):
        health.receive()
        time.sleep(0.02)
    health.process(TIMES, 120, 10, 0)
    status = health.status('a', Findings())
    assert status.level == b'\x01'
    assert re.match(r'a cloud takes 110 ms, the budget is \d\d ms \(the time between clouds\)', status.message)
    health.process(TIMES, 120, 10, 0)
    assert health.status('a', Findings(budget_ms=111.0)).level == b'\x00'
    health.process(TIMES, 120, 10, 0)
    status = health.status('a', Findings(budget_ms=109.0, model='m', checkpoint='c'))
    assert status.level == b'\x01' and '(parameter budget_ms)' in status.message and status.hardware_id == 'c'
    values = {pair.key: pair.value for pair in status.values}
    assert {'clouds over budget': '2', 'network_ms': '100.0', 'total_ms': '110.0', 'latency_ms': '120.0', 'model': 'm',
            'processed': '4'}.items() <= values.items()
    assert health.status('a', Findings(budget_ms=109.0)).level == b'\x00'  # none since


@pytest.mark.parametrize('jump', [-1e6, 1e6])
def test_silence_is_what_both_clocks_say(jump):
    now = [1e7]
    silence = Silence(lambda: now[0])
    time.sleep(0.2)
    assert silence.seconds() == 0  # time stands still
    now[0] += 0.1
    assert silence.seconds() == pytest.approx(0.1)
    now[0] += jump
    assert silence.seconds() <= (0 if jump < 0 else 10)
    now[0] += 0.15
    assert 0.15 <= silence.seconds() + 1e-6 and silence.seconds() < 10
    silence.end()
    assert silence.seconds() == 0


@pytest.mark.parametrize('order', '<>')
def test_rows_of_a_cloud_become_one_row_with_all_their_bytes(order):
    generator = np.random.default_rng(0)
    layout = np.dtype({'names': ['x', 'y', 'z'], 'formats': [order + 'f4'] * 3, 'offsets': [1, 5, 9], 'itemsize': 15})
    points = generator.integers(0, 64, (40, 15), np.uint8).reshape(-1).view(layout)
    cloud = read_cloud(messages.cloud_message(points, messages.header(5, 'lidar'), 4))
    prediction = Prediction(np.arange(40, dtype=np.uint8) % 12, np.linspace(0, 1, 40, dtype=np.float32))
    palette = packed_palette(TAXONOMIES['street-12'])
    dropped = np.isin(np.arange(256), [3, 4])
    rows = kept_points(prediction, dropped, 0.5)
    assert rows.tolist() == [i for i in range(40) if i / 39 >= 0.5 and i % 12 not in (3, 4)]
    columns = label_columns(prediction, palette, ('rgb', 'label'), 0.0)
    message = filtered_message(cloud, columns, rows)
    assert (message.width, message.height, message.is_bigendian, message.point_step) == (len(rows), 1, order == '>', 20)
    assert np.array_equal(np.frombuffer(message.data, np.uint8).reshape(-1, 20)[:, :15],
                          points.view(np.uint8).reshape(40, 15)[rows])
    again = clouds.records(message)
    assert np.array_equal(again['label'], prediction.label[rows])
    assert np.array_equal(again['rgb'].astype('<f4').view(np.uint32), palette.view(np.uint32)[prediction.label[rows]])
    nothing = filtered_message(cloud, columns, rows[:0])
    assert (nothing.width, len(nothing.data), len(nothing.fields)) == (0, 0, 5)


def test_callbacks_that_raise_are_told_once_for_a_place_and_the_rest_goes_on():
    context = Context()
    rclpy.init(context=context, domain_id=DOMAIN)
    node, said, called = rclpy.create_node('spinning', context=context), [], []
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)

    class Log:
        error = staticmethod(said.append)

    def fail():
        called.append(True)
        raise KeyError(len(called))

    node.create_timer(0.01, fail)
    spinner = Spinner(executor, Log())
    end = time.monotonic() + 20
    while len(called) < 3 and time.monotonic() < end:
        spinner.spin(0.1)
    assert len(called) >= 3 and len(said) == 1 and 'said once for KeyError' in said[0]
    node.destroy_node()
    context.try_shutdown()


@pytest.mark.skipif(platform.libc_ver()[0] != 'glibc', reason='other C libraries have ways of their own')
def test_memory_of_one_cloud_serves_the_next():
    code = """
from array import array
from ros_kd.memory import keep_freed_memory
{}
def held():
    with open('/proc/self/statm') as file:
        return int(file.read().split()[1]) * 4096
before = held()
for _ in range(3):
    blocks = [array('B', [1]) * 30_000_000 for _ in range(3)]
    del blocks
print(held() - before)
"""
    kept, default = (int(subprocess.run([sys.executable, '-c', code.format(call)], check=True, capture_output=True,
                                        text=True, cwd=ROOT).stdout) for call in ('keep_freed_memory()', ''))
    assert kept > 80e6 > default


def test_the_legend_names_used_classes_only_and_clears_the_old_one():
    markers = legend_message(TAXONOMIES['semantickitti-19'], 'lidar').markers
    assert markers[0].action == markers[0].DELETEALL
    names = [name for name in TAXONOMIES['semantickitti-19'].names if name is not None]
    assert sorted(marker.text for marker in markers[1:]) == sorted(names)
    heights = [marker.pose.position.z for marker in markers[1:]]
    assert len(set(heights)) == len(names)


def test_silence_is_explained_by_what_is_published():
    context = Context()
    rclpy.init(context=context, domain_id=DOMAIN)
    node = rclpy.create_node('segment', context=context)
    try:
        def until(text, reliability=ReliabilityPolicy.BEST_EFFORT):
            end = time.monotonic() + 20
            while text not in (said := explain_silence(node, '/points', requested=reliability)):
                assert time.monotonic() < end, said
                time.sleep(0.05)

        own = node.create_publisher(PointCloud2, '/segment/points', 1)
        until('nobody publishes /points, nor any sensor_msgs/msg/PointCloud2; published now: nothing')
        node.create_publisher(PointCloud2, '/velodyne_points', 1)
        until('topics of sensor_msgs/msg/PointCloud2 published now: /velodyne_points (reliable)')
        wrong = node.create_publisher(String, '/points', 1)
        until('/points is published as std_msgs/msg/String by segment, expected sensor_msgs/msg/PointCloud2')
        node.destroy_publisher(wrong)
        best_effort = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
        node.create_publisher(PointCloud2, '/points', best_effort)
        until('set the reliability parameter to best_effort', ReliabilityPolicy.RELIABLE)
        until('/points has 1 publisher(s) (segment), but nothing arrives')
        assert own.topic_name == '/segment/points'
    finally:
        node.destroy_node()
        context.try_shutdown()
