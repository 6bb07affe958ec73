# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""The view in a browser: what it serves, to whom, and that it asks for nothing while nobody looks."""

import subprocess
import sys
import time
import urllib.request

import cv2
import numpy as np
import pytest

pytest.importorskip('rclpy', reason='ROS 2 is not installed')
pytest.importorskip('rerun', reason='Rerun is not installed')
import psutil  # noqa: E402
from drive import ROOT, NodeProcess, environment  # noqa: E402
from onlooker import Street, alive, colors_of, free_port, listening, onlooker, view  # noqa: E402
from rcl_interfaces.srv import GetParameters  # noqa: E402
from rclpy.parameter import parameter_value_to_python  # noqa: E402
from sensor_msgs.msg import CompressedImage, Image  # noqa: E402
from tf2_ros import StaticTransformBroadcaster  # noqa: E402

from ros_kd import clouds  # noqa: E402
from ros_kd.label_sets import get_taxonomy  # noqa: E402
from ros_kd.nodes import messages  # noqa: E402

DOMAIN = 67
TAXONOMY = get_taxonomy('street-12')
STAMP = 12_000_000_034
FIELDS = [*((name, '<f4') for name in 'xyz'), ('label', 'u1'), ('confidence', '<f4'), ('rgb', '<f4')]
NO_Z = "cloud has no field ['z']"
HEAD = messages.header(STAMP, 'lidar')


@pytest.fixture
def street():
    street = Street(DOMAIN, TAXONOMY)
    yield street
    street.close()


def labelled(labels):
    """Points whose x is their number, with these labels in their classes' colours."""
    points = np.zeros(len(labels), FIELDS)
    points['x'], points['y'] = np.arange(len(labels)), 7
    points['label'], points['confidence'] = labels, 0.5
    points['rgb'] = clouds.pack_rgb(TAXONOMY.palette[labels])
    return points


def test_each_class_is_shown_in_its_own_entity_and_colour(street, tmp_path):
    points = labelled([1, 2, 1, 2, 1, 1])
    points['x'][4] = np.nan
    points['confidence'][5] = 0
    points['rgb'][2] = clouds.pack_rgb(np.array([[1, 2, 3]], np.uint8))[0]
    first, second = (f'clouds/segment/{TAXONOMY.names[i]}' for i in (1, 2))
    message = messages.cloud_message(points, HEAD)
    port = free_port()
    with view(DOMAIN, port) as process:
        seen = street.seen(process, port, tmp_path, lambda: street.points.publish(message), first, second,
                           'clouds/segment/without\\ label', 'legend/segment')
    assert seen[first]['Points3D:positions'] == [[0, 7, 0], [2, 7, 0]]
    assert colors_of(seen[first]['Points3D:colors']).tolist() == [[*TAXONOMY.colors[1], 255], [1, 2, 3, 255]]
    assert seen[second]['Points3D:positions'] == [[1, 7, 0], [3, 7, 0]]
    assert seen['clouds/segment/without\\ label']['Points3D:positions'] == [[5, 7, 0]]


def test_a_class_that_is_gone_is_shown_no_more(street, tmp_path):
    port, gone = free_port(), f'clouds/segment/{TAXONOMY.names[1]}'
    kept = f'clouds/segment/{TAXONOMY.names[2]}'
    with view(DOMAIN, port) as process:
        both, one = (messages.cloud_message(labelled(labels), HEAD) for labels in ([1, 2], [2]))
        seen = street.seen(process, port, tmp_path, lambda: street.points.publish(both), gone, kept)
        assert 'Clear:is_recursive' not in seen[gone]
        seen = street.seen(process, port, tmp_path, lambda: street.points.publish(one), gone,
                           component='Clear:is_recursive')
    assert 'Clear:is_recursive' not in seen[kept]


def test_nothing_is_asked_for_while_nobody_looks(street, tmp_path):
    port = free_port()
    with view(DOMAIN, port) as process:
        street.until(lambda: street.info.get_subscription_count(), process)
        assert not street.points.get_subscription_count()
        with onlooker(port, tmp_path):
            street.until(street.points.get_subscription_count, process)
        street.until(lambda: not street.points.get_subscription_count(), process)


def test_images_are_shown_whether_they_come_raw_or_compressed(street, tmp_path):
    picture = np.zeros((40, 200, 3), np.uint8)
    picture[:, :100], picture[:, 100:] = (200, 100, 0), (0, 50, 250)
    jpeg = cv2.imencode('.jpg', picture)[1]
    raw = street.node.create_publisher(Image, 'front/image', 1)
    compressed = street.node.create_publisher(CompressedImage, 'rear/image/compressed', 1)

    def publish():
        raw.publish(messages.image_message(picture, HEAD))
        compressed.publish(messages.compressed_message(jpeg, 'jpeg', HEAD))

    port = free_port()
    with view(DOMAIN, port, images='[front/image,rear/image/compressed]', image_width=100) as process:
        seen = street.seen(process, port, tmp_path, publish, 'images/front/image', 'images/rear/image/compressed')
    assert bytes(seen['images/rear/image/compressed']['EncodedImage:blob'][0]) == jpeg.tobytes()
    shown = cv2.imdecode(np.array(seen['images/front/image']['EncodedImage:blob'][0], np.uint8), cv2.IMREAD_COLOR)
    assert shown.shape == (20, 100, 3)
    assert np.allclose(shown[10, 10], (0, 100, 200), atol=10) and np.allclose(shown[10, 90], (250, 50, 0), atol=10)


