# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import rclpy
from rclpy.context import Context
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import CameraInfo, CompressedImage, PointCloud2
from std_msgs.msg import Float64, String
from tf2_ros import StaticTransformBroadcaster

from ros_kd import clouds
from ros_kd.cameras import Camera
from ros_kd.frames import Scan
from ros_kd.label_sets import get_taxonomy
from ros_kd.nodes import messages

DOMAIN = 66
ROOT = Path(__file__).parents[2]
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)


def start(out: Path, *parameters: str) -> subprocess.Popen:
    command = [sys.executable, ROOT / 'scripts' / 'report', '--ros-args', '-p', f'out:={out}']
    for parameter in parameters:
        command += ['-p', parameter]
    return subprocess.Popen(command, cwd=ROOT, text=True, stderr=subprocess.STDOUT, stdout=subprocess.PIPE, env={
        **os.environ, 'ROS_DOMAIN_ID': str(DOMAIN), 'PYTHONPATH': str(ROOT)})


def labelled(stamp: int, right: bool) -> PointCloud2:
    random = np.random.default_rng(stamp % 7)
    points = random.uniform([2, -5, -1], [20, 5, 1], (500, 3)).astype(np.float32)
    truth = random.integers(0, 12, 500).astype(np.uint16)
    scan = Scan(stamp, points, random.random(500).astype(np.float32), label=truth, taxonomy=get_taxonomy('sim-12'))
    label = truth if right else (truth + 1) % 12
    columns = {'label': label.astype(np.uint8), 'confidence': np.ones(500, np.float32)}
    return messages.cloud_message(clouds.append_columns(clouds.records_from_scan(scan), columns),
                                  messages.header(stamp, 'lidar'))


def test_labelled_clouds_become_a_page_with_scores_and_pictures(tmp_path):
    import cv2
    out, stamp = tmp_path / 'a page.html', 1_700_000_000_000_000_000
    process = start(out, 'scans:=4', 'pictures:=2', 'cameras:=[front]', 'caption:=Four <scans>')
    context = Context()
    rclpy.init(context=context, domain_id=DOMAIN)
    node = rclpy.create_node('vehicle', context=context)
    try:
        info = String(data=get_taxonomy('sim-12').to_json())
        for topic in ('label_info', 'segment/label_info'):
            node.create_publisher(String, topic, LATCHED).publish(info)
        optical = np.array([[0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1.0]])
        StaticTransformBroadcaster(node).sendTransform(
            messages.transform_message(optical, messages.header(stamp, 'front_optical'), 'lidar'))
        camera = Camera(96, 54, np.array([[60, 0, 48], [0, 60, 27], [0, 0, 1.0]]))
        image = cv2.imencode('.png', np.full((54, 96, 3), 90, np.uint8))[1].tobytes()
        ends = [node.create_publisher(kind, topic, 10) for kind, topic in (
            (PointCloud2, 'segment/points'), (Float64, 'segment/debug/processing_time_ms/total'),
            (CompressedImage, 'front/image/compressed'), (CameraInfo, 'front/camera_info'))]
        deadline = time.monotonic() + 60
        while not all(end.get_subscription_count() for end in ends):
            assert time.monotonic() < deadline and process.poll() is None, process.communicate()
            time.sleep(0.05)
        time.sleep(1.0)  # latched messages and transforms come on other topics
        clouds_, times, images, infos = ends
        infos.publish(messages.camera_info_message(camera, messages.header(stamp, 'front_optical')))
        images.publish(messages.compressed_message(image, 'png', messages.header(stamp, 'front_optical')))
        time.sleep(0.5)
        for i in range(4):
            times.publish(Float64(data=20.0))
            clouds_.publish(labelled(stamp + i * 10_000_000, right=i != 3))
            time.sleep(0.1)
        output = process.communicate(timeout=60)[0]
        assert process.returncode == 0, output
        assert 'the report is in' in output
    finally:
        process.kill()
        node.destroy_node()
        context.try_shutdown()
    page = out.read_text()
    assert 'Four &lt;scans&gt;' in page
    assert '75.0 %' in page and 'of points right' in page
    assert '20 ms' in page
    assert page.count('ground truth, from above') == 2 * 2  # picture and caption, two frames
    assert page.count('front: labels of the LiDAR') == 2 * 2


def test_a_wrong_parameter_is_one_line(tmp_path):
    process = start(tmp_path / 'page.html', 'pictures:=0')
    output = process.communicate(timeout=60)[0]
    assert process.returncode == 1 and 'parameter pictures' in output and 'Traceback' not in output


def test_silence_ends_with_a_reason(tmp_path):
    process = start(tmp_path / 'page.html', 'input_timeout:=1.0')
    output = process.communicate(timeout=60)[0]
    assert process.returncode == 1
    assert 'nobody publishes /segment/points' in output
    assert not (tmp_path / 'page.html').exists()