def test_clouds_are_moved_to_the_fixed_frame(street, tmp_path):
    pose = np.eye(4)
    pose[:3] = [[0, -1, 0, 3], [1, 0, 0, 4], [0, 0, 1, 5]]
    broadcaster = StaticTransformBroadcaster(street.node)
    broadcaster.sendTransform(messages.transform_message(pose, messages.header(0, 'odom'), 'lidar'))
    message = messages.cloud_message(labelled([1]), HEAD)
    port = free_port()
    with view(DOMAIN, port, fixed_frame='odom') as process:
        seen = street.seen(process, port, tmp_path, lambda: street.points.publish(message), 'clouds/segment')
    assert np.allclose(seen['clouds/segment']['Transform3D:translation'], [[3, 4, 5]])
    columns = np.reshape(seen['clouds/segment']['Transform3D:mat3x3'], (3, 3))
    assert np.allclose(columns.T, pose[:3, :3], atol=1e-6)


def test_a_cloud_that_cannot_be_shown_is_named_and_the_next_one_is_shown(street, tmp_path):
    flat = messages.cloud_message(labelled([1])[['x', 'y', 'label']].copy(), HEAD)
    good = messages.cloud_message(labelled([1]), HEAD)
    port, entity = free_port(), f'clouds/segment/{TAXONOMY.names[1]}'
    with view(DOMAIN, port) as process:
        with onlooker(port, tmp_path):
            street.until(street.points.get_subscription_count, process)
            street.until(lambda: NO_Z in process.text(), process, lambda: street.points.publish(flat))
        assert street.seen(process, port, tmp_path, lambda: street.points.publish(good), entity)
        assert process.text().count(NO_Z) == 1


def test_only_this_machine_can_look_unless_it_is_told_otherwise():
    port = free_port()
    with view(DOMAIN, port) as process:
        assert listening(process.process) == {('127.0.0.1', port), ('127.0.0.1', port + 1)}
        page = urllib.request.urlopen(f'http://127.0.0.1:{port}/', timeout=20).read()
        assert b're_viewer' in page and f'ssh -L {port}:localhost:{port}' in process.text()
    port = free_port()
    with view(DOMAIN, port, address='0.0.0.0') as process:
        assert {end[1] for end in listening(process.process)} == {port, port + 1}
        assert {end[0] for end in listening(process.process)} <= {'0.0.0.0', '::'}
        assert 'everybody who reaches 0.0.0.0' in process.text()


def test_another_machines_browser_gets_the_data_of_a_page_served_to_the_network():
    port = free_port()
    with view(DOMAIN, port, address='0.0.0.0'):
        request = urllib.request.Request(
            f'http://127.0.0.1:{port + 1}/rerun.sdk_comms.v1alpha1.MessageProxyService/ReadMessages', method='OPTIONS',
            headers={'Origin': f'http://robot.local:{port}', 'Access-Control-Request-Method': 'POST'})
        answer = urllib.request.urlopen(request, timeout=20)
        assert answer.headers['access-control-allow-origin'] == f'http://robot.local:{port}'


@pytest.mark.parametrize(('parameters', 'text'), [
    ({'address': 'robot'}, 'parameter address is "robot", expected an IP address of this machine'),
    ({'address': '192.0.2.1'}, 'cannot serve on 192.0.2.1'), ({'port': 80}, 'parameter port')])
def test_a_place_where_it_cannot_serve_is_named(parameters, text):
    with NodeProcess('view', DOMAIN, **parameters) as process:
        status, output = process.wait()
    assert status == 1 and text in output and 'Traceback' not in output, output


def test_a_port_that_is_taken_is_named_with_what_to_do():
    port = free_port()
    with view(DOMAIN, port), NodeProcess('view', DOMAIN, port=port) as second:
        status, output = second.wait()
    assert status == 1 and f'port {port}: Address already in use; the parameter "port"' in output, output


def test_the_server_does_not_outlive_a_node_that_is_killed():
    port = free_port()
    with NodeProcess('view', DOMAIN, port=port) as process:
        process.until('open this page in a browser')
        server = psutil.Process(process.process.pid).children()[0].pid
        process.process.kill()
        process.wait()
        deadline = time.monotonic() + 20
        while alive(server):
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_a_server_that_dies_ends_the_node_with_an_error():
    with NodeProcess('view', DOMAIN, port=free_port()) as process:
        process.until('open this page in a browser')
        psutil.Process(process.process.pid).children()[0].kill()
        status, output = process.wait()
    assert status == 1 and 'the server of the page has ended' in output, output


def test_the_shipped_parameters_are_the_defaults(street):
    yaml = pytest.importorskip('yaml')
    shipped = yaml.safe_load((ROOT / 'config/view.yaml').read_text())['/**/view']['ros__parameters']
    port = free_port()
    with view(DOMAIN, port) as process:
        client = street.node.create_client(GetParameters, 'view/get_parameters')
        street.until(client.service_is_ready, process)
        future = client.call_async(GetParameters.Request(names=list(shipped)))
        street.until(future.done, process)
    declared = {name: parameter_value_to_python(value) for name, value in zip(shipped, future.result().values)}
    assert {**declared, 'port': shipped['port']} == shipped and declared['port'] == port


def test_without_rerun_the_node_says_how_to_install_it():
    code = "import sys\nsys.modules['rerun'] = None\nfrom ros_kd.nodes import run\nrun('view')"
    done = subprocess.run([sys.executable, '-c', code], env=environment(DOMAIN), cwd=ROOT, capture_output=True,
                          text=True, timeout=60)
    assert done.returncode == 1 and 'pip install rerun-sdk' in done.stderr and 'Traceback' not in done.stderr
